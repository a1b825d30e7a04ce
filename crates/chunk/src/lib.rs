//! Encodings of one series' samples: the open chunk that grows, and the sealed chunk that is small.
//!
//! A chunk is a run of `(timestamp in ms, f64)` with strictly ascending timestamps. Every value comes back bit for bit:
//! NaN payloads, the staleness marker and the negative zero included. Both encodings share one container
//! `[encoding][payload][crc32c]`, so a reader never needs to be told what it holds.
//!
//! Life cycle: 1. [`OpenChunk::append`] while the series is written; 2. [`encode`] once it is full; 3. [`read_merged`]
//! whenever somebody asks. The bytes are specified in `docs/formats/chunk.md`.
//!
//! Invariants: decoders never panic, never read past their input and never allocate for more than
//! [`CHUNK_SAMPLES_MAX`] samples, whatever bytes they get; encoding is deterministic.
//!
//! Not here: which chunk belongs to which series, files, and time windows.
//!
//! Read in this order: `container`, [`OpenChunk`] in `open`, `sealed` with `ints` and `decimal` beneath it, `merge`.

mod bits;
mod container;
mod decimal;
mod error;
mod ints;
mod merge;
mod open;
mod sealed;
mod xor;

pub use container::{CHUNK_SAMPLES_MAX, EncodedChunk, decode, encode};
pub use error::ChunkError;
pub use merge::read_merged;
pub use open::OpenChunk;
