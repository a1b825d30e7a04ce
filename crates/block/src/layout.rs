//! Names and numbers that both files share: keys in the bucket, column names, key-value metadata, limits.

use std::collections::BTreeMap;

use model::{BlockId, BlockRange, ShardId, SortRange};
use parquet::file::metadata::KeyValue;
use serde::{Deserialize, Serialize};

/// The format's version, in the metadata of both files. A reader refuses any other.
pub(crate) const FORMAT_VERSION: &str = "1";
/// What both files name as their writer. It names the format only: replicas of different releases write equal bytes.
pub(crate) const CREATED_BY: &str = "norn block format 1";

pub(crate) const SERIES_FILE: &str = "series.parquet";
pub(crate) const CHUNKS_FILE: &str = "chunks.parquet";

/// How many labels have a column of their own; each costs about 225 bytes of footer. The rest share [`REST_COLUMN`].
pub(crate) const LABEL_COLUMNS_MAX: usize = 512;
/// Rows of a block are numbered by 32 bits with room to spare; a shard splits long before.
pub(crate) const ROWS_MAX: usize = 1 << 30;

pub(crate) const LABEL_COLUMN_PREFIX: &str = "l_";
/// Labels without a column, as the stored form of a label set.
pub(crate) const REST_COLUMN: &str = "l_rest";
/// Bits of what a series holds: [`KIND_FLOAT`] and those beside it.
pub(crate) const KINDS_COLUMN: &str = "s_kinds";
pub(crate) const MINT_COLUMN: &str = "s_mint";
pub(crate) const MAXT_COLUMN: &str = "s_maxt";
pub(crate) const SAMPLES_COLUMN: &str = "s_samples";
/// The most windows that a reader takes: far above what is written, far below harm.
pub(crate) const WINDOWS_MAX: usize = 1000;

/// The series has float samples.
pub(crate) const KIND_FLOAT: i32 = 1;
/// The series has histograms with exponential buckets. Integer and float ones are stored alike, so bit 2 is never set.
pub(crate) const KIND_HISTOGRAM: i32 = 1 << 1;
/// The series has histograms with custom buckets.
pub(crate) const KIND_CUSTOM_BUCKETS: i32 = 1 << 3;
/// The series has start timestamps.
pub(crate) const KIND_START: i32 = 1 << 4;
/// The series has staleness markers.
pub(crate) const KIND_STALE: i32 = 1 << 5;

pub(crate) const KV_FORMAT: &str = "norn.format";
pub(crate) const KV_BLOCK: &str = "norn.block";
pub(crate) const KV_SHARD: &str = "norn.shard";
pub(crate) const KV_LEVEL: &str = "norn.level";
pub(crate) const KV_MINT: &str = "norn.mint";
pub(crate) const KV_MAXT: &str = "norn.maxt";
pub(crate) const KV_CUT_INDEX: &str = "norn.cut_index";
pub(crate) const KV_PARENTS: &str = "norn.parents";
pub(crate) const KV_RESOLUTION: &str = "norn.resolution_ms";
pub(crate) const KV_SORT_RANGE: &str = "norn.sort_range";
pub(crate) const KV_EXTERNAL_LABELS: &str = "norn.ext_labels";
pub(crate) const KV_WINDOWS: &str = "norn.windows";
pub(crate) const KV_STATS: &str = "norn.stats";
pub(crate) const KV_ROWS_XXH3: &str = "norn.rows_xxh3";
pub(crate) const KV_SORT_LABELS: &str = "norn.sort_labels";
pub(crate) const KV_INDEX: &str = "norn.index";
pub(crate) const KV_METADATA: &str = "norn.meta";
pub(crate) const KV_PAGES: &str = "norn.pages";
pub(crate) const KV_CHUNKS: &str = "norn.chunks";

/// Counts of a block, in the metadata of both files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stats {
    pub(crate) series: u64,
    pub(crate) samples: u64,
}

/// What `series.parquet` says of `chunks.parquet`, so that the pair is proven and the tail is checked before it is parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChunksFacts {
    pub(crate) size_bytes: u64,
    pub(crate) tail_bytes: u64,
    pub(crate) crc32c: u32,
    pub(crate) tail_crc32c: u32,
}

