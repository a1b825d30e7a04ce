//! Everything a head holds, and the rules by which a sample enters: the deterministic half of the crate.
//!
//! No clock, no randomness and no map order takes part: two states that went through the same calls in the same order
//! are equal in everything that can be observed, also when one of them was restored from a snapshot on the way.

use std::sync::Arc;

use batch::{Batch, BatchExemplar, BatchOutcome, BatchSample, Existing, RefusalKind, SeriesSlot, WideSample};
use hashbrown::HashTable;
use model::{LabelSet, Matcher, SampleValue, SeriesRef, TimeRange};
use roaring::RoaringBitmap;

use crate::chunk_log::ChunkStore;
use crate::exemplars::Exemplars;
use crate::index::Index;
use crate::label_table::LabelTable;
use crate::metadata::MetadataTable;
use crate::series::Series;
use crate::slots::Slots;
use crate::spool::Spool;
use crate::tombstones::Tombstones;
use crate::{HeadConfig, HeadError, matching};

/// See the module.
#[derive(Debug)]
pub(crate) struct State {
    config: HeadConfig,
    pub(crate) slots: Slots,
    pub(crate) index: Index,
    pub(crate) metadata: MetadataTable,
    pub(crate) exemplars: Exemplars,
    /// Series by the hash of their label set.
    by_hash: HashTable<u32>,
    /// Samples before it are refused. Never less than `dropped_until_ms`.
    pub(crate) sealed_until_ms: i64,
    /// Samples before it are gone.
    pub(crate) dropped_until_ms: i64,
    /// The newest sample there ever was.
    pub(crate) newest_ms: i64,
    /// No sample held is older.
    pub(crate) oldest_ms: i64,
    /// Samples held, those included that were dropped but share a chunk with later ones.
    pub(crate) samples: u64,
    /// Heap memory of the series' chunks, without those in the spool.
    pub(crate) chunk_bytes: usize,
    pub(crate) store: ChunkStore,
    /// How often series were removed: since then slots and pair ids may mean others.
    pub(crate) removals: u64,
    pub(crate) tombstones: Tombstones,
}

/// What became of one sample.
enum Verdict {
    Accepted,
    Duplicate,
    Conflicting(Existing),
    Refused(RefusalKind),
}

/// A sample on its way into a series: a float, or anything. Floats have a way of their own, which knows of no other kind.
trait Incoming {
    fn is_same(&self, known: &SampleValue) -> bool;
    fn append(self, time_ms: i64, series: &mut Series, store: &mut ChunkStore);
    fn insert_late(self, time_ms: i64, series: &mut Series, store: &mut ChunkStore);
}

impl Incoming for f64 {
    fn is_same(&self, known: &SampleValue) -> bool {
        SampleValue::Float(*self).is_same(known)
    }

    fn append(self, time_ms: i64, series: &mut Series, store: &mut ChunkStore) {
        series.append_float(time_ms, self, store);
    }

    fn insert_late(self, time_ms: i64, series: &mut Series, store: &mut ChunkStore) {
        series.insert_late(time_ms, 0, SampleValue::Float(self), &mut store.spool);
    }
}

/// A histogram, or a sample with a start timestamp.
struct Wide {
    start_ms: i64,
    value: SampleValue,
}

impl Wide {
    fn of(sample: &BatchSample, wide: &WideSample) -> Self {
        let histogram =
            wide.histogram.as_ref().map(|histogram| SampleValue::Histogram(Arc::clone(histogram)));
        Self { start_ms: wide.start_ms, value: histogram.unwrap_or(SampleValue::Float(sample.value)) }
    }
}

impl Incoming for Wide {
    fn is_same(&self, known: &SampleValue) -> bool {
        self.value.is_same(known)
    }

    fn append(self, time_ms: i64, series: &mut Series, store: &mut ChunkStore) {
        series.append(time_ms, self.start_ms, self.value, store);
    }

    fn insert_late(self, time_ms: i64, series: &mut Series, store: &mut ChunkStore) {
        series.insert_late(time_ms, self.start_ms, self.value, &mut store.spool);
    }
}

impl State {
    pub(crate) fn new(config: HeadConfig, spool: Spool) -> Self {
        Self {
            config,
            slots: Slots::default(),
            index: Index::default(),
            metadata: MetadataTable::default(),
            exemplars: Exemplars::new(config.exemplars_max),
            by_hash: HashTable::new(),
            sealed_until_ms: i64::MIN,
            dropped_until_ms: i64::MIN,
            newest_ms: i64::MIN,
            oldest_ms: i64::MAX,
            samples: 0,
            chunk_bytes: 0,
            store: ChunkStore::new(spool),
            removals: 0,
            tombstones: Tombstones::default(),
        }
    }

