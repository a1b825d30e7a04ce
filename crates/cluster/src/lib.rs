//! What all roles agree on, as one pure state machine.
//!
//! [`ControlState`] is a function of the sequence of [`Command`]s applied to it: the control group's replicas apply the
//! committed log, and every other role applies the same commands from a watch stream, so all of them hold the same state at
//! the same version. No clock, no randomness, no I/O: times and random ids come in with the commands.
//!
//! Invariants:
//! 1. A node id is given once. A disk that is not the one a node id was given to is refused.
//! 2. Every right (membership, lease) carries an epoch that is larger than any given before it.
//! 3. A window of a shard is published at most once: `published_until` of a shard only grows.
//! 4. A block's meta never changes; a block leaves by tombstone first, by purge later.
//! 5. A block is in one job at most. A job replaces its inputs by its outputs in one command or not at all, so the active
//!    blocks of a version hold every sample once.
//! 6. A block, a tombstoned one too, has a note of each delete that concerns a sample of it.
//!
//! Read in this order: [`command`], [`member`], [`shard_map`], [`catalogue`], [`job`], [`delete`], [`import`], [`lease`], [`state`], then the pure
//! planners [`placement`] and [`rendezvous`].

pub mod catalogue;
pub mod command;
pub mod delete;
pub mod import;
pub mod job;
pub mod lease;
pub mod member;
pub mod placement;
pub mod rendezvous;
pub mod shard_map;
pub mod state;

pub use catalogue::{BlockEntry, BlockState, Catalogue};
pub use command::{Command, Fence, Response};
pub use delete::{Assessment, DeleteId, DeleteOrder, DeleteRequest, JobDelete, MatcherText, ShardDelete};
pub use import::{ImportState, ImportUnit};
pub use job::{BadBlock, Downsampling, Job, JobId, JobOrder};
pub use lease::Lease;
pub use member::{Member, Role};
pub use shard_map::{Shard, ShardMap};
pub use state::{ClusterSettings, ControlState, StateError};
