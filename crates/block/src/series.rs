//! `series.parquet`: one row a series in the order of [`crate::order`], in one row group, then sections, then the footer.
//!
//! The label columns are for other readers of Parquet; this crate takes labels from the embedded index. The `s_` columns
//! tell before any read of chunks which series have samples in a range.

mod read;
mod write;

#[cfg(any(test, fuzzing))]
pub(crate) use read::decode_page_crcs;
pub(crate) use read::{SeriesFile, check_identity, key_values, read_column};
pub(crate) use write::{SeriesRow, WrittenChunks, write};
