//! The reading port over something that selects, for evaluations beside the data.

use async_trait::async_trait;
use model::{ErrorKind, LabelSet, MetricMetadata};
use storage::{LabelRequest, Labelled, QueryMemory, Queryable, SelectRequest, SeriesSet, StorageError};

/// Answers selections.
#[async_trait]
pub trait Select: Send + Sync {
    /// As [`Queryable::select`].
    ///
    /// # Errors
    /// As [`Queryable`].
    async fn select(&self, request: &SelectRequest, memory: &QueryMemory) -> Result<SeriesSet, StorageError>;
}

/// Data for the engine, which selects; it answers nothing else.
pub struct Selector<S>(pub S);

fn only_selects<T>() -> Result<T, StorageError> {
    Err(StorageError::new(ErrorKind::Internal, "labels are listed by queriers, not beside the data"))
}

#[async_trait]
impl<S: Select> Queryable for Selector<S> {
    async fn select(&self, request: &SelectRequest, memory: &QueryMemory) -> Result<SeriesSet, StorageError> {
        self.0.select(request, memory).await
    }

    async fn label_names(&self, _: &LabelRequest) -> Result<Labelled<String>, StorageError> {
        only_selects()
    }

    async fn label_values(&self, _: &str, _: &LabelRequest) -> Result<Labelled<String>, StorageError> {
        only_selects()
    }

    async fn series(&self, _: &LabelRequest) -> Result<Labelled<LabelSet>, StorageError> {
        only_selects()
    }

    async fn metadata(&self, _: Option<&str>) -> Result<Vec<MetricMetadata>, StorageError> {
        only_selects()
    }
}
