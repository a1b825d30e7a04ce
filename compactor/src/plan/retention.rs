//! Plans retention: which blocks are no longer kept, a pure function of the catalogue and the time.

use std::collections::BTreeMap;

use cluster::Catalogue;
use model::{BlockId, BlockMeta, TimestampMs};

use super::downsample::{FIVE_MINUTES_MS, HOUR_MS};

/// How long samples are kept, and how much of them. Nothing is for ever but what is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionRules {
    /// How long samples as they came are kept, ms.
    pub raw_ms: Option<i64>,
    /// How long samples reduced to five minutes are kept, ms.
    pub five_minutes_ms: Option<i64>,
    /// How long samples reduced to an hour are kept, ms.
    pub hour_ms: Option<i64>,
    /// How many bytes the objects of all blocks take together at the most, the oldest blocks go first. `None` without a limit.
    pub size_bytes: Option<u64>,
}

/// What retention decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Blocks that are older than the retention of their resolution, oldest first, each with the retention.
    pub by_time: Vec<(BlockId, i64)>,
    /// Blocks that are above the limit of bytes, oldest first.
    pub by_size: Vec<BlockId>,
    /// Blocks that are older than their retention and are kept until a coarser resolution, which is kept longer, holds their
    /// range.
    pub awaited: Vec<BlockId>,
}

impl RetentionRules {
    /// Keeps samples of all resolutions equally long.
    pub const fn of_time(retention_ms: Option<i64>) -> Self {
        let ms = retention_ms;
        Self { raw_ms: ms, five_minutes_ms: ms, hour_ms: ms, size_bytes: None }
    }

    /// Returns how long blocks of a resolution (ms, 0 for raw samples) are kept.
    pub fn of_resolution(&self, resolution_ms: i64) -> Option<i64> {
        match resolution_ms {
            ..=0 => self.raw_ms,
            1..=FIVE_MINUTES_MS => self.five_minutes_ms,
            _ => self.hour_ms,
        }
    }

    /// Returns the resolution into which blocks must have been reduced before they go, if a coarser one is kept longer.
    fn awaited_resolution(&self, resolution_ms: i64) -> Option<i64> {
        let own_ms = self.of_resolution(resolution_ms)?;
        let is_longer = |coarser: i64| self.of_resolution(coarser).is_none_or(|kept_ms| kept_ms > own_ms);
        let coarser = [FIVE_MINUTES_MS, HOUR_MS].into_iter().filter(|coarser| *coarser > resolution_ms);
        // Each is made of the next finer one, so the next one is what counts.
        coarser.clone().any(is_longer).then(|| coarser.min()).flatten()
    }
}

/// Returns the active blocks that retention no longer keeps.
///
/// By time, those that end at or before the horizon of their resolution. It lies the retention before `now_ms`, or before the end
/// of the newest block if that is earlier: as in Prometheus (`tsdb/db.go`, `BeyondTimeRetention`), age is measured against the
/// data. A clock that ran ahead can therefore not delete what it should keep, and a cluster that stopped writing keeps its last
/// samples. By size, as there (`BeyondSizeRetention`), the oldest of what time has left.
pub fn expired(catalogue: &Catalogue, now_ms: i64, rules: RetentionRules) -> Expired {
    let Some(newest_ms) = catalogue.iter().map(|entry| entry.meta.range.end.0).max() else {
        return Expired::default();
    };
    let until_ms = now_ms.min(newest_ms);
    let mut blocks: Vec<&BlockMeta> = catalogue.active().collect();
    blocks.sort_by_key(|meta| (meta.range.end, meta.id));
    let (mut expired, mut kept) = (Expired::default(), Vec::new());
    for meta in &blocks {
        let retention_ms = rules.of_resolution(meta.resolution_ms);
        let is_old = |ms: i64| meta.range.end.0 <= until_ms.saturating_sub(ms);
        match (retention_ms.filter(|ms| is_old(*ms)), rules.awaited_resolution(meta.resolution_ms)) {
            (None, _) => kept.push(*meta),
            (Some(_), Some(coarser)) if !is_covered(meta, coarser, &blocks) => expired.awaited.push(meta.id),
            (Some(ms), _) => expired.by_time.push((meta.id, ms)),
        }
    }
    let mut left = rules.size_bytes.unwrap_or(u64::MAX);
    for meta in kept.iter().rev() {
        let bytes = meta.series_object.size_bytes + meta.chunks_object.size_bytes;
        match left.checked_sub(bytes) {
            Some(less) if expired.by_size.is_empty() => left = less,
            _ => expired.by_size.push(meta.id),
        }
    }
    expired.by_size.reverse();
    expired
}

/// Tells whether active blocks of a resolution hold all of a block's range. Parts of a split become active together, so it is
/// enough that some part does.
fn is_covered(meta: &BlockMeta, resolution_ms: i64, blocks: &[&BlockMeta]) -> bool {
    let is_coarser = |other: &&&BlockMeta| other.shard == meta.shard && other.resolution_ms == resolution_ms;
    let ranges: BTreeMap<TimestampMs, TimestampMs> =
        blocks.iter().filter(is_coarser).map(|other| (other.range.start, other.range.end)).collect();
    let mut covered = meta.range.start;
    for (start, end) in ranges {
        if start <= covered {
            covered = covered.max(end);
        }
    }
    covered >= meta.range.end
}
