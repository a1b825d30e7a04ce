//! What is left out of a block when it is merged or listed: samples that were deleted after it was cut.

use std::sync::Arc;

use model::{BlockId, LabelSet, TimeRanges};

use crate::error::BlockError;
use crate::place::Place;
use crate::reader::{BlockReader, BlockSeries, on_blocking_thread};

/// Tells what was deleted. Which selectors stand behind it is not the block's business.
pub trait Erase: Send + Sync {
    /// Returns at which times samples of a series are deleted from a block.
    fn erased(&self, block: BlockId, labels: &LabelSet) -> TimeRanges;

    /// Tells whether nothing is deleted at all, so that nobody needs to ask.
    fn is_nothing(&self) -> bool;
}

/// Deletes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct EraseNothing;

impl Erase for EraseNothing {
    fn erased(&self, _block: BlockId, _labels: &LabelSet) -> TimeRanges {
        TimeRanges::default()
    }

    fn is_nothing(&self) -> bool {
        true
    }
}

impl BlockReader {
    /// Leaves erased samples out of selected series; a series without any other goes. Cancel-safe.
    ///
    /// # Errors
    /// Kind `Corrupt` with the series when a chunk that must be decoded is damaged.
    pub async fn leave_out(
        &self,
        mut series: Vec<BlockSeries>,
        erase: Arc<dyn Erase>,
    ) -> Result<Vec<BlockSeries>, BlockError> {
        if series.is_empty() || erase.is_nothing() {
            return Ok(series);
        }
        let (block, object) = (self.meta().id, self.meta().chunks_object.key.clone());
        let leave_out = move || {
            for BlockSeries { labels, chunks } in &mut series {
                let erased = erase.erased(block, labels);
                let left = chunk::without(std::mem::take(chunks), &erased);
                *chunks =
                    left.map_err(|e| BlockError::corrupt(&object, Place::Series(labels.to_string()), e))?;
            }
            series.retain(|series| !series.chunks.is_empty());
            Ok(series)
        };
        on_blocking_thread(&self.meta().chunks_object.key, leave_out).await
    }
}
