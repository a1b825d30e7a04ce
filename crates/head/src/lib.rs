//! The head: the recent, mutable part of one shard, in memory.
//!
//! One writer applies what the shard's log holds, in log order; any number of readers look on. The head is a function of
//! that order: replicas that applied the same entries answer alike, assign the same refs and cut the same windows, also
//! when one of them was restored from a snapshot between two entries.
//!
//! Life cycle of a window: 1. [`Head::apply`] fills it; 2. [`Head::cut`] freezes it; 3. [`Head::window`] hands it to whoever
//! writes the block; 4. [`Head::drop_before`] forgets it, once the block is published. All but 3 are log
//! entries, and so is [`Head::delete`].
//!
//! Readers hold a lock for short steps, of which resolving matchers and copying chunks take many, and never while they
//! decode: the writer waits for one step at the most. So a query may see a batch half applied, as it may see a scrape half written; it never sees a
//! sample twice, and never misses one that was applied before it began.
//!
//! Not here: the log, clocks, blocks, and external labels, which belong to the cluster.
//!
//! Read in this order: `state` (the rules), `series` with `chunk_log`, `spool` and `late`, `exemplars`, `slots`, `index` with `postings` and
//! `matching`, `look`, `label_table`, `tombstones`, `selection`, `read`, `window`, `snapshot`.

mod cardinality;
mod chunk_log;
mod error;
mod exemplars;
mod head;
mod index;
mod label_table;
mod late;
mod look;
mod map;
mod matching;
mod metadata;
mod postings;
mod read;
mod selection;
mod series;
mod slots;
mod snapshot;
mod spool;
mod state;
mod tombstones;
mod window;

pub use error::HeadError;
pub use exemplars::ExemplarStats;
pub use head::{Head, HeadConfig, HeadMemory, HeadStats};
pub use read::RESULTS_MAX;
pub use selection::{HeadSeries, Selection};
