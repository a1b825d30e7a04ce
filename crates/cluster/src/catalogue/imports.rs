//! Imports of the catalogue: claiming a unit, committing its blocks.

use super::*;
use crate::import::{IMPORTS_MAX, ImportState, ImportUnit};
use crate::job::ORPHANS_MAX;
use crate::lease::Lease;
use crate::state::StateError;

impl Catalogue {
    /// Returns how far an import is; `None` when nobody began it.
    pub fn import(&self, unit: &ImportUnit) -> Option<&ImportState> {
        self.imports.get(&unit.to_string())
    }

    /// Tells whether a unit can be begun; `Some` when it is done, or is the member's own already.
    ///
    /// # Errors
    /// [`StateError::Conflict`] when another member has it or it is none; [`StateError::Limit`].
    pub(crate) fn import_of(
        &self,
        unit: &ImportUnit,
        outputs: u32,
        node: NodeId,
    ) -> Result<Option<&ImportState>, StateError> {
        unit.check(outputs).map_err(StateError::Conflict)?;
        match self.import(unit) {
            Some(ImportState::Open { lease, outputs: minted })
                if lease.holder != node || minted.len() != outputs as usize =>
            {
                return Err(StateError::Conflict(format!("import {unit} is done by node {}", lease.holder)));
            }
            Some(_) => {}
            None if self.imports.len() >= IMPORTS_MAX => {
                return Err(StateError::Limit(format!(
                    "{IMPORTS_MAX} imports are noted, the most there may be"
                )));
            }
            None if self.orphans.len() + outputs as usize > ORPHANS_MAX => {
                return Err(StateError::Limit(format!("{ORPHANS_MAX} orphans wait for their deletion")));
            }
            None => {}
        }
        Ok(self.import(unit))
    }

    /// Opens a unit that [`Catalogue::import_of`] let pass; returns the names for what it writes.
    pub(crate) fn open_import(&mut self, unit: &ImportUnit, outputs: u32, lease: Lease) -> Vec<BlockId> {
        let outputs = unit.mint(lease.epoch, outputs);
        let open = ImportState::Open { outputs: outputs.clone(), lease };
        self.imports.insert(unit.to_string(), open);
        outputs
    }

    /// Makes a unit's blocks active and notes that it is done. `published_until` of no shard moves: where blocks lie beyond
    /// it, queries read both them and the head. Slots of the same time are made anew. Again, it changes nothing. `version` is the
    /// state's from this command on.
    ///
    /// # Errors
    /// [`StateError::Fenced`] when the unit is no longer held with this epoch; [`StateError::Conflict`] when the blocks
    /// cannot be those of the unit.
    pub(crate) fn commit_import(
        &mut self,
        unit: &ImportUnit,
        epoch: Epoch,
        blocks: Vec<BlockMeta>,
        at_ms: i64,
        version: u64,
    ) -> Result<(), StateError> {
        let minted = match self.import(unit) {
            Some(ImportState::Done) => return Ok(()),
            Some(ImportState::Open { outputs, lease }) if lease.epoch == epoch => outputs.clone(),
            _ => {
                let text = format!("import {unit} is no longer held with epoch {epoch}");
                return Err(StateError::Fenced(text));
            }
        };
        for (at, block) in blocks.iter().enumerate() {
            let named = minted.contains(&block.id) && blocks[..at].iter().all(|other| other.id != block.id);
            let within = unit.range.start <= block.range.start && block.range.end <= unit.range.end;
            if !named || !within {
                let text = format!("block {} has another name or range than its import", block.id);
                return Err(StateError::Conflict(text));
            }
        }
        let unused = minted.into_iter().filter(|id| blocks.iter().all(|block| block.id != *id));
        self.orphans.extend(unused.map(|id| (id, None)));
        self.imports.insert(unit.to_string(), ImportState::Done);
        for meta in blocks {
            self.outdate_slots(&meta, at_ms, version);
            // Deletes that came before are of what was there then.
            self.blocks.insert(meta.id, Arc::new(BlockEntry::active(meta)));
        }
        Ok(())
    }

    /// Tells whether a member has begun an import.
    pub(crate) fn imports_of(&self, node: NodeId) -> bool {
        self.imports.values().any(|import| is_open_by(import, node))
    }

    /// Ends all imports of a member.
    pub(crate) fn abort_imports_of(&mut self, node: NodeId) {
        let ended = self.imports.extract_if(.., |_, import| is_open_by(import, node));
        let outputs = ended.flat_map(|(_, import)| match import {
            ImportState::Open { outputs, .. } => outputs,
            ImportState::Done => Vec::new(),
        });
        self.orphans.extend(outputs.map(|id| (id, None)));
    }
}

fn is_open_by(import: &ImportState, node: NodeId) -> bool {
    matches!(import, ImportState::Open { lease, .. } if lease.holder == node)
}
