//! Prometheus's block: reading what Prometheus and Thanos wrote, and writing what they read.
//!
//! A block is a directory: `meta.json`, `index`, `chunks/000001` and on, `tombstones`. Series are read in the order of the
//! index, their samples from the chunks it names; deleted samples are left out. Every checksum that the format has is
//! verified before the bytes are believed. Damaged or hostile files are an error that names the file and the offset, never a
//! panic, and take memory within named bounds.
//!
//! Not here: postings of a foreign index (an import reads everything), write-ahead logs, downsampled chunks of Thanos, and
//! where blocks come from. Bytes: Prometheus `tsdb/docs/format`; what of it is read and written is told in
//! `docs/formats/tsdb.md`.
//!
//! Read in this order: [`Meta`], `bits`, `chunk`, `segments`, `index`, [`Tombstones`], [`Block`], [`BlockWriter`].

mod bits;
mod block;
mod chunk;
mod error;
mod index;
mod meta;
mod segments;
mod tombstones;
mod write;

pub use block::{Block, SeriesCursor};
pub use chunk::{Encoded, Encoding, decode, encode, runs};
pub use error::{ChunkFault, TsdbError};
pub use index::{ChunkRef, SeriesEntry};
pub use meta::{Compaction, Downsample, META_FILE, Meta, Stats, Thanos};
pub use tombstones::{TOMBSTONES_FILE, Tombstones};
pub use write::{BlockWriter, WrittenBlock};
