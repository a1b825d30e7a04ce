//! Empty segment files that stand ready: created ahead as zeros, or recycled from segments nobody needs.
//!
//! The log takes a spare whenever it rolls; it never creates a file while a batch waits, so a full disk shows here,
//! before anything was promised.

use std::io;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile};

const SPARE_PREFIX: &str = "spare-";

/// How many spares beyond the minimum are kept for reuse; further ones are removed to give back the space.
const SPARES_KEPT: usize = 2;

/// The spare files of a log.
pub(crate) struct Spares {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    names: Vec<String>,
    next_number: u64,
    wanted: usize,
}

impl Spares {
    /// Finds the spares among the files; those of another size are removed.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        names: &[String],
        segment_bytes: u64,
        wanted: usize,
    ) -> io::Result<Self> {
        let mut spares = Self { disk, segment_bytes, names: Vec::new(), next_number: 0, wanted };
        for name in names {
            let Some(number) = name.strip_prefix(SPARE_PREFIX).and_then(|digits| digits.parse::<u64>().ok())
            else {
                continue;
            };
            spares.next_number = spares.next_number.max(number + 1);
            // A file that a crash left half created is shorter; its name alone promises nothing.
            if spares.disk.open(name)?.length()? == segment_bytes && spares.names.len() < wanted + SPARES_KEPT
            {
                spares.names.push(name.clone());
            } else {
                spares.disk.remove(name)?;
            }
        }
        Ok(spares)
    }

    /// Returns how many stand ready.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns whether as many stand ready as the queue's promise needs.
    pub(crate) fn enough(&self) -> bool {
        self.names.len() >= self.wanted
    }

    fn fresh_name(&mut self) -> String {
        self.next_number += 1;
        format!("{SPARE_PREFIX}{}", self.next_number - 1)
    }

    /// Creates one more file.
    pub(crate) fn create(&mut self) -> io::Result<()> {
        let name = self.fresh_name();
        self.disk.create(&name, self.segment_bytes)?;
        self.names.push(name);
        Ok(())
    }

    /// Hands out a spare with its name, if there is one.
    pub(crate) fn take(&mut self) -> io::Result<Option<(String, Arc<dyn DiskFile>)>> {
        let Some(name) = self.names.pop() else {
            return Ok(None);
        };
        let file = self.disk.open(&name)?;
        Ok(Some((name, file)))
    }

    /// Takes the file of a segment that is needed no more. It has lost its old name on return.
    pub(crate) fn recycle(&mut self, segment_name: &str, capacity: u64) -> io::Result<()> {
        let name = self.fresh_name();
        self.disk.rename(segment_name, &name)?;
        if capacity == self.segment_bytes && self.names.len() < self.wanted + SPARES_KEPT {
            self.names.push(name);
            return Ok(());
        }
        self.disk.remove(&name)
    }
}
