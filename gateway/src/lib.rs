//! The gateway: answers reads from blocks in object storage over gRPC.
//!
//! A request names blocks of one catalogue version; the gateway looks them up in its copy of the catalogue, opens them
//! (bounded by bytes of memory), reads what the index points to through a cache on disk (bounded by bytes), and streams the
//! merged series in label order. Any gateway can serve any block; queriers choose by rendezvous hash of the shard, so that
//! each block is cached in a few places and a shard's blocks lie together: then parts of queries are evaluated here
//! (`evaluate`), and only their results travel.
//!
//! Not here: which blocks a query needs (the querier), external labels (the querier's; it tells them with what is to be evaluated), writing or deleting
//! blocks (ingesters and compactors).
//!
//! Invariants: the cache never answers with bytes that fail their checksum; a cache that cannot be written makes reads
//! slower, never wrong; equal reads at the same time cost one; a damaged page fails only the queries that need it, and a damaged
//! index those that name its block.
//!
//! Read in this order: `role`, `store_service`, `select`, `evaluate`, `blocks`, `quarantine`, `prefetch`, `cache`.

mod blocks;
mod cache;
mod config;
mod deletes;
mod error;
mod evaluate;
mod fault;
mod frames;
mod joined;
mod lru;
mod metered;
mod metrics;
mod prefetch;
mod quarantine;
mod role;
mod select;
mod store_service;
mod union;

pub use config::GatewayConfig;
pub use error::GatewayError;
pub use role::Gateway;
