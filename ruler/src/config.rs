//! What a ruler must be told.

use std::path::PathBuf;
use std::time::Duration;

/// Typed configuration.
#[derive(Clone, Debug)]
pub struct RulerConfig {
    /// Patterns of rule files, absolute, with `*`, `?` and `[...]` as in Go's `filepath.Glob`.
    pub rule_files: Vec<PathBuf>,
    /// How often groups without an interval of their own are evaluated; not zero.
    pub evaluation_interval: Duration,
    /// How far in the past groups without an offset of their own are evaluated.
    pub query_offset: Duration,
    /// How long one querier may take for one query before the next one is asked.
    pub query_timeout: Duration,
}

impl RulerConfig {
    /// Two minutes, the default limit of a query's time.
    pub const QUERY_TIMEOUT: Duration = Duration::from_secs(120);
}
