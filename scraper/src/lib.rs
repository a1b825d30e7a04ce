//! The scraper: discovers targets, scrapes those it owns, appends what they say.
//!
//! Stateless: every live scraper knows all targets, and each target belongs to exactly one of them, by rendezvous hash.
//!
//! Life cycle of a target:
//! 1. `discovery` turns a job's configuration into [`Target`]s, relabeled.
//! 2. The `reconciler` compares what this process owns (`ownership`) with what it scrapes, and starts and
//!    ends loops. Without a live membership it owns nothing.
//! 3. A loop (`target_loop`) asks the target once an interval (`fetch`), turns the answer into samples (`collect`) with the
//!    target's `series_cache`, and hands them to its delivery (`delivery`), which appends them in order and waits out
//!    elections within a bound.
//! 4. Series that vanish get a staleness marker; so do all series of a target that fails or is removed. A target that
//!    another scraper takes over gets none.
//!
//! Not here: the formats and relabeling (`scrape`), where samples go (`session::Writer`), service discovery beyond static
//! targets.

mod body;
mod collect;
mod config_types;
mod credentials;
mod delivery;
mod discovery;
mod error;
mod fetch;
mod http_target;
mod labelling;
mod metrics;
mod ownership;
mod reconciler;
mod report;
mod role;
mod schedule;
mod scrape_service;
mod series_cache;
mod status;
mod target;
mod target_loop;

pub use config_types::ScraperConfig;
pub use error::ScraperError;
pub use role::Scraper;
pub use target::Target;
