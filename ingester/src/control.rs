//! The control group's replica on this node: its state machine, its service, and the duties of its leader.
//!
//! Order: [`machine`] applies, [`feed`] publishes what was applied, [`service`] answers members and watchers, [`leases`]
//! remembers heartbeats, [`leader`] founds the cluster, places shards and expires memberships, [`manifest`] writes the state to the
//! bucket.

pub(crate) mod feed;
pub(crate) mod leader;
pub(crate) mod leases;
pub(crate) mod machine;
pub(crate) mod manifest;
pub(crate) mod service;
