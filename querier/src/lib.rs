//! The querier: PromQL over all shards' heads and all blocks of a cluster, and Prometheus's HTTP API over it.
//!
//! Stateless. A query pins the control state it began with (`view`); from that, the plan says whom to ask for what
//! (`plan`): for each shard its leader, for what lies after the newest published block, and for each block a gateway. The
//! fleet asks (`fleet`), following leaders and falling back to other gateways; the answers are merged into the series that the
//! engine reads. What leaders and gateways can evaluate themselves is asked of them (`push`), shard by shard. Since head and blocks of a shard meet at an agreed time, no sample is seen twice.
//!
//! Invariants:
//! 1. All reads of one query belong to one catalogue version. When a shard has moved on, the query starts again.
//! 2. A result is complete, or it is an error that names what is missing; with `partial_response=true` a warning.
//! 3. External labels are attached to what is read, never stored; who evaluates for a querier is told them.
//! 4. All blocks of a shard belong to one gateway, so that it can evaluate over them alone.
//!
//! Not here: parsing and evaluating PromQL (`promql`), HTTP and JSON (`api`).

mod config;
mod deletes;
mod error;
mod fleet;
mod heads;
mod instant;
mod merge;
mod metrics;
mod overview;
mod owners;
mod plan;
mod push;
mod role;
mod select;
mod targets;
mod view;

pub use config::{AdminApi, QuerierConfig};
pub use error::QuerierError;
pub use role::Querier;
