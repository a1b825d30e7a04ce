//! Jobs: blocks that one compactor at a time replaces by others, or makes coarser ones of.
//!
//! Life cycle:
//! 1. a claim names the inputs; the state mints the outputs' ids and an epoch, so every object that may ever be written is
//!    known before it is, and no two attempts write the same object;
//! 2. a commit makes the outputs active and the inputs tombstoned in one command (a downsampling leaves its inputs), or
//! 3. an abort, also by the end of the holder's membership, frees the inputs; the outputs' ids become orphans, whose
//!    objects garbage collection deletes.
//!
//! Not here: which blocks to merge (the compactor's planner), and the work itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use model::{BlockId, BlockRange, Epoch};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::delete::DeleteId;
use crate::lease::Lease;

/// How many blocks one job reads at the most; a job is part of every snapshot of the control state.
pub const JOB_INPUTS_MAX: usize = 1000;
/// How many blocks one job writes at the most.
pub const JOB_OUTPUTS_MAX: usize = 64;
/// How many jobs are open at once at the most.
pub const JOBS_MAX: usize = 1000;
/// How many orphans wait for their deletion at the most; beyond, no job is given out.
pub const ORPHANS_MAX: usize = 100_000;
/// A block's name holds the end of its range above this bit.
const TIME_SHIFT: u32 = 80;

/// Names a job after what it does: the same inputs to the same level and resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl JobId {
    pub(crate) fn of(order: &JobOrder) -> Self {
        let inputs: String = order.inputs.iter().map(|id| format!(" {id}")).collect();
        let does = match order.downsample {
            None => "merge".to_owned(),
            Some(Downsampling { resolution_ms, window }) => {
                format!("downsample {resolution_ms} {} {}", window.start, window.end)
            }
        };
        Self::of_text(&format!("{does} {} {}{inputs}", order.level, order.outputs))
    }

    pub(crate) fn of_text(text: &str) -> Self {
        Self(xxh3_64(text.as_bytes()))
    }

    /// Names one output of one attempt. Epochs are given once, so no other attempt has this name.
    pub(crate) fn mint(self, range: BlockRange, epoch: Epoch, output: u32) -> BlockId {
        let below = (1u128 << TIME_SHIFT) - 1;
        let hash = xxh3_128(format!("{self} {epoch} {output}").as_bytes());
        BlockId((range.end.0.max(0) as u128) << TIME_SHIFT | hash & below)
    }
}

/// What is to be merged or downsampled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobOrder {
    /// Active blocks of one shard, ascending, each once.
    pub inputs: Vec<BlockId>,
    /// The level of the outputs.
    pub level: u8,
    /// How many blocks come out at the most.
    pub outputs: u32,
    /// What is made of the inputs beside them, when they are not to be replaced: their samples at a coarser resolution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downsample: Option<Downsampling>,
}

/// A downsampling: the inputs stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downsampling {
    /// The resolution of the output, ms; a multiple of that of the inputs.
    pub resolution_ms: i64,
    /// What of the inputs is read, and the range of the output; both ends are multiples of the resolution.
    pub window: BlockRange,
}

impl Downsampling {
    fn check(&self) -> Result<(), String> {
        let Self { resolution_ms, window } = *self;
        let is_aligned = |time_ms: i64| time_ms.rem_euclid(resolution_ms) == 0;
        if resolution_ms <= 0 || !is_aligned(window.start.0) || !is_aligned(window.end.0) {
            return Err(format!("{} to {} are no slots of {resolution_ms} ms", window.start, window.end));
        }
        Ok(())
    }
}

impl JobOrder {
    /// Tells what is wrong with the order itself, if anything is.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.inputs.is_empty() || self.inputs.len() > JOB_INPUTS_MAX {
            return Err(format!("a job has {} inputs; 1 to {JOB_INPUTS_MAX} are allowed", self.inputs.len()));
        }
        if !self.inputs.is_sorted_by(|a, b| a < b) {
            return Err("a job's inputs do not ascend".to_owned());
        }
        if self.outputs == 0 || self.outputs as usize > JOB_OUTPUTS_MAX {
            return Err(format!("a job has {} outputs; 1 to {JOB_OUTPUTS_MAX} are allowed", self.outputs));
        }
        self.downsample.map_or(Ok(()), |downsample| downsample.check())
    }
}

/// A job under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// What it does.
    pub order: JobOrder,
    /// The ids that it may give to what it writes.
    pub outputs: Vec<BlockId>,
    /// Who does it; ends with the holder's membership.
    pub lease: Lease,
    /// What it leaves out of each input: deletes that had come before the claim.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub deletes: BTreeMap<BlockId, BTreeSet<DeleteId>>,
}

impl Job {
    /// Tells whether ids are some of the minted ones, each once.
    pub(crate) fn minted(&self, ids: impl Iterator<Item = BlockId>) -> bool {
        let mut seen = BTreeSet::new();
        ids.into_iter().all(|id| self.outputs.contains(&id) && seen.insert(id))
    }
}

/// A block that a job could not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadBlock {
    /// Which.
    pub id: BlockId,
    /// What is wrong with it, for people.
    pub reason: String,
}
