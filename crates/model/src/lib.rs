//! The nouns of the field: label sets, matchers, times, samples, histograms, ids and error kinds.
//!
//! Every crate imports this one, so it holds data and pure functions only: no I/O, no async, no wire types.
//!
//! Read in this order: [`labels`], [`matcher`], [`regexp`], [`time`], [`time_ranges`], [`coverage`], [`sample`], [`samples`], [`histogram`], [`ids`]. [`varint`] is what stored bytes are made of.

pub mod aggregate;
pub mod block_meta;
pub mod cardinality;
pub mod coverage;
pub mod error;
pub mod exemplar;
pub mod float;
pub mod histogram;
pub mod ids;
pub mod labels;
pub mod matcher;
pub mod metadata;
pub mod regexp;
pub mod sample;
pub mod samples;
pub mod sort_range;
pub mod time;
pub mod time_ranges;
mod unicode;
pub mod varint;

pub use aggregate::Aggregate;
pub use block_meta::{BlockMeta, ObjectMeta};
pub use cardinality::Cardinality;
pub use coverage::uncovered;
pub use error::ErrorKind;
pub use exemplar::{Exemplar, SeriesExemplars};
pub use histogram::FloatHistogram;
pub use ids::{BlockId, Epoch, NodeId, SeriesRef, ShardId, Slot};
pub use labels::{LabelSet, LabelSetBuilder};
pub use matcher::{MatchOp, Matcher};
pub use metadata::{MetricMetadata, MetricType};
pub use regexp::{Regexp, RegexpError};
pub use sample::{STALE_NAN_BITS, is_stale, stale_nan};
pub use samples::{SampleValue, Samples};
pub use sort_range::{SortKey, SortRange};
pub use time::{BlockRange, TimeRange, TimestampMs};
pub use time_ranges::TimeRanges;
