//! The pushing port: who, beside the engine, can evaluate parts of a query.
//!
//! A fragment is a part of a query in the engine's own encoding, and so are the frames that answer it; ports carry both
//! as bytes and look into neither. What makes pushing correct stands in [`Division`]: at any step, one evaluator has all
//! samples of a series, and no other has any of them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use model::TimeRange;

use crate::{QueryMemory, Queryable, Reservation, StorageError};

/// A part of all series. The divisions of one view have no series in common, and together they have all.
pub struct Division {
    /// First millisecond that `after` answers for; everything before it is with `before`.
    pub seam_ms: i64,
    /// Has all samples before the seam.
    pub before: Arc<dyn Evaluator>,
    /// Has all samples from the seam on.
    pub after: Arc<dyn Evaluator>,
    /// The same samples, for what lies across the seam or is not evaluated by others.
    pub raw: Arc<dyn Queryable>,
}

/// The answer to a fragment.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// Bytes of the engine's own.
    pub frames: Vec<Bytes>,
    /// The memory that they take, where the port counts it.
    pub memory: Option<Arc<Reservation>>,
}

/// Evaluates fragments over the samples that it has.
#[async_trait]
pub trait Evaluator: Send + Sync {
    /// Returns who it is, for reports.
    fn name(&self) -> String;

    /// Evaluates a fragment that needs samples of `needed` (closed) only. `Ok(None)` when the evaluator does not know how:
    /// the caller then does it itself. What it receives is reserved from `memory` as it comes. Cancel-safe.
    ///
    /// # Errors
    /// As those of [`Queryable`].
    async fn evaluate(
        &self,
        fragment: Bytes,
        needed: TimeRange,
        memory: &QueryMemory,
    ) -> Result<Option<Evaluated>, StorageError>;
}
