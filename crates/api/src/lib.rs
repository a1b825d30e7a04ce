//! The Prometheus HTTP API over the ports: queries, label queries, targets, status, and remote write.
//!
//! Agnostic of the process it runs in: [`query_routes`] reads through a [`ViewSource`] and [`write_routes`] writes through
//! a [`storage::Appender`]; both return plain axum routers. It knows neither heads nor blocks nor peers.
//!
//! Read in this order: [`query_api`] (what is served over what), [`queries`] (which query runs when), `params` (what a
//! request says), `endpoint` (from a request to an answer), then the handlers `query`, `syntax`, `labels`, `targets`,
//! `rules`, `status`, `cluster`, `admin`; `json` writes the bytes; `write` is
//! remote write 1.0.
//!
//! Source: Prometheus `web/api/v1/api.go`, and its error texts.

mod active;
mod admin;
mod cluster;
mod endpoint;
pub mod error;
mod escape;
mod exemplars;
mod explain;
mod features;
mod json;
mod labels;
mod params;
pub mod queries;
mod query;
pub mod query_api;
mod read;
mod rules;
mod status;
mod syntax;
mod targets;
mod tsdb;
mod write;

pub use admin::Admin;
pub use cluster::{
    BlockStatus, BlocksPage, ClusterSource, ClusterStatus, JobStatus, MemberStatus, RaftStatus,
    ReplicaStatus, ShardStatus,
};
pub use error::ApiError;
pub use queries::{ActiveQuery, Queries, QueryPorts};
pub use query_api::{
    Completeness, QueryApi, QueryLimits, QueryObserver, QueryReport, ViewSource, query_routes,
};
pub use rules::{NoRules, Rule, RuleGroup, RulesSource};
pub use status::ProcessStatus;
pub use targets::{ActiveTarget, DroppedTarget, TargetMetadata, Targets, TargetsMetadata, TargetsSource};
pub use write::write_routes;

/// The warning that says that a `limit` cut a result; ports that cut results use the same text.
pub const TRUNCATED: &str = "results truncated due to limit";
