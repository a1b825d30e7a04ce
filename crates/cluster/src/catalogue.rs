//! The committed set of blocks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{BlockId, BlockMeta, BlockRange, Epoch, NodeId, ShardId, TimeRange};
use serde::{Deserialize, Serialize};

use crate::delete::{DeleteId, DeleteRequest};
use crate::import::ImportState;
use crate::job::{BadBlock, Job, JobId, JobOrder};

mod deletes;
mod imports;
mod jobs;
mod slots;

/// Whether a block may be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockState {
    /// Queries read it.
    Active,
    /// No new query reads it; its objects may be deleted once no query that began earlier can still run.
    Tombstoned {
        /// Wall clock of the proposer, ms since the epoch.
        at_ms: i64,
        /// Why, for people.
        reason: String,
        /// The version of the control state that was the first without the block. A query that began with an earlier one
        /// may still read it.
        #[serde(default)]
        version: u64,
    },
}

/// One block of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockEntry {
    /// What it is; never changes.
    pub meta: BlockMeta,
    /// Whether it may be read.
    pub state: BlockState,
    /// Why no job merges it, when it turned out to be damaged. Queries still ask for it, and say by name what is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<String>,
    /// Deletes of some of its samples: readers leave those out. With how many samples that are at the most, where that is
    /// known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub deletes: BTreeMap<DeleteId, Option<u64>>,
    /// Windows for which a downsampling found nothing in the block, so that there are no slots of them and none are made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_samples: Vec<BlockRange>,
}

impl BlockEntry {
    fn active(meta: BlockMeta) -> Self {
        let (deletes, without_samples) = (BTreeMap::new(), Vec::new());
        Self { meta, state: BlockState::Active, set_aside: None, deletes, without_samples }
    }
}

/// All blocks, and how far each shard was published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    blocks: BTreeMap<BlockId, Arc<BlockEntry>>,
    /// End (exclusive, ms) of the newest published window of each shard: blocks hold what lies before, the head the rest.
    published_until_ms: BTreeMap<ShardId, i64>,
    /// Jobs under way.
    #[serde(default)]
    jobs: BTreeMap<JobId, Job>,
    /// Names of which objects may exist and which never became blocks, with when that was noticed (ms).
    #[serde(default)]
    orphans: BTreeMap<BlockId, Option<i64>>,
    /// Deletes that some block is subject to, or will be.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    deletes: BTreeMap<DeleteId, DeleteRequest>,
    /// Deletes that have left, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    finished_deletes: Vec<DeleteId>,
    /// Imports begun and done, by the text of their unit.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    imports: BTreeMap<String, ImportState>,
    /// The greatest end (exclusive, ms) of a shard's raw blocks that retention ended: what slots before it were made of is gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    retired_until_ms: BTreeMap<ShardId, i64>,
}

impl Catalogue {
    /// Returns a block, whatever its state.
    pub fn get(&self, id: BlockId) -> Option<&Arc<BlockEntry>> {
        self.blocks.get(&id)
    }

    /// Returns all blocks in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<BlockEntry>> {
        self.blocks.values()
    }

    /// Returns the blocks that queries read.
    pub fn active(&self) -> impl Iterator<Item = &BlockMeta> {
        self.blocks.values().filter(|entry| entry.state == BlockState::Active).map(|entry| &entry.meta)
    }

    /// Returns the blocks that queries read and that no job merges any more, since they are damaged.
    pub fn active_set_aside(&self) -> impl Iterator<Item = &Arc<BlockEntry>> {
        let is_aside =
            |entry: &&Arc<BlockEntry>| entry.state == BlockState::Active && entry.set_aside.is_some();
        self.blocks.values().filter(is_aside)
    }

    /// Returns the blocks that queries read and that may hold samples of a closed range.
    pub fn active_in(&self, range: TimeRange) -> impl Iterator<Item = &BlockMeta> {
        self.active().filter(move |meta| meta.range.overlaps(&range))
    }

    /// Returns where a shard's blocks end and its head begins: ms, `i64::MIN` before the first publication.
    pub fn published_until_ms(&self, shard: ShardId) -> i64 {
        self.published_until_ms.get(&shard).copied().unwrap_or(i64::MIN)
    }

    /// Adds a block that a shard's leader cut. `Ok(false)` when the very same block is there already.
    ///
    /// # Errors
    /// A sentence when its window, or a later one, was published with other contents.
    pub(crate) fn publish(&mut self, meta: BlockMeta) -> Result<bool, String> {
        if let Some(known) = self.blocks.get(&meta.id) {
            let same = known.meta == meta;
            return if same {
                Ok(false)
            } else {
                Err(format!("block {} is published with other contents", meta.id))
            };
        }
        let until = self.published_until_ms(meta.shard);
        if until > meta.range.start.0 {
            return Err(format!(
                "shard {} is published until {until}; a window from {} cannot be added",
                meta.shard, meta.range.start
            ));
        }
        self.published_until_ms.insert(meta.shard, meta.range.end.0);
        let id = meta.id;
        self.blocks.insert(id, Arc::new(BlockEntry::active(meta)));
        self.note_published(id);
        Ok(true)
    }

    /// Marks active blocks and unmarked orphans. Unknown and marked ones are passed over.
    /// `version` is the state's from this command on.
    fn tombstone(&mut self, ids: &[BlockId], at_ms: i64, reason: &str, version: u64) {
        for id in ids {
            if let Some(noticed) = self.orphans.get_mut(id).filter(|noticed| noticed.is_none()) {
                *noticed = Some(at_ms);
            } else if let Some(entry) = self.blocks.get_mut(id).filter(|e| e.state == BlockState::Active) {
                let state = BlockState::Tombstoned { at_ms, reason: reason.to_owned(), version };
                Arc::make_mut(entry).state = state;
            }
        }
    }

    /// Ends the life of blocks that are no longer kept, and marks orphans; as `tombstone`.
    pub(crate) fn retire(&mut self, ids: &[BlockId], at_ms: i64, reason: &str, version: u64) {
        for meta in ids.iter().filter_map(|id| self.blocks.get(id)).map(|entry| &entry.meta) {
            if meta.resolution_ms == 0 {
                let until_ms = self.retired_until_ms.entry(meta.shard).or_insert(i64::MIN);
                *until_ms = meta.range.end.0.max(*until_ms);
            }
        }
        self.tombstone(ids, at_ms, reason, version);
    }

    /// Lets jobs merge blocks again that were set aside; unknown ones and others are passed over.
    pub(crate) fn take_back(&mut self, ids: &[BlockId]) {
        for id in ids {
            if let Some(entry) = self.blocks.get_mut(id).filter(|entry| entry.set_aside.is_some()) {
                Arc::make_mut(entry).set_aside = None;
            }
        }
    }

    /// Forgets tombstoned blocks and marked orphans whose objects are gone. Others are passed over.
    pub(crate) fn purge(&mut self, ids: &[BlockId]) {
        self.orphans.retain(|id, noticed| noticed.is_none() || !ids.contains(id));
        let gone = |entry: &BlockEntry| ids.contains(&entry.meta.id) && entry.state != BlockState::Active;
        self.blocks.retain(|_, entry| !gone(entry));
        self.prune_deletes();
    }
}
