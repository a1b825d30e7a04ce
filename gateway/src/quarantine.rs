//! What was found damaged: places in blocks, known by name until they are whole again or their block is gone.
//!
//! 1. A read finds bytes that do not match their checksum, also when it asks the object store once more. The place is noted:
//!    counted, and logged once.
//! 2. A page or a value: the queries that need it fail by name, all others go on, also those of the same block. Anything
//!    else is the whole block: queries that name it fail at once, with what was found, and nothing is read.
//! 3. A worker reads every noted place again each minute. What is whole is released; so is a block that no query reads any
//!    more.
//!
//! Nothing is ever left out of an answer: a place is a reason to fail, never to answer without it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use block::{BlockError, Place};
use cluster::{BlockState, ControlState};
use model::{BlockId, BlockMeta, ErrorKind};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::blocks::Blocks;
use crate::metrics::{DamageLabel, DamageMetrics};

/// The pause between two looks at what is damaged.
const RECHECK_PAUSE: Duration = Duration::from_secs(60);
/// How many places are known by name. What is found beyond is counted, and fails its query, and that is all.
const PLACES_MAX: usize = 10_000;

/// A place within one object of a block.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DamagedPlace {
    block: BlockId,
    object: String,
    pub(crate) place: Place,
}

/// What is known of a place.
struct Held {
    meta: BlockMeta,
    error: Arc<BlockError>,
}

/// The places that are damaged.
pub(crate) struct Quarantine {
    catalogue: watch::Receiver<Arc<ControlState>>,
    places: Mutex<BTreeMap<DamagedPlace, Held>>,
    metrics: DamageMetrics,
}

impl Quarantine {
    pub(crate) fn new(catalogue: watch::Receiver<Arc<ControlState>>, metrics: DamageMetrics) -> Self {
        Self { catalogue, places: Mutex::default(), metrics }
    }

    /// Returns what was found when a block is damaged as a whole.
    ///
    /// # Errors
    /// The error of the read that found it.
    pub(crate) fn admit(&self, block: BlockId) -> Result<(), BlockError> {
        let places = self.places.lock();
        let first = DamagedPlace { block, object: String::new(), place: Place::Object };
        let of_block = places.range(first..).take_while(|(place, _)| place.block == block);
        match of_block.into_iter().find(|(place, _)| !place.place.is_contained()) {
            Some((_, held)) => Err(BlockError::Shared(Arc::clone(&held.error))),
            None => Ok(()),
        }
    }

    /// Passes a result on, and notes the damage that it tells of. An object that is not there is damage only while queries
    /// are to read its block.
    pub(crate) fn note<T>(&self, meta: &BlockMeta, result: Result<T, BlockError>) -> Result<T, BlockError> {
        let error = match result {
            Err(error) if error.damage().is_some() => error,
            other => return other,
        };
        if error.kind() == ErrorKind::NotFound && !self.is_active(meta.id) {
            return Err(error);
        }
        let error = Arc::new(error);
        if let Some((object, place)) = error.damage() {
            let file = if object == meta.series_object.key { "series" } else { "chunks" };
            self.metrics.found.get_or_create(&DamageLabel { file, part: place.part() }).inc();
            let place = DamagedPlace { block: meta.id, object: object.to_owned(), place: place.clone() };
            self.hold(place, meta, &error);
        }
        Err(BlockError::Shared(error))
    }

    fn hold(&self, place: DamagedPlace, meta: &BlockMeta, error: &Arc<BlockError>) {
        let mut places = self.places.lock();
        if places.len() >= PLACES_MAX || places.contains_key(&place) {
            return;
        }
        let lost = if place.place.is_contained() {
            "queries that need these rows fail"
        } else {
            "queries of this block fail"
        };
        tracing::error!(
            block = %place.block, object = place.object, place = %place.place, error = service::chain(&**error),
            "a block is damaged, {lost}: put the object back from the bucket's older versions or from a copy; \
             'norn bucket verify {}' lists all that is damaged", place.block
        );
        places.insert(place, Held { meta: meta.clone(), error: Arc::clone(error) });
        self.gauge(&places);
    }

    fn gauge(&self, places: &BTreeMap<DamagedPlace, Held>) {
        let mut blocks: Vec<BlockId> = places.keys().map(|place| place.block).collect();
        blocks.dedup();
        self.metrics.blocks.set(blocks.len() as i64);
    }

    fn is_active(&self, block: BlockId) -> bool {
        let state = self.catalogue.borrow();
        state.catalogue.get(block).is_some_and(|entry| entry.state == BlockState::Active)
    }

    /// Releases the places of blocks that are no longer read; returns the others.
    fn take_stock(&self) -> Vec<(DamagedPlace, BlockMeta)> {
        let mut places = self.places.lock();
        places.retain(|place, _| self.is_active(place.block));
        self.gauge(&places);
        places.iter().map(|(place, held)| (place.clone(), held.meta.clone())).collect()
    }

    fn release(&self, place: &DamagedPlace) {
        let mut places = self.places.lock();
        if places.remove(place).is_some() {
            tracing::info!(block = %place.block, object = place.object, place = %place.place, "damage is repaired");
        }
        self.gauge(&places);
    }
}

/// Looks at what is damaged, again and again, until shutdown.
pub(crate) async fn run(blocks: Arc<Blocks>, shutdown: CancellationToken) -> Result<(), Infallible> {
    let looks = async {
        loop {
            tokio::time::sleep(RECHECK_PAUSE).await;
            recheck(&blocks).await;
        }
    };
    // Cancelled or not: the loop itself has no end.
    let _: Option<()> = shutdown.run_until_cancelled(looks).await;
    Ok(())
}

/// Reads every noted place again, one after the other, and releases what is whole.
pub(crate) async fn recheck(blocks: &Blocks) {
    let places = blocks.quarantine.take_stock();
    // A series that cannot be decoded, though every checksum holds, was written so: reading it again tells nothing.
    for (place, meta) in places.into_iter().filter(|(place, _)| !matches!(place.place, Place::Series(_))) {
        // What cannot be read now is no better known than before.
        if blocks.check(&meta, &place.place).await.is_ok() {
            blocks.quarantine.release(&place);
        }
    }
}
