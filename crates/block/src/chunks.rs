//! `chunks.parquet`: the encoded samples, one value a series and window, in the row order of `series.parquet`.
//!
//! Pages hold about 64 KiB so that a selective read fetches little. No page is ever decoded before its bytes matched the
//! checksum that `series.parquet` keeps of it; Parquet's own page checksums are optional and seldom written.

mod merge;
mod pages;
mod value;
mod write;

pub(crate) use merge::{clip_chunks, merge_chunks};
pub(crate) use pages::{Page, PageTable};
pub(crate) use value::{decode_value, encode_value, join_value, seal_chunks};
pub(crate) use write::{Sink, write};
