//! The compactor: ends the life of blocks. It tombstones what retention no longer keeps, and deletes the objects of what
//! was tombstoned long enough ago. (Merging and downsampling are jobs of the same kind; they do not exist yet.)
//!
//! One compactor of the cluster works at a time: the one that holds the lease `compactor/retention`. The others stand by.
//! A round is:
//! 1. confirm the lease, which gives the epoch that every commit of the round names;
//! 2. plan from the catalogue as it is known here, with pure functions ([`plan`]);
//! 3. tombstone expired blocks; from that commit on no new query reads them;
//! 4. delete the objects of blocks that were tombstoned before the deletion delay, then purge those blocks.
//!
//! Invariants: nothing is deleted before its tombstone is committed and old; a tombstone is never taken back, so deleting
//! twice, late, or under a lost lease does no harm; a block whose objects cannot be deleted stays tombstoned, is tried
//! again in the next round, and hinders no other block.
//!
//! No object is ever an orphan: an ingester that dies between upload and publication is followed by one that uploads the
//! same bytes under the same name and publishes them. So the bucket is never listed.

mod config;
mod error;
mod metrics;
pub mod plan;
mod retention;
mod role;

pub use config::CompactorConfig;
pub use error::CompactorError;
pub use role::Compactor;
