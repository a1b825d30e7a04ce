//! What the catalogue knows of a block: enough to prune it, to open it in one read, and to prove its bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{BlockId, BlockRange, ShardId, SortRange};

/// One object of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectMeta {
    /// Its key in the bucket, below the bucket's prefix.
    pub key: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// How many bytes at its end hold the Parquet footer and page index, so that opening is one exact ranged read.
    pub tail_bytes: u64,
    /// CRC-32C of the whole object.
    pub crc32c: u32,
}

/// An immutable block of one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockMeta {
    /// Its name.
    pub id: BlockId,
    /// The shard whose head it was cut from.
    pub shard: ShardId,
    /// The window; no sample lies outside.
    pub range: BlockRange,
    /// 0 as cut; compaction counts up.
    pub level: u8,
    /// The shard's log index of the cut, the least of its parents' when it was merged; 0 when a part of it was imported. A delete
    /// that stands behind it in the log concerns the block.
    pub cut_index: u64,
    /// Number of series.
    pub series: u64,
    /// Number of samples.
    pub samples: u64,
    /// The cluster's identity, as labels of every series.
    pub external_labels: BTreeMap<String, String>,
    /// The blocks it was merged from; none when it was cut from a head.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<BlockId>,
    /// The distance of its samples, ms, when it is downsampled: it holds aggregates of slots of so many. 0 for raw samples.
    #[serde(default, skip_serializing_if = "is_raw")]
    pub resolution_ms: i64,
    /// Which part of the shard's series it may hold; no series lies outside.
    #[serde(default, skip_serializing_if = "SortRange::is_all")]
    pub sort_range: SortRange,
    /// `series.parquet`.
    pub series_object: ObjectMeta,
    /// `chunks.parquet`.
    pub chunks_object: ObjectMeta,
}

fn is_raw(resolution_ms: &i64) -> bool {
    *resolution_ms == 0
}
