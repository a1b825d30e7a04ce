//! `meta.json`: what a block says of itself, with Thanos's section when there is one.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::TsdbError;

/// The file's name in a block's directory.
pub const META_FILE: &str = "meta.json";
/// The only version there is.
const VERSION: u32 = 1;
/// More is not read: a block compacted of thousands names all of them.
const META_BYTES_MAX: u64 = 64 << 20;

/// What `meta.json` says. Fields that nothing here depends on are not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// The block's name.
    pub ulid: String,
    /// First millisecond, inclusive.
    pub min_time: i64,
    /// First millisecond behind the block, exclusive.
    pub max_time: i64,
    /// Of the format of the directory.
    pub version: u32,
    /// How much there is.
    #[serde(default)]
    pub stats: Stats,
    /// Where it came from.
    #[serde(default)]
    pub compaction: Compaction,
    /// What Thanos adds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thanos: Option<Thanos>,
}

/// Counts of a block; all of them may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stats {
    /// Samples.
    pub num_samples: u64,
    /// Series.
    pub num_series: u64,
    /// Chunks.
    pub num_chunks: u64,
    /// Tombstones.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The ancestry of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compaction {
    /// 1 as cut from a head.
    pub level: u32,
    /// The blocks cut from heads that it holds.
    pub sources: Vec<String>,
    /// Whether compacting it failed before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
}

/// Thanos's section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Thanos {
    /// External labels of the sender.
    pub labels: BTreeMap<String, String>,
    /// How coarse the samples are.
    pub downsample: Downsample,
}

/// The resolution of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Downsample {
    /// In ms; 0 for samples as they came.
    pub resolution: i64,
}

impl Meta {
    /// Reads the file of a block's directory.
    ///
    /// # Errors
    /// [`TsdbError::Io`]; as [`Meta::parse`].
    pub fn read(dir: &Path) -> Result<Self, TsdbError> {
        let path = dir.join(META_FILE);
        let size = fs::metadata(&path).map_err(TsdbError::io("cannot read", &path))?.len();
        if size > META_BYTES_MAX {
            return Err(TsdbError::corrupt(
                &path,
                0,
                format!("{size} bytes are too much for a block's facts"),
            ));
        }
        let bytes = fs::read(&path).map_err(TsdbError::io("cannot read", &path))?;
        Self::parse(&path, &bytes)
    }

    /// Reads the bytes of a file; `path` is for errors.
    ///
    /// # Errors
    /// [`TsdbError::Corrupt`] when they are not what a block says of itself; [`TsdbError::Unsupported`] for another version.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, TsdbError> {
        let meta: Self = serde_json::from_slice(bytes).map_err(|error| {
            TsdbError::corrupt(path, 0, format!("line {} column {}: {error}", error.line(), error.column()))
        })?;
        if meta.version != VERSION {
            let what = format!("block version {} is not supported, only {VERSION}", meta.version);
            return Err(TsdbError::Unsupported { path: path.to_owned(), what });
        }
        if meta.min_time >= meta.max_time {
            let what = format!("the block's times, {} to {}, hold nothing", meta.min_time, meta.max_time);
            return Err(TsdbError::corrupt(path, 0, what));
        }
        Ok(meta)
    }

    /// Returns the resolution in ms, 0 for samples as they came.
    pub fn resolution_ms(&self) -> i64 {
        self.thanos.as_ref().map_or(0, |thanos| thanos.downsample.resolution)
    }

    /// Writes the file into a block's directory, as the last one: a directory without it is no block.
    ///
    /// # Errors
    /// [`TsdbError::Io`].
    pub(crate) fn write(&self, dir: &Path) -> Result<(), TsdbError> {
        let path = dir.join(META_FILE);
        let text = serde_json::to_vec_pretty(self).expect("all keys are text");
        let write = || {
            let mut file = fs::File::create(&path)?;
            file.write_all(&text)?;
            file.sync_all()
        };
        write().map_err(TsdbError::io("cannot write", &path))
    }
}