/// Returns the keys of a block's two objects, series first, below the bucket's prefix.
///
/// Two hexadecimal digits of a hash come first, because object stores scale by prefix.
pub fn object_keys(id: BlockId) -> (String, String) {
    let spread = xxhash_rust::xxh3::xxh3_64(&id.0.to_be_bytes()) as u8;
    let folder = format!("b/{spread:02x}/{id}");
    (format!("{folder}/{SERIES_FILE}"), format!("{folder}/{CHUNKS_FILE}"))
}

/// What the columns of a block's chunks hold, a column for each window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Content {
    /// Raw samples.
    Samples,
    /// Of each slot its last sample.
    Last,
    /// What a counter did between two of those.
    Counter,
    /// How many resets do not show there.
    Resets,
    /// How many samples each slot had.
    Count,
    /// Their sum.
    Sum,
    /// The least.
    Min,
    /// The greatest.
    Max,
}

impl Content {
    /// Of a downsampled block, in the order of its columns.
    const OF_SLOTS: [Self; 7] =
        [Self::Last, Self::Counter, Self::Resets, Self::Count, Self::Sum, Self::Min, Self::Max];

    /// Returns what a block of a resolution has, in the order of its columns.
    pub(crate) fn of(resolution_ms: i64) -> &'static [Self] {
        if resolution_ms == 0 { &[Self::Samples] } else { &Self::OF_SLOTS }
    }

    /// Returns the name of a column.
    pub(crate) fn column(self, window: usize) -> String {
        let prefix = match self {
            Self::Samples => "c",
            Self::Last => "last",
            Self::Counter => "counter",
            Self::Resets => "resets",
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
        };
        format!("{prefix}{window}")
    }
}

/// Returns the names of a block's columns of chunks, in their order.
pub(crate) fn chunk_columns(resolution_ms: i64, windows: usize) -> Vec<String> {
    let contents = Content::of(resolution_ms).iter();
    contents.flat_map(|content| (0..windows).map(|window| content.column(window))).collect()
}

/// About how many slots a window has at least.
const WINDOW_SLOTS: u64 = 512;
/// The most windows of any block.
const MERGED_WINDOWS_MAX: u64 = 14;

/// Returns the bounds of the windows of a downsampled block, whose range is one of whole slots.
pub(crate) fn slot_windows_of(range: BlockRange, resolution_ms: i64) -> Vec<i64> {
    let (start, end) = (range.start.0, range.end.0);
    let slots = (end.saturating_sub(start) / resolution_ms.max(1)).max(1) as u64;
    let windows = (slots / WINDOW_SLOTS).clamp(1, MERGED_WINDOWS_MAX);
    bounds(start, end, (slots.div_ceil(windows) as i64).saturating_mul(resolution_ms))
}

/// Returns the bounds (ms) of the windows that a block's chunks lie in, a column each: n + 1 for n windows.
///
/// A block as cut has one. Merged ones have two, four or fourteen of equal length: for the default block duration 4 hours
/// of a block of 8, 6 hours of a day, a day of a fortnight; so a query for an hour does not read a fortnight.
pub(crate) fn windows_of(range: BlockRange, level: u8) -> Vec<i64> {
    let windows = match level {
        0 => 1,
        1 => 2,
        2 => 4,
        _ => MERGED_WINDOWS_MAX,
    };
    let (start, end) = (range.start.0, range.end.0);
    bounds(start, end, (end.saturating_sub(start).max(1) as u64).div_ceil(windows) as i64)
}

/// Cuts a range into windows of a length; the last may be shorter.
fn bounds(start: i64, end: i64, length: i64) -> Vec<i64> {
    let starts = (0i64..).map(|window| start.saturating_add(length.saturating_mul(window)));
    starts.take_while(|bound| *bound < end).chain([end]).collect()
}

/// What both files say of their block, in this order.
pub(crate) struct Identity<'a> {
    pub(crate) id: BlockId,
    pub(crate) shard: ShardId,
    pub(crate) range: BlockRange,
    pub(crate) level: u8,
    pub(crate) cut_index: u64,
    pub(crate) parents: &'a [BlockId],
    /// 0 for raw samples.
    pub(crate) resolution_ms: i64,
    pub(crate) sort_range: &'a SortRange,
    pub(crate) external_labels: &'a BTreeMap<String, String>,
    /// Bounds of the windows, see [`windows_of`].
    pub(crate) windows: &'a [i64],
    pub(crate) stats: Stats,
    pub(crate) rows_xxh3: u128,
}

