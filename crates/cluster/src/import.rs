//! Imports: blocks made outside of the cluster, of the samples of another database's blocks.
//!
//! The unit is one aligned part of one foreign block. Life cycle:
//! 1. a claim names the unit; the state mints the names of what is uploaded and an epoch, as for a job (`crate::job`);
//! 2. a commit makes the unit's blocks active at once and notes that the unit is done, for ever, or
//! 3. the end of the importer's membership frees the unit, and the names become orphans.
//!
//! Not here: reading foreign blocks, and which parts there are (the command `norn import`).

use std::fmt;

use model::{BlockId, BlockRange, Epoch};
use serde::{Deserialize, Serialize};

use crate::job::JobId;
use crate::lease::Lease;

/// How many blocks one unit yields at the most: one a shard.
pub const IMPORT_OUTPUTS_MAX: usize = 4096;
/// How many units are open or noted as done at the most; beyond, a claim is refused.
pub const IMPORTS_MAX: usize = 200_000;
/// How long the name of a foreign block may be, in bytes; those of Prometheus have 26.
pub const IMPORT_SOURCE_BYTES_MAX: usize = 128;

/// One part of one foreign block: what is imported at once or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportUnit {
    /// The foreign block's name, which no other block has: its ULID.
    pub source: String,
    /// All samples of the unit lie within it.
    pub range: BlockRange,
}

impl fmt::Display for ImportUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.source, self.range.start, self.range.end)
    }
}

impl ImportUnit {
    /// Tells what is wrong with the unit itself, if anything is.
    pub(crate) fn check(&self, outputs: u32) -> Result<(), String> {
        if self.source.is_empty() || self.source.len() > IMPORT_SOURCE_BYTES_MAX {
            let len = self.source.len();
            return Err(format!(
                "a source's name has {len} bytes; 1 to {IMPORT_SOURCE_BYTES_MAX} are allowed"
            ));
        }
        if self.range.start >= self.range.end {
            return Err(format!("import {self}: the range is empty"));
        }
        if outputs == 0 || outputs as usize > IMPORT_OUTPUTS_MAX {
            return Err(format!("an import has {outputs} outputs; 1 to {IMPORT_OUTPUTS_MAX} are allowed"));
        }
        Ok(())
    }

    /// Names the outputs of one attempt. Epochs are given once, so no other attempt or job has these names.
    pub(crate) fn mint(&self, epoch: Epoch, outputs: u32) -> Vec<BlockId> {
        let id = JobId::of_text(&format!("import {self}"));
        (0..outputs).map(|output| id.mint(self.range, epoch, output)).collect()
    }
}

/// How far a unit is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImportState {
    /// Somebody does it.
    Open {
        /// The ids that it may give to what it writes.
        outputs: Vec<BlockId>,
        /// Who does it; ends with the holder's membership.
        lease: Lease,
    },
    /// Its samples are in the cluster, or retention has deleted them since.
    Done,
}
