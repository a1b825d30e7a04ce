//! The block: the immutable part of one shard, as two Parquet files with an embedded inverted index.
//!
//! `series.parquet` holds one row a series (labels, first and last sample) and, between its row group and its footer, the
//! index that answers matchers. `chunks.parquet` holds the samples of the same rows in the same order. Both are written
//! by a pure function of their input, so that every replica writes the same bytes, and are never changed.
//!
//! Not here: which blocks exist (the catalogue), caches (the gateway wraps [`RangeReader`]), external labels (kept in
//! [`model::BlockMeta`] and put on series by whoever answers queries).
//!
//! Every byte is specified in `docs/formats/block.md`. Every byte read is checked by a CRC before it is parsed.
//!
//! Life cycle: [`build()`] → [`upload()`] → published in the catalogue → [`BlockReader::open`] → [`merge()`] with others →
//! [`delete()`].
//!
//! Read in this order: `layout`, `order`, `index`, `series`, `chunks`, `build`, `erase`, `slots`, `reader`, `merge`, then the
//! object store: `config`, `upload`, `range`; for people `describe`, `inspect`, `verify`.

#![allow(unexpected_cfgs, reason = "cargo-fuzz builds with the cfg `fuzzing`")]

mod build;
mod chunks;
mod config;
mod describe;
mod erase;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod index;
mod inspect;
mod labels;
mod layout;
mod merge;
mod order;
mod place;
mod range;
mod reader;
mod section;
mod series;
mod slots;
mod upload;
mod verify;

pub use build::{BlockInput, BlockSpec, BuiltBlock, SeriesInput, build, build_in_files};
pub use config::{Credentials, ObjectStoreConfig, S3Config, open_store};
pub use describe::{describe, sum_up};
pub use erase::{Erase, EraseNothing};
pub use error::BlockError;
pub use index::LabelLayout;
pub use inspect::{ColumnLayout, FileLayout, Inspection, SectionLayout, inspect};
pub use labels::Labels;
pub use layout::object_keys;
pub use merge::{MergeOutput, MergedBlock, Slotting, SplitLimits, downsample, merge, split};
pub use place::Place;
pub use range::{ObjectStoreReader, RangeReader, coalesce, read_exact, slice};
pub use reader::{BlockReader, BlockSeries, SelectLimits, SelectedSeries};
pub use upload::{delete, delete_orphan, upload, upload_merged};
pub use verify::{Verification, verify};