impl Identity<'_> {
    /// Returns the key-value metadata that stands in both files.
    pub(crate) fn key_values(&self) -> Vec<KeyValue> {
        let range = self.range;
        let parents = (!self.parents.is_empty()).then(|| (KV_PARENTS, json(&self.parents)));
        let resolution = (self.resolution_ms > 0).then(|| (KV_RESOLUTION, self.resolution_ms.to_string()));
        let part = (!self.sort_range.is_all()).then(|| (KV_SORT_RANGE, json(self.sort_range)));
        let entries = [
            (KV_FORMAT, FORMAT_VERSION.to_owned()),
            (KV_BLOCK, self.id.to_string()),
            (KV_SHARD, self.shard.to_string()),
            (KV_LEVEL, self.level.to_string()),
            (KV_MINT, range.start.to_string()),
            (KV_MAXT, range.end.to_string()),
            (KV_CUT_INDEX, self.cut_index.to_string()),
            (KV_EXTERNAL_LABELS, json(self.external_labels)),
            (KV_WINDOWS, json(&self.windows)),
            (KV_STATS, json(&self.stats)),
            (KV_ROWS_XXH3, format!("{:032x}", self.rows_xxh3)),
        ];
        entries
            .into_iter()
            .chain(parents)
            .chain(resolution)
            .chain(part)
            .map(|(key, value)| key_value(key, value))
            .collect()
    }
}

/// Returns one entry of a file's metadata.
pub(crate) fn key_value(key: &str, value: String) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value) }
}

/// Prints a value of ours as JSON.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("our own metadata has text keys and finite numbers only")
}

/// Looks up one entry of a file's metadata.
///
/// # Errors
/// A sentence that names the missing key.
pub(crate) fn lookup<'a>(entries: &'a [KeyValue], key: &str) -> Result<&'a str, String> {
    let entry = entries.iter().find(|entry| entry.key == key);
    entry.and_then(|entry| entry.value.as_deref()).ok_or_else(|| format!("no {key} in the metadata"))
}

/// Reads one JSON entry of a file's metadata.
///
/// # Errors
/// A sentence that names the key.
pub(crate) fn lookup_json<T: serde::de::DeserializeOwned>(
    entries: &[KeyValue],
    key: &str,
) -> Result<T, String> {
    serde_json::from_str(lookup(entries, key)?).map_err(|e| format!("{key}: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_the_range() {
        let check = |range: (i64, i64), level, expected: &[i64]| {
            assert_eq!(windows_of(BlockRange::new(range.0, range.1), level), expected, "{range:?} {level}");
        };
        check((-10, 90), 0, &[-10, 90]);
        check((-10, 90), 1, &[-10, 40, 90]);
        check((0, 100), 2, &[0, 25, 50, 75, 100]);
        check((0, 7), 2, &[0, 2, 4, 6, 7]);
        check((0, 3), 2, &[0, 1, 2, 3]);
        check((0, 1), 3, &[0, 1]);
        assert_eq!(windows_of(BlockRange::new(0, 14 * 24), 9).len(), 15);
        let slots = |count: i64| slot_windows_of(BlockRange::new(-600, count * 60 - 600), 60);
        assert_eq!(slots(288), [-600, 288 * 60 - 600]);
        assert_eq!(slots(1023).len(), 2);
        assert_eq!(slots(1025), [-600, 513 * 60 - 600, 1025 * 60 - 600]);
        assert_eq!(slots(14 * 288).len() - 1, 7);
        assert_eq!(slots(100_000).len() - 1, 14);
    }

    #[test]
    fn keys_never_change() {
        let (series, chunks) = object_keys(BlockId(42));
        assert_eq!(series, "b/39/0000000000000000000000001A/series.parquet");
        assert_eq!(chunks, "b/39/0000000000000000000000001A/chunks.parquet");
    }
}
