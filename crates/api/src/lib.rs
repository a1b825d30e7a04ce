//! The Prometheus HTTP API over the ports.
