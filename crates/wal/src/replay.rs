//! What the records say when they are read in order: the state of every group.
//!
//! While the records of a log whose oldest segments are gone are replayed, a group may have holes, which rewritten
//! entries fill later. Only the end state must have none.

use std::collections::BTreeMap;

use crate::format::{Kind, RecordHeader};
use crate::index::{Index, Slot};
use crate::segment::Place;
use crate::types::{LogId, Vote};

/// The groups so far.
#[derive(Default)]
pub(crate) struct Replay {
    groups: BTreeMap<u32, Group>,
}

#[derive(Default)]
struct Group {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    entries: BTreeMap<u64, (LogId, u32, Place)>,
}

impl Replay {
    /// Takes in the next record.
    pub(crate) fn apply(&mut self, record: &RecordHeader, payload_bytes: usize, place: Place) {
        if record.kind == Kind::Destroy {
            self.groups.remove(&record.group);
            return;
        }
        let group = self.groups.entry(record.group).or_default();
        let id = record.id;
        let flag = record.flag != 0;
        match record.kind {
            Kind::Create | Kind::Destroy => {}
            Kind::Vote => group.vote = Some(Vote { term: id.term, node: id.node, committed: flag }),
            Kind::Committed => group.committed = flag.then_some(id),
            Kind::Truncate if flag => drop(group.entries.split_off(&id.index.saturating_add(1))),
            Kind::Truncate => group.entries.clear(),
            Kind::Purge => group.purge(id),
            Kind::Entry => {
                group.entries.split_off(&id.index);
                group.insert(id, payload_bytes, place);
            }
            Kind::Rewrite => group.insert(id, payload_bytes, place),
        }
    }

    /// Returns the logs of all groups.
    ///
    /// # Errors
    /// A sentence that names the group and the entry that is missing.
    pub(crate) fn finish(self) -> Result<BTreeMap<u32, Index>, String> {
        self.groups.into_iter().map(|(id, group)| Ok((id, group.finish(id)?))).collect()
    }
}

impl Group {
    fn purge(&mut self, upto: LogId) {
        if self.purged.is_none_or(|purged| purged.index < upto.index) {
            self.purged = Some(upto);
            self.entries = self.entries.split_off(&upto.index.saturating_add(1));
        }
    }

    fn insert(&mut self, id: LogId, payload_bytes: usize, place: Place) {
        if self.purged.is_some_and(|purged| purged.index >= id.index) {
            return;
        }
        let payload_bytes = u32::try_from(payload_bytes).expect("a record holds its length as u32");
        self.entries.insert(id.index, (id, payload_bytes, place));
    }

    fn finish(self, group: u32) -> Result<Index, String> {
        let mut expected = self.purged.map(|purged| purged.index + 1);
        for index in self.entries.keys() {
            if expected.is_some_and(|expected| expected != *index) {
                return Err(format!("group {group}: entry {} is missing", expected.unwrap_or_default()));
            }
            expected = Some(index + 1);
        }
        let slots = self.entries.into_values().map(|(id, payload_bytes, place)| Slot {
            id,
            payload_bytes,
            command: 0,
            place: Some(place),
            payload: None,
        });
        let (vote, committed, purged) = (self.vote, self.committed, self.purged);
        let mut index = Index { vote, committed, purged, slots: slots.collect(), destroyed: false };
        // What was cut cannot stay committed: another entry may take its index.
        index.committed = index.state().committed;
        Ok(index)
    }
}
