//! The ingester: hosts the replicas of shards and of the control group on one disk.
//!
//! Life cycle:
//! 1. [`DataDir::open`] locks the data directory and reads, or makes, the identity of its disk.
//! 2. [`Ingester::build`] makes sure that this disk may act as its node, opens the Raft host and joins the control group.
//! 3. [`Ingester::start`] spawns the workers: the control leader's duties (`control`), one host that starts the shards the
//!    control state places here, and for each shard a proposer, a cutter and a snapshotter (`shard`).
//! 4. Shutdown stops accepting, hands leadership over where another replica is there, and closes the log.
//!
//! Invariants: nothing is acknowledged before it is committed and applied; only the leader of a shard builds and publishes its
//! blocks, and a deposed one does no harm, because a block's name and bytes follow from the log.

mod config;
mod control;
mod data_dir;
mod error;
mod evaluate;
mod ingest_service;
mod metrics;
mod raft_service;
mod role;
mod shard;
mod store_service;
mod transport;

pub use config::IngesterConfig;
pub use data_dir::DataDir;
pub use error::IngesterError;
pub use role::Ingester;
