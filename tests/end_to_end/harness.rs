//! What the tests share: processes, ports, HTTP, a remote-write client, scrape targets.
//!
//! Order of reading: [`process`], [`local_cluster`], [`api`], [`remote`], [`target`], [`wait`].

mod api;
mod local_cluster;
mod ports;
mod process;
mod remote;
mod target;
mod wait;

pub(crate) use api::{Api, Sample};
pub(crate) use local_cluster::LocalCluster;
pub(crate) use ports::free_ports;
pub(crate) use process::Norn;
pub(crate) use remote::{Remote, Series, series};
pub(crate) use target::Target;
pub(crate) use wait::until;

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns the wall clock in milliseconds, rounded down to a second.
pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    now.as_secs() as i64 * 1000
}