    /// Takes in what a batch declares, and its metadata.
    pub(crate) fn declare_all(&mut self, batch: &Batch) -> BatchOutcome {
        batch.metadata().iter().for_each(|metadata| self.metadata.insert(metadata));
        let declared_refs = batch.declared().iter().map(|labels| self.declare(labels)).collect();
        BatchOutcome { declared_refs, ..BatchOutcome::default() }
    }

    /// Takes in a batch's exemplars of series that are known.
    pub(crate) fn take_exemplars(&mut self, batch: &Batch) {
        for BatchExemplar { series, exemplar } in batch.exemplars() {
            if self.find(series.stable_hash(), series).is_some() {
                self.exemplars.push(series, exemplar);
            }
        }
    }

    /// Returns the ref of a label set, a new one if need be; `None` at the limit.
    fn declare(&mut self, labels: &LabelSet) -> Option<SeriesRef> {
        let hash = labels.stable_hash();
        if let Some(slot) = self.find(hash, labels) {
            return self.slots.series_ref(slot);
        }
        if self.index.all().len() >= self.config.series_max {
            return None;
        }
        let pairs = self.index.intern(labels);
        let slot = self.slots.insert(Series::new(hash, pairs));
        self.list(slot);
        self.slots.series_ref(slot)
    }

    /// Returns the slot of a label set.
    pub(crate) fn find(&self, hash: u64, labels: &LabelSet) -> Option<u32> {
        let is_same = |slot: &u32| {
            let series = self.slots.get(*slot).expect("the table holds slots of series");
            series.hash == hash && self.index.is_label_set(&series.pairs, labels)
        };
        self.by_hash.find(hash, is_same).copied()
    }

    /// Puts back a series with its chunks, behind all slots. Its label set must be a new one.
    pub(crate) fn restore(&mut self, generation: u32, series: Series) {
        self.chunk_bytes += series.size_bytes();
        self.samples += series.samples();
        if let (Some(first_ms), Some(newest_ms)) = (series.first_ms(), series.newest_ms()) {
            self.oldest_ms = self.oldest_ms.min(first_ms.max(self.dropped_until_ms));
            self.newest_ms = self.newest_ms.max(newest_ms);
        }
        let slot = self.slots.push(generation, Some(series));
        self.list(slot);
    }

    /// Makes the series in a slot known to the index and the table.
    fn list(&mut self, slot: u32) {
        let slots = &self.slots;
        let hash_of = |slot: &u32| slots.get(*slot).expect("the table holds slots of series").hash;
        let series = slots.get(slot).expect("the caller put it there");
        self.index.add(slot, &series.pairs);
        self.by_hash.insert_unique(series.hash, slot, hash_of);
    }

    /// Applies one sample of a batch whose series are declared, with what it has beyond a float.
    pub(crate) fn apply(
        &mut self,
        stamp_ms: i64,
        position: u32,
        sample: &BatchSample,
        wide: Option<&WideSample>,
        outcome: &mut BatchOutcome,
    ) {
        let series = match sample.series {
            SeriesSlot::Ref(series) => series,
            SeriesSlot::Declared(index) => match outcome.declared_refs[index as usize] {
                Some(series) => series,
                None => return outcome.refuse(position, RefusalKind::OverLimit),
            },
        };
        let verdict = match wide {
            None => self.append(stamp_ms, series, sample.time_ms, sample.value),
            Some(wide) => self.append(stamp_ms, series, sample.time_ms, Wide::of(sample, wide)),
        };
        match verdict {
            None => outcome.unknown_samples.push(position),
            Some(Verdict::Accepted) => outcome.accepted += 1,
            Some(Verdict::Duplicate) => outcome.duplicate += 1,
            Some(Verdict::Conflicting(existing)) => outcome.conflict(position, existing),
            Some(Verdict::Refused(kind)) => outcome.refuse(position, kind),
        }
    }

