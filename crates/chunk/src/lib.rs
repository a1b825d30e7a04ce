//! Encodings of one series' samples: the open chunk that grows, and the sealed chunk that is small.
//!
//! A chunk is a run of samples with strictly ascending timestamps (ms): floats, or native histograms of one layout; and, where
//! known, since when each sample has been counting. Everything comes back bit for bit: NaN payloads, the staleness marker
//! and the negative zero included. All encodings share one container `[encoding][payload][crc32c]`, so a reader never
//! needs to be told what it holds.
//!
//! Life cycle: 1. [`OpenRun::append`] while the series is written, as long as it takes the next sample; 2. [`encode_run`] for
//! each of the [`runs()`] once it is full; 3. [`read_merged`] whenever somebody asks. The bytes are specified in
//! `docs/formats/chunk.md`.
//!
//! Invariants: decoders never panic, never read past their input and never allocate for more than
//! [`CHUNK_SAMPLES_MAX`] samples or 8 MiB of histograms, whatever bytes they get; encoding is deterministic.
//!
//! Not here: which chunk belongs to which series, files, and time windows.
//!
//! Read in this order: `container`, [`OpenChunk`] in `open`, `sealed` with `ints` and `decimal` beneath it, `wide`, `runs`,
//! `open_run`, `hidden`, `merge`, `without`.

mod bits;
mod container;
mod decimal;
mod error;
mod hidden;
mod ints;
mod merge;
mod open;
mod open_run;
mod runs;
mod sealed;
mod wide;
mod without;
mod xor;

pub use container::{CHUNK_SAMPLES_MAX, EncodedChunk, decode, encode};
pub use error::ChunkError;
pub use merge::read_merged;
pub use open::OpenChunk;
pub use open_run::OpenRun;
pub use runs::{encode_run, runs};
pub use wide::OpenWide;
pub use without::without;
