//! The append batch: one columnar unit on the wire, in the log and at apply.
//!
//! A batch declares series by their labels, carries samples of declared series and of series known by their ref, floats or
//! native histograms, exemplars, and metadata of metric families. The same bytes are the message to a shard's leader, the payload of a log entry and the
//! input of apply, so they are encoded once and checked once a replica. The bytes are specified in
//! `docs/formats/batch.md`.
//!
//! Life cycle: 1. a writer fills a [`BatchBuilder`]; 2. the leader proposes the bytes; 3. every replica reads them with
//! [`Batch::decode`] and applies them; 4. the [`BatchOutcome`] goes back to the writer.
//!
//! Invariants: decoding never panics and takes memory in proportion to its input, whatever the input; the order of
//! samples is kept.
//!
//! Not here: checksums and compression, which log and wire have of their own; and what apply accepts.

mod builder;
mod error;
mod outcome;
mod reader;

pub use builder::BatchBuilder;
pub use error::BatchError;
pub use outcome::{BatchOutcome, Existing, RefusalKind};
pub use reader::{BATCH_BYTES_MAX, Batch, BatchExemplar, BatchSample, SeriesSlot, WideSample};
