//! The ruler: evaluates recording rules and writes their results back as series. Alerting rules are read and checked, and
//! said not to be evaluated yet.
//!
//! Stateless: rules come from files (`load`), queries go to a live querier (`query`), results to the shards through
//! the writing port. Each rule group is a lease, `ruler/<file>/<group>`, so that one ruler of the cluster evaluates it; who
//! that should be follows from the group's name and the live rulers (`turn`). The life of a group in one process is:
//! 1. wait until the group is this ruler's turn, and take its lease;
//! 2. at each slot of the group's schedule (`schedule`) evaluate its rules one after another, each only after the
//!    results of the one before are stored (`group`);
//! 3. when the lease or the membership is lost, or another ruler should have it, stop, forget the last results, begin anew.
//!
//! Invariants: nothing is written without a live membership that holds the lease; a rule whose query fails, or whose
//! result breaks a limit, writes nothing; series that vanish from a rule's result get a staleness marker at that time. A
//! hand-over writes no staleness markers. Source of all behaviour: Prometheus 3, `rules/`.

mod config;
mod error;
mod glob;
mod group;
mod load;
mod metrics;
mod query;
mod record;
mod role;
mod schedule;
mod status;
mod turn;
mod worker;

pub use crate::config::RulerConfig;
pub use error::RulerError;
pub use role::Ruler;
pub use status::{GroupStatus, RuleHealth, RuleKind, RuleStatus};
