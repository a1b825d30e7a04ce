//! One replica of one shard, and the host of all of them on this node.
//!
//! Order: [`command`] is what the log holds, [`machine`] applies it to the head, [`deletes`] among it, [`replica`] is the handle others use, [`proposer`]
//! gathers appends into entries, [`cutter`] turns windows into blocks, [`snapshotter`] lets the log be shortened, [`host`] starts
//! what the control state places here.

pub(crate) mod command;
pub(crate) mod cutter;
pub(crate) mod deletes;
pub(crate) mod host;
pub(crate) mod machine;
pub(crate) mod proposer;
pub(crate) mod replica;
pub(crate) mod snapshotter;

pub(crate) use host::{ShardHost, Shards};
