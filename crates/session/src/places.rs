//! Where pushed series are kept: by a fingerprint of their labels, so that remembering a series costs no copy of its labels.
//!
//! A remote write names its series by labels in every request. What is remembered of one is 32 bytes; its labels were
//! hundreds, of each series a second time, since its shard holds them too.
//!
//! Two label sets of one fingerprint would be taken for one another. It has 128 bits: the stable hash, and a hash keyed with
//! random bits of this process. By chance that never happens, and who looks for equal stable hashes still has to
//! find equal keyed ones without ever seeing any.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use model::{SeriesRef, ShardId};

use crate::handle::SeriesHandle;

/// How many series are remembered; the older half is forgotten first.
const SERIES_MAX: usize = 2_000_000;

/// What stands for a label set; see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    stable: u64,
    keyed: u64,
}

impl std::hash::Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.keyed);
    }
}

/// Takes a keyed hash for what it is.
#[derive(Default)]
struct KeyedAlready(u64);

impl Hasher for KeyedAlready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("a fingerprint hashes one number");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type Places = HashMap<Fingerprint, (SeriesRef, ShardId), BuildHasherDefault<KeyedAlready>>;

/// Makes fingerprints. Those of another one are of no use.
#[derive(Clone, Default)]
pub(crate) struct FingerprintKey(RandomState);

impl FingerprintKey {
    /// Returns the fingerprint of a series' labels.
    pub(crate) fn of(&self, series: &SeriesHandle) -> Fingerprint {
        Fingerprint { stable: series.hash(), keyed: self.0.hash_one(series.labels().as_bytes()) }
    }
}

/// Two generations of places: a hit in the older one moves up, a full younger one becomes the older one.
#[derive(Default)]
pub(crate) struct PlaceCache {
    young: Places,
    old: Places,
}

impl PlaceCache {
    /// Returns the place of a series.
    pub(crate) fn get(&mut self, series: Fingerprint) -> Option<(ShardId, SeriesRef)> {
        if let Some((reference, shard)) = self.young.get(&series) {
            return Some((*shard, *reference));
        }
        let (reference, shard) = self.old.remove(&series)?;
        self.insert(series, shard, reference);
        Some((shard, reference))
    }

    /// Remembers a place, instead of the one known before.
    pub(crate) fn insert(&mut self, series: Fingerprint, shard: ShardId, reference: SeriesRef) {
        if self.young.len() >= SERIES_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(series, (reference, shard));
    }
}

#[cfg(test)]
mod tests {
    use model::LabelSet;

    use super::*;

    #[test]
    fn places_are_those_of_equal_labels() {
        let key = FingerprintKey::default();
        let series = |value: &str| SeriesHandle::new(LabelSet::from_pairs([("__name__", "m"), ("a", value)]));
        let of = |value: &str| key.of(&series(value));
        let mut places = PlaceCache::default();
        assert_eq!(places.get(of("1")), None);
        places.insert(of("1"), ShardId(7), SeriesRef(10));
        places.insert(of("2"), ShardId(7), SeriesRef(20));
        places.insert(of("1"), ShardId(8), SeriesRef(30));
        assert_eq!(places.get(of("1")), Some((ShardId(8), SeriesRef(30))));
        assert_eq!(places.get(of("2")), Some((ShardId(7), SeriesRef(20))));
        assert_ne!(FingerprintKey::default().of(&series("1")), of("1"), "keys are random");
    }

    #[test]
    fn what_is_used_stays_and_the_number_is_bounded() {
        let series = |number: u64| Fingerprint { stable: number, keyed: number };
        let mut places = PlaceCache::default();
        for number in 0..3 * SERIES_MAX as u64 {
            assert!(number == 0 || places.get(series(0)).is_some(), "used all the time");
            places.insert(series(number), ShardId(1), SeriesRef(number));
        }
        assert!(places.young.len() + places.old.len() <= SERIES_MAX);
        assert_eq!(places.get(series(1)), None, "forgotten");
    }
}
