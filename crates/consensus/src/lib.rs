//! Raft groups on one log engine, behind our own types.
//!
//! A process opens one [`RaftHost`]: it owns the log of the node and routes messages to its groups. Each [`Group`]
//! replicates commands to a [`StateMachine`] that runs on its own thread. Nobody outside this crate sees openraft.
//!
//! It does not know what the commands mean, how messages travel ([`Transport`]), where nodes live, or who should
//! be a member: identity and placement belong to the callers. A node that lost its disk must come back under a new
//! [`NodeId`]: under its old one it would break promises it no longer remembers.
//!
//! What is acknowledged ([`Group::propose`] returned `Ok`) is on the disks of a majority and applied here.
//!
//! Read in this order: [`api`], [`config`], [`group`], [`host`]; beneath them `store` (the log), `machine` (apply and
//! snapshots), `snapshot` (the file), `wire` and `network` (messages), `receive` (incoming snapshots).

pub mod api;
pub mod config;
#[cfg(test)]
mod conformance;
mod error;
pub mod group;
pub mod host;
mod machine;
mod mute;
mod network;
mod receive;
mod snapshot;
mod store;
mod types;
mod watch;
mod wire;

pub use api::{Applied, GroupState, GroupStatus, Leadership, StateMachine, Transport, TransportError};
pub use config::HostConfig;
pub use error::ConsensusError;
pub use group::Group;
pub use host::RaftHost;
pub use model::NodeId;
pub use wal::{GroupId, WalConfig, WalHealth, WalStats};
