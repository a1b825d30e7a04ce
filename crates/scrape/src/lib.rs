//! What a target says, and what becomes of its labels: exposition formats and relabeling.
//!
//! - [`parser`] reads the classic text format and OpenMetrics without copying: an entry borrows from the body, and the
//!   labels of a sample are put together only when somebody asks for them. The bytes of a line's series are a cache key.
//! - [`mod@format`] says which format an answer has, and asks for formats.
//! - [`mod@relabel`] applies relabeling rules.
//!
//! Not here: HTTP, targets, schedules (the scraper), configuration files (`config`), protobuf and native histograms.
//! Any bytes give entries or an error that names the line, never a panic.

mod error;
mod float;
pub mod format;
mod lexer;
mod openmetrics;
pub mod parser;
mod quote;
pub mod relabel;
mod text;

pub use error::ParseError;
pub use format::{Format, accept_header};
pub use parser::{Entry, Parser, Sample, SampleExemplar};
pub use relabel::{Verdict, relabel};
