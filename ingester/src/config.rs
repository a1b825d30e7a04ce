//! What an ingester must be told.

use std::sync::Arc;
use std::time::Duration;

use cluster::ClusterSettings;
use cluster::command::FirstIngester;
use object_store::ObjectStore;
use promql::Engine;

/// Typed configuration, validated by whoever makes it.
#[derive(Clone)]
pub struct IngesterConfig {
    /// This ingester's name, one of `first_ingesters`.
    pub name: String,
    /// The first voters of the control group, the same list on each of them; node ids are positions, counted from 1.
    pub first_ingesters: Vec<FirstIngester>,
    /// What the cluster is founded with, when it is not founded yet.
    pub settings: ClusterSettings,
    /// Where blocks go.
    pub objects: Arc<dyn ObjectStore>,
    /// How long a membership lives after its last heartbeat.
    pub lease: Duration,
    /// The most series a shard's head takes.
    pub series_max: u64,
    /// How far in the future of the leader's clock a sample may lie, ms.
    pub future_ms_max: i64,
    /// How long a published window stays readable in the head, so that queries pinned before the publication end in peace.
    pub publish_grace: Duration,
    /// Evaluates parts of queries over the heads led here, within its own limits.
    pub engine: Engine,
}

impl IngesterConfig {
    /// How long a membership lives by default.
    pub const LEASE: Duration = Duration::from_secs(10);
    /// The most series of a shard by default: four times the size that the design aims at.
    pub const SERIES_MAX: u64 = 2_000_000;
    /// Ten minutes, as Prometheus's scrape and receive paths have it.
    pub const FUTURE_MS_MAX: i64 = 600_000;
    /// Fifteen seconds: a query that takes longer to reach the head starts again with a new view.
    pub const PUBLISH_GRACE: Duration = Duration::from_secs(15);
}
