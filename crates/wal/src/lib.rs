//! The log engine of a node: one write-ahead log, shared by all Raft groups of the node.
//!
//! It keeps, for each group, a vote, a committed position and a run of entries, and makes them durable with as few
//! fsyncs as possible: commands of all groups queue up, one thread writes them as one batch, syncs once, and then
//! tells every caller. It knows nothing of Raft's rules: it does what it is told, in the order it is told.
//!
//! Invariants:
//! 1. What was acknowledged is durable; what is durable is found again, or [`Wal::open`] fails and names the place.
//! 2. Order is kept within and across groups: the log on disk is always a prefix of the commands given.
//! 3. A failed write or sync is final ([`WalHealth::Failed`]); it is never retried, because the page cache may
//!    have dropped what it could not write.
//! 4. Space is taken before it is needed: an accepted append never meets a full disk.
//!
//! Read in this order: [`types`], [`disk`], `format` (the bytes), `recovery`, `index`, `queue`, `writer`, `upkeep`, [`Wal`].

mod config;
pub mod disk;
mod error;
mod format;
mod group;
mod index;
mod mark;
pub mod memory;
mod queue;
mod recovery;
mod replay;
mod segment;
mod spares;
pub mod types;
mod upkeep;
mod wal;
mod writer;

pub use config::WalConfig;
pub use error::WalError;
pub use group::{GroupLog, ReadPlan};
pub use types::{Done, Entry, GroupId, LogId, LogState, Vote};
pub use wal::{Wal, WalHealth, WalStats};
