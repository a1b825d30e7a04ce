//! The compactor: merges small blocks into large ones, reduces old ones to slots, and ends the life of blocks.
//!
//! **Merging** is done by every compactor: each takes jobs from the catalogue, which gives a job to one of them ([`plan::merges`] says
//! which jobs there are, `merge` how one is done). A commit replaces the inputs by the output in one command, so a query's
//! version of the catalogue has either. **Downsampling** is a job of the same kind, whose inputs stay ([`plan::downsamplings`]).
//!
//! **Deletes of series** are folded in by every merge; [`plan::rewrites`] says which blocks are rewritten for them. How much of a
//! block is deleted is looked up by all compactors together (`deletes`).
//!
//! **Retention and garbage collection** are done by one compactor at a time: the one that holds the lease
//! `compactor/retention`. The others stand by. A round is:
//! 1. confirm the lease, which gives the epoch that every commit of the round names;
//! 2. plan from the catalogue as it is known here, with pure functions ([`plan`]);
//! 3. tombstone expired blocks; from that commit on no new query reads them;
//! 4. delete the objects of blocks that were tombstoned before the deletion delay, by retention or by a merge, and of names
//!    that jobs got and did not use; then purge those.
//!
//! Invariants: nothing is deleted before its tombstone is committed and old; a tombstone is never taken back, so deleting
//! twice, late, or under a lost lease does no harm; a block whose objects cannot be deleted stays tombstoned, is tried
//! again in the next round, and hinders no other block. A block that cannot be read is set aside and hinders no other; once its
//! objects are whole again, it is taken back.
//!
//! Every object that may exist is known to the catalogue, so the bucket is never listed: what an ingester uploaded before it
//! died, its successor uploads again under the same name and publishes; what a compactor uploads has a name that its claim
//! gave, and that stays known as an orphan when the job ends without it.

mod clock;
mod config;
mod deletes;
mod error;
mod merge;
mod metrics;
pub mod plan;
mod repair;
mod retention;
mod role;

pub use config::CompactorConfig;
pub use error::CompactorError;
pub use role::Compactor;