    /// Appends a sample by the rules of Prometheus (`tsdb/head_append.go`, `appendable`), with two differences: any
    /// sample that is already here is a duplicate, not only the newest, so that sending a batch again is harmless; and
    /// the bound below is the cut, not half a block before the newest sample. Returns `None` for an unknown ref.
    ///
    /// Start timestamps do not take part: of two samples that differ in nothing else the first one stays.
    fn append(
        &mut self,
        stamp_ms: i64,
        series: SeriesRef,
        time_ms: i64,
        sample: impl Incoming,
    ) -> Option<Verdict> {
        let series = self.slots.by_ref_mut(series)?;
        if time_ms > stamp_ms.saturating_add(self.config.future_ms_max) {
            return Some(Verdict::Refused(RefusalKind::TooNew));
        }
        let window_ms = self.config.out_of_order_window_ms;
        let is_in_order_only = window_ms <= 0;
        let is_late = series.newest_ms().is_some_and(|newest_ms| time_ms <= newest_ms);
        if is_late && time_ms >= self.dropped_until_ms {
            match series.find(time_ms, &mut self.store) {
                Some(known) if sample.is_same(&known) => return Some(Verdict::Duplicate),
                // Prometheus looks only at the newest sample, where it takes nothing that is late.
                Some(_) if is_in_order_only && series.newest_ms() > Some(time_ms) => {
                    return Some(Verdict::Refused(RefusalKind::OutOfOrder));
                }
                Some(SampleValue::Float(float)) => {
                    return Some(Verdict::Conflicting(Existing::Float(float)));
                }
                Some(SampleValue::Histogram(_)) => return Some(Verdict::Conflicting(Existing::Histogram)),
                None => {}
            }
        }
        if time_ms < self.sealed_until_ms {
            return Some(Verdict::Refused(RefusalKind::TooOld));
        }
        if is_late && is_in_order_only {
            return Some(Verdict::Refused(RefusalKind::OutOfOrder));
        }
        if is_late && time_ms < self.newest_ms.saturating_sub(window_ms) {
            return Some(Verdict::Refused(RefusalKind::TooOld));
        }
        let before = series.size_bytes();
        if is_late {
            sample.insert_late(time_ms, series, &mut self.store);
        } else {
            sample.append(time_ms, series, &mut self.store);
        }
        self.chunk_bytes = self.chunk_bytes + series.size_bytes() - before;
        self.samples += 1;
        self.newest_ms = self.newest_ms.max(time_ms);
        self.oldest_ms = self.oldest_ms.min(time_ms);
        Some(Verdict::Accepted)
    }

    /// See [`crate::Head::delete`].
    pub(crate) fn delete(
        &mut self,
        selectors: &[Vec<Matcher>],
        accepts: Option<&dyn Fn(&LabelSet) -> bool>,
        range: TimeRange,
    ) -> Result<usize, HeadError> {
        let mut found = RoaringBitmap::new();
        for matchers in selectors {
            found |= matching::select(&mut &*self, matchers).expect("nothing moves while the writer looks");
        }
        let mut table = LabelTable::default();
        table.resume(&self.index);
        let mut deleted = Vec::new();
        for slot in found {
            let series = self.slots.get(slot).expect("postings hold slots of series");
            let Some(held) = series.held(self.dropped_until_ms).map(|held| held.intersect(&range)) else {
                continue;
            };
            if let Some(accepts) = accepts {
                table.push(&self.index, &series.pairs);
                if !accepts(&table.label_set(table.len() - 1)) {
                    continue;
                }
            }
            if !held.is_empty() {
                deleted.push((self.slots.series_ref(slot).expect("it has a series"), held));
            }
        }
        let count = deleted.len();
        self.tombstones.add(deleted)?;
        Ok(count)
    }

    /// Refuses samples before a time from now on.
    pub(crate) fn cut(&mut self, window_end_ms: i64) {
        if window_end_ms > self.sealed_until_ms {
            self.sealed_until_ms = window_end_ms;
            self.tombstones.cut(window_end_ms);
        }
    }

    /// Forgets samples before a time, and series that have no other. Linear in the number of series.
    pub(crate) fn drop_before(&mut self, end_ms: i64) {
        if end_ms <= self.dropped_until_ms {
            return;
        }
        self.dropped_until_ms = end_ms;
        self.cut(end_ms);
        self.tombstones.drop_before(end_ms);
        self.oldest_ms = i64::MAX;
        let mut dead = RoaringBitmap::new();
        for (slot, series) in self.slots.series_mut() {
            let before = series.size_bytes();
            self.samples -= series.drop_before(end_ms, &mut self.store.spool);
            self.chunk_bytes = self.chunk_bytes + series.size_bytes() - before;
            match series.first_ms() {
                Some(first_ms) => self.oldest_ms = self.oldest_ms.min(first_ms.max(end_ms)),
                None => {
                    dead.insert(slot);
                }
            }
        }
        self.remove(&dead);
    }

    fn remove(&mut self, dead: &RoaringBitmap) {
        self.removals += u64::from(!dead.is_empty());
        let mut pairs = Vec::new();
        for slot in dead {
            let series = self.slots.remove(slot).expect("it was seen a moment ago");
            let entry = self.by_hash.find_entry(series.hash, |known| *known == slot);
            entry.expect("every series is in the table").remove();
            pairs.extend_from_slice(&series.pairs);
        }
        self.index.remove_all(dead, pairs);
    }
}
