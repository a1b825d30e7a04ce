//! What a writer remembers of the series that were pushed to it: where each is kept, by a fingerprint of its labels' bytes.
//!
//! It holds no labels: they would be most of what a process keeps of a series. So two series with equal fingerprints would be
//! taken for one. Fingerprints are 128 bits of XXH3 with a seed that is drawn at the start: of ten million series, two are
//! equal with a probability of about 10^-25.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

use storage::SeriesLabels;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::handle::{Place, SeriesHandle};

/// How many series are remembered; the older half is forgotten first.
const SERIES_MAX: usize = 2_000_000;

/// A fingerprint of labels as they were sent, of use in this process only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fingerprint(u128);

impl std::hash::Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0 as u64);
    }
}

/// Fingerprints are hashes already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a fingerprint is hashed as one number");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// What is remembered of one series.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Known {
    /// The stable hash of the labels.
    hash: u64,
    pub(crate) place: Place,
}

impl Known {
    /// Makes the handle of a series of which this is remembered, if anything is.
    ///
    /// # Errors
    /// The reason why the labels of a series of which nothing is remembered cannot be stored.
    pub(crate) fn handle(known: Option<Self>, labels: SeriesLabels) -> Result<SeriesHandle, String> {
        let hash =
            known.map_or_else(|| Ok(labels.decode()?.stable_hash()), |known| Ok::<_, String>(known.hash))?;
        Ok(SeriesHandle::placed(labels, hash, known.map(|known| known.place)))
    }
}

type Map = HashMap<Fingerprint, Known, BuildHasherDefault<Identity>>;

/// Two generations: a hit in the older one moves up, a full younger one becomes the older one.
pub(crate) struct KnownSeries {
    seed: u64,
    young: Map,
    old: Map,
}

impl Default for KnownSeries {
    fn default() -> Self {
        Self { seed: RandomState::new().hash_one(()), young: Map::default(), old: Map::default() }
    }
}

impl KnownSeries {
    /// Returns the seed of fingerprints.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Remembers where a series is kept, or forgets it.
    pub(crate) fn learn(&mut self, fingerprint: Fingerprint, handle: &SeriesHandle) {
        let Some(place) = handle.place() else {
            self.young.remove(&fingerprint);
            self.old.remove(&fingerprint);
            return;
        };
        self.insert(fingerprint, Known { hash: handle.hash(), place });
    }

    /// Returns what is remembered of a series. Nearly all of its cost is waiting for memory, so several in a row cost less
    /// than each alone.
    pub(crate) fn find(&mut self, fingerprint: Fingerprint) -> Option<Known> {
        if let Some(known) = self.young.get(&fingerprint) {
            return Some(*known);
        }
        let known = self.old.remove(&fingerprint)?;
        self.insert(fingerprint, known);
        Some(known)
    }

    fn insert(&mut self, fingerprint: Fingerprint, known: Known) {
        if self.young.len() >= SERIES_MAX / 2 && !self.young.contains_key(&fingerprint) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(fingerprint, known);
    }
}

/// Returns the fingerprint of labels; label sets and sent bytes never share one but by chance.
pub(crate) fn fingerprint(labels: &SeriesLabels, seed: u64) -> Fingerprint {
    Fingerprint(match labels {
        SeriesLabels::Set(set) => xxh3_128_with_seed(set.as_bytes(), seed),
        SeriesLabels::Sent(sent) => xxh3_128_with_seed(&sent.bytes, !seed),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use model::{LabelSet, SeriesRef, ShardId};
    use storage::SentLabels;

    use super::*;

    fn sent(name: &str) -> SeriesLabels {
        let decode = |bytes: &[u8]| match bytes {
            b"bad" => Err("bad labels".to_owned()),
            name => Ok(LabelSet::from_pairs([("__name__", String::from_utf8_lossy(name))])),
        };
        SeriesLabels::Sent(SentLabels { bytes: Bytes::copy_from_slice(name.as_bytes()), decode })
    }

    /// Makes the handle, gives it a place, and lets the cache learn it.
    fn push(known: &mut KnownSeries, name: &str, place: Option<Place>) -> Option<Place> {
        let fingerprint = fingerprint(&sent(name), known.seed());
        let handle = Known::handle(known.find(fingerprint), sent(name)).expect("the labels decode");
        let before = handle.place();
        assert_eq!(handle.hash(), handle.labels().stable_hash(), "the hash is that of the labels");
        handle.set_place(place);
        known.learn(fingerprint, &handle);
        before
    }

    #[test]
    fn remembers_where_a_series_is_until_it_is_forgotten() {
        let mut known = KnownSeries::default();
        let place = |reference| Some((ShardId(3), SeriesRef(reference)));
        assert_eq!(push(&mut known, "up", place(7)), None);
        assert_eq!(push(&mut known, "down", place(8)), None);
        assert_eq!(push(&mut known, "up", place(9)), place(7));
        known.old = std::mem::take(&mut known.young);
        assert_eq!(push(&mut known, "up", None), place(9), "the older generation is asked as well");
        assert_eq!(push(&mut known, "up", None), None);
        assert_eq!(push(&mut known, "down", None), place(8));
        assert!(known.young.is_empty() && known.old.is_empty());
    }

    #[test]
    fn what_is_used_stays_and_the_number_is_bounded() {
        let known_at = |number| Known { hash: number, place: (ShardId(1), SeriesRef(number)) };
        let mut known = KnownSeries::default();
        for number in 0..3 * SERIES_MAX as u64 {
            assert!(number == 0 || known.find(Fingerprint(0)).is_some(), "used all the time");
            known.insert(Fingerprint(number.into()), known_at(number));
        }
        assert!(known.young.len() + known.old.len() <= SERIES_MAX);
        assert_eq!(known.find(Fingerprint(1)), None, "forgotten");
    }

    #[test]
    fn labels_that_do_not_decode_have_no_handle() {
        let reason = Known::handle(None, sent("bad")).err();
        assert_eq!(reason.as_deref(), Some("bad labels"));
    }

    #[test]
    fn sent_bytes_and_label_sets_have_fingerprints_of_their_own() {
        let set = LabelSet::from_pairs([("a", "b")]);
        let bytes = Bytes::copy_from_slice(set.as_bytes());
        let sent = SeriesLabels::Sent(SentLabels { bytes, decode: |_| Err("not asked".to_owned()) });
        assert_ne!(fingerprint(&sent, 1), fingerprint(&SeriesLabels::Set(set), 1));
        assert_ne!(fingerprint(&sent, 1), fingerprint(&sent, 2));
    }
}
