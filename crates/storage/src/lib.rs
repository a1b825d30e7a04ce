//! The ports between the engine and the data.
//!
//! [`Queryable`] is what a query reads from and [`Appender`] what a write goes to; heads, blocks, gateways and whole
//! clusters stand behind them. The engine resolves labels first: a [`SeriesSet`] holds the label sets of all matching
//! series, and each series' samples stay encoded until a worker reads them through [`SampleSource`] into its own buffer.
//! Where data lies with processes that can evaluate, [`Queryable::divisions`] names them.
//!
//! Not here: encodings, wire types, and any knowledge of which process answers.

pub mod append;
pub mod error;
pub mod memory;
pub mod push;
pub mod query;
pub mod series_labels;

pub use append::{AppendOutcome, Appender, SeriesWrite, WriteRequest};
pub use error::StorageError;
pub use memory::{MemoryError, MemoryPool, QueryMemory, Reservation};
pub use model::Samples;
pub use push::{Division, Evaluated, Evaluator};
pub use query::{
    Coarse, LabelRequest, Labelled, Queryable, Resolution, SampleSource, SelectRequest, Series, SeriesSet,
    Wanted,
};
pub use series_labels::{SentLabels, SeriesLabels};
