//! Plans retention: which blocks are no longer kept, a pure function of the catalogue and the time.

use cluster::{BlockEntry, BlockState, Catalogue};
use model::BlockId;

use super::downsample::{FIVE_MINUTES_MS, HOUR_MS, can_be_reduced};

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
    /// Blocks that are older than their retention and are kept until coarser slots, which are kept longer, hold all of their
    /// samples. Those that can never become slots are not waited for. The limit of bytes may end them nevertheless.
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

    /// Tells whether blocks must have been reduced before they go: a coarser resolution is kept longer.
    fn is_reduced_first(&self, resolution_ms: i64) -> bool {
        let Some(own_ms) = self.of_resolution(resolution_ms) else { return false };
        let is_longer = |coarser: i64| self.of_resolution(coarser).is_none_or(|kept_ms| kept_ms > own_ms);
        [FIVE_MINUTES_MS, HOUR_MS].into_iter().any(|coarser| coarser > resolution_ms && is_longer(coarser))
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
    let is_active = |entry: &&BlockEntry| entry.state == BlockState::Active;
    let mut blocks: Vec<&BlockEntry> = catalogue.iter().map(AsRef::as_ref).filter(is_active).collect();
    blocks.sort_by_key(|entry| (entry.meta.range.end, entry.meta.id));
    let (mut expired, mut kept) = (Expired::default(), Vec::new());
    for entry in blocks {
        let meta = &entry.meta;
        let retention_ms = rules.of_resolution(meta.resolution_ms);
        let is_old = |ms: i64| meta.range.end.0 <= until_ms.saturating_sub(ms);
        let is_awaited = || {
            rules.is_reduced_first(meta.resolution_ms)
                && can_be_reduced(meta)
                && !catalogue.unreduced(entry).is_empty()
        };
        match retention_ms.filter(|ms| is_old(*ms)) {
            Some(ms) if !is_awaited() => expired.by_time.push((meta.id, ms)),
            Some(_) => {
                expired.awaited.push(meta.id);
                kept.push(meta);
            }
            None => kept.push(meta),
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
