//! Pages in memory, and the memory of which pages were used before.
//!
//! A page that comes for the first time is on trial: an eighth of the room, the oldest goes first. Its second use, while it
//! is on trial or soon after it had to go, moves it to the rest of the room, where the least recently used goes first, and
//! tells the caller to keep it on disk too. So what is read once, however much, evicts nothing that is read again and
//! again, and writes nothing.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use parking_lot::Mutex;

use super::entry::EntryName;
use crate::lru::Lru;

/// The part of the room for pages on trial: one in so many bytes.
const TRIAL_SHARE: u64 = 8;
/// How many pages are remembered after their first use: 8 to 16 GiB of them take 5 MiB of memory.
const REMEMBERED_MAX: usize = 128 << 10;

/// How often a page was used, this time included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// For the first time, as far as is remembered.
    First,
    /// For the second: it is worth a place on disk.
    Second,
    /// Oftener.
    Later,
}

/// Pages, bounded by bytes.
pub(crate) struct PageMemory {
    bytes_max: u64,
    state: Mutex<State>,
}

struct State {
    trial: Lru<EntryName, Bytes>,
    kept: Lru<EntryName, Bytes>,
    remembered: Names,
}

/// Fingerprints of names by age, bounded; the oldest is forgotten.
#[derive(Default)]
struct Names {
    set: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Names {
    /// Adds a name; tells whether it was there.
    fn insert(&mut self, name: EntryName) -> bool {
        let print = name.fingerprint();
        if !self.set.insert(print) {
            return true;
        }
        if self.order.len() == REMEMBERED_MAX {
            let oldest = self.order.pop_front();
            oldest.map(|oldest| self.set.remove(&oldest));
        }
        self.order.push_back(print);
        false
    }
}

impl PageMemory {
    /// Makes room for so many bytes; with none, pages are only remembered by name.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let trial = bytes_max / TRIAL_SHARE;
        let state =
            State { trial: Lru::new(trial), kept: Lru::new(bytes_max - trial), remembered: Names::default() };
        Self { bytes_max, state: Mutex::new(state) }
    }

    /// Returns a page, and how often it was used.
    pub(crate) fn get(&self, name: EntryName) -> Option<(Bytes, Use)> {
        let mut state = self.state.lock();
        if let Some(bytes) = state.kept.get(&name) {
            return Some((bytes.clone(), Use::Later));
        }
        let bytes = state.trial.remove(&name)?;
        state.keep(name, bytes.clone());
        Some((bytes, Use::Second))
    }

    /// Takes in a page that came from the store; returns how often it was used. Copies it: `bytes` may be a part of a
    /// much longer read.
    pub(crate) fn admit(&self, name: EntryName, bytes: &Bytes) -> Use {
        let copy = (self.bytes_max > 0).then(|| Bytes::copy_from_slice(bytes));
        let mut state = self.state.lock();
        let usage = if state.remembered.insert(name) { Use::Second } else { Use::First };
        if let Some(copy) = copy {
            let weight = copy.len() as u64;
            match usage {
                Use::First => drop(state.trial.insert(name, copy, weight)),
                _ => state.keep(name, copy),
            }
        }
        usage
    }

    /// Takes in a page that came from disk, where it is since it was used often. Its bytes are its own.
    pub(crate) fn keep(&self, name: EntryName, bytes: Bytes) {
        if self.bytes_max > 0 {
            self.state.lock().keep(name, bytes);
        }
    }

    /// Removes a page, if it is there.
    pub(crate) fn forget(&self, name: EntryName) {
        let mut state = self.state.lock();
        state.trial.remove(&name);
        state.kept.remove(&name);
    }

    /// Returns how many bytes are held.
    pub(crate) fn bytes(&self) -> u64 {
        let state = self.state.lock();
        state.trial.weight() + state.kept.weight()
    }
}

impl State {
    fn keep(&mut self, name: EntryName, bytes: Bytes) {
        let weight = bytes.len() as u64;
        self.kept.insert(name, bytes, weight);
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::EntryKey;
    use super::*;

    fn name(page: u64) -> EntryName {
        EntryKey::new("object", page * 100..(page + 1) * 100).name()
    }

    fn page() -> Bytes {
        Bytes::from_static(&[7; 100])
    }

    #[test]
    fn a_scan_evicts_nothing_that_is_used_again() {
        let memory = PageMemory::new(8000);
        for hot in 0..50 {
            assert_eq!(memory.admit(name(hot), &page()), Use::First);
            assert_eq!(memory.get(name(hot)), Some((page(), Use::Second)));
            assert_eq!(memory.get(name(hot)), Some((page(), Use::Later)));
        }
        for scanned in 1000..3000 {
            assert_eq!(memory.admit(name(scanned), &page()), Use::First);
        }
        assert!((0..50).all(|hot| memory.get(name(hot)) == Some((page(), Use::Later))));
        assert_eq!(memory.bytes(), 5000 + 1000);
        assert_eq!(memory.get(name(1000)), None);
        assert_eq!(memory.admit(name(1000), &page()), Use::Second, "it is remembered by its name");
        let held = memory.bytes();
        memory.forget(name(1));
        assert_eq!((memory.bytes(), memory.get(name(1))), (held - 100, None));
    }

    #[test]
    fn without_room_pages_are_still_told_apart() {
        let memory = PageMemory::new(0);
        assert_eq!(memory.admit(name(1), &page()), Use::First);
        assert_eq!((memory.get(name(1)), memory.bytes()), (None, 0));
        assert_eq!(memory.admit(name(1), &page()), Use::Second);
        memory.keep(name(1), page());
        assert_eq!(memory.bytes(), 0);
    }

    #[test]
    fn names_are_forgotten_in_order() {
        let mut names = Names::default();
        assert!((0..REMEMBERED_MAX as u64 + 10).all(|page| !names.insert(name(page))));
        assert_eq!((names.set.len(), names.order.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
        assert!(names.insert(name(10)) && !names.insert(name(9)));
    }
}
