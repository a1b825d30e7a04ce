//! What every role needs to live: workers, readiness, shutdown, metrics, logs.
