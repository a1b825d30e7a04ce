//! What every role needs to live: supervised workers, readiness, graceful shutdown, metrics, logs, and the HTTP routes
//! that every process has.
//!
//! Knows nothing of time series: no domain types. A process has one [`Context`], cloned into whatever runs:
//!
//! 1. [`Context::new`] registers the process's own metrics;
//! 2. whoever must be up before the process serves takes a [`ReadyGate`] and opens it when it is;
//! 3. [`Context::spawn`] runs workers: a panic or an error in one makes the process not ready, with that reason;
//! 4. [`Context::stop`] makes the process not ready, cancels [`Context::shutdown`], and waits for the workers.

pub mod context;
pub mod error;
pub mod http;
pub mod logs;
pub mod metrics;
mod process;
pub mod readiness;

pub use context::Context;
pub use error::{ServiceError, chain};
pub use metrics::Metrics;
pub use readiness::ReadyGate;
