//! Data for the engine: whatever answers a selection, behind the reading port.

use std::sync::Arc;

use async_trait::async_trait;
use model::{LabelSet, MetricMetadata};
use storage::{LabelRequest, Labelled, QueryMemory, Queryable, SelectRequest, SeriesSet, StorageError};

/// Answers selections with a function. The engine asks for nothing else, so all other answers are empty.
struct Answers<F>(F);

/// Returns data that answers selections with a function.
pub(crate) fn answers<F, A>(select: F) -> Arc<dyn Queryable>
where
    F: Fn(&SelectRequest) -> A + Send + Sync + 'static,
    A: Future<Output = Result<SeriesSet, StorageError>> + Send + 'static,
{
    Arc::new(Answers(select))
}

#[async_trait]
impl<F, A> Queryable for Answers<F>
where
    F: Fn(&SelectRequest) -> A + Send + Sync + 'static,
    A: Future<Output = Result<SeriesSet, StorageError>> + Send + 'static,
{
    async fn select(&self, request: &SelectRequest, _: &QueryMemory) -> Result<SeriesSet, StorageError> {
        self.0(request).await
    }

    async fn label_names(&self, _: &LabelRequest) -> Result<Labelled<String>, StorageError> {
        Ok(Labelled::default())
    }

    async fn label_values(&self, _: &str, _: &LabelRequest) -> Result<Labelled<String>, StorageError> {
        Ok(Labelled::default())
    }

    async fn series(&self, _: &LabelRequest) -> Result<Labelled<LabelSet>, StorageError> {
        Ok(Labelled::default())
    }

    async fn metadata(&self, _: Option<&str>) -> Result<Vec<MetricMetadata>, StorageError> {
        Ok(Vec::new())
    }
}
