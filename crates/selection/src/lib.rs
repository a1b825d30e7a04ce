//! What a selector selects, put together from the answers of heads and blocks: whoever has several of them and evaluates
//! over them, be it a querier, an ingester or a gateway, merges them here.
//!
//! [`merge_series`] makes the series of one selector of parts, [`External`] the cluster's labels on them, [`Deletes`] tells
//! what was deleted of them, [`choose`] which blocks are read where several resolutions hold the same times, and [`Selector`] is the reading port of somebody who selects and does nothing else.
//!
//! Not here: how parts are asked for, and how they travel.

mod deletes;
mod external;
mod merge;
mod port;
mod resolution;
mod source;

pub use deletes::{Delete, Deletes};
pub use external::External;
pub use merge::{PartSeries, merge_series};
pub use port::{Select, Selector};
pub use resolution::{Chosen, Others, choose, coarse_of, reach};
