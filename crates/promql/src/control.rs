//! Watching a query from outside, and stopping it.

use std::sync::Arc;

use crate::error::QueryError;
use crate::exec::{Budget, StopReason};

/// What one query did so far, and the means to stop it. Clones are of the same query.
#[derive(Clone, Debug)]
pub struct QueryControl(pub(crate) Arc<Budget>);

impl QueryControl {
    /// Returns how many samples were decoded so far.
    pub fn samples_read(&self) -> u64 {
        self.0.samples_read()
    }

    /// Returns how many bytes the query holds now.
    pub fn memory_bytes(&self) -> u64 {
        self.0.memory.used()
    }

    /// Waits until the query is stopped; returns with what error it ends.
    pub async fn stopped(&self) -> QueryError {
        self.0.stopped().await
    }

    /// Stops the query: it ends with [`QueryError::Cancelled`], and its workers stop at their next block of series.
    pub fn cancel(&self) {
        self.0.stop(StopReason::Cancelled);
    }
}
