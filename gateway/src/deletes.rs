//! What was deleted from the blocks of a request: the notes of the catalogue, their selectors compiled once.

use std::collections::BTreeMap;
use std::sync::Arc;

use block::Erase;
use cluster::{ControlState, DeleteId, DeleteOrder};
use model::{BlockId, BlockMeta, ErrorKind, LabelSet, TimeRanges};
use parking_lot::Mutex;
use proto::error::status;
use selection::{Delete, Deletes, External};
use tonic::Status;

/// A block of a request, and what must be left out of it.
#[derive(Clone)]
pub(crate) struct AskedBlock {
    pub(crate) meta: BlockMeta,
    pub(crate) deletes: Deletes,
}

impl Erase for OfOneBlock {
    fn erased(&self, _block: BlockId, labels: &LabelSet) -> TimeRanges {
        self.0.of(labels)
    }

    fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }
}

/// The deletes of one block, as the block crate asks for them.
pub(crate) struct OfOneBlock(pub(crate) Deletes);

/// Selectors of the catalogue's deletes, compiled; bounded by their number in the catalogue.
#[derive(Default)]
pub(crate) struct CompiledDeletes {
    compiled: Mutex<BTreeMap<DeleteId, Arc<Delete>>>,
}

impl CompiledDeletes {
    /// Puts a block together with what must be left out of it.
    ///
    /// # Errors
    /// Kind `Internal` when a selector is none that this version knows.
    #[allow(clippy::result_large_err, reason = "tonic's own error type")]
    pub(crate) fn asked(&self, state: &ControlState, meta: &BlockMeta) -> Result<AskedBlock, Status> {
        let at_resolution = |order| -> Result<_, Status> {
            Ok(self.compiled(state, order)?.at_resolution(meta.resolution_ms))
        };
        let deletes: Vec<Arc<Delete>> =
            state.catalogue.deletes_of(meta.id).map(at_resolution).collect::<Result<_, _>>()?;
        let external = match &state.settings {
            Some(settings) if !deletes.is_empty() => External::new(&settings.external_labels),
            _ => External::default(),
        };
        Ok(AskedBlock { meta: meta.clone(), deletes: Deletes::new(Arc::new(external), deletes) })
    }

    #[allow(clippy::result_large_err, reason = "tonic's own error type")]
    fn compiled(&self, state: &ControlState, order: &DeleteOrder) -> Result<Arc<Delete>, Status> {
        if let Some(known) = self.compiled.lock().get(&order.id) {
            return Ok(Arc::clone(known));
        }
        let fault = |reason| status(ErrorKind::Internal, format!("delete {}: {reason}", order.id));
        let selectors = order.compile().map_err(fault)?;
        let delete = Arc::new(Delete { selectors, range: order.range() });
        let mut compiled = self.compiled.lock();
        compiled.retain(|id, _| state.catalogue.delete(*id).is_some());
        compiled.insert(order.id, Arc::clone(&delete));
        Ok(delete)
    }
}
