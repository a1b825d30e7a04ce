//! The configuration file: Prometheus's schema, read strictly, and Norn's own section `norn:`.
//!
//! 1. The YAML text is read into raw structs (`raw`) that know every key of Prometheus 3.14. An unknown key, a key given
//!    twice and a value of the wrong type stop here, with line and column.
//! 2. The raw structs are checked and turned into the typed structs of this crate. All faults are collected and reported
//!    together, each with its key path and position. A key that Prometheus knows and Norn does not support yet is such a
//!    fault, unless its value changes nothing (empty, `false`).
//!
//! Not here: reading files, the environment (a look-up is passed in), discovery, PromQL (`expr` stays text).

mod check;
mod error;
mod global;
mod http_client;
mod labels;
mod nearest;
pub mod norn;
pub mod objstore;
mod raw;
pub mod relabel;
pub mod rules;
mod scrape_config;
pub mod scrape_types;
pub mod units;
mod yaml;

use std::path::{Path, PathBuf};

pub use error::{ConfigError, Fault, Position};
pub use global::Global;
pub use http_client::{Authentication, HttpClient, Secret, Source};
pub use norn::NornConfig;
pub use relabel::{RelabelAction, RelabelRule};
pub use scrape_config::{Limits, ScrapeConfig, StaticConfig};
pub use scrape_types::{EscapingScheme, NameValidation, ScrapeProtocol};

use crate::check::{Faults, Place};

/// Where the values come from that the file itself does not hold.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// Relative file names in the configuration are relative to this directory.
    pub base_dir: &'a Path,
    /// Looks up a variable that `external_labels` names as `${name}`; `None` when it is not set.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

/// The whole configuration, valid.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Defaults and identity.
    pub global: Global,
    /// What to scrape, in the order of the file; job names are unique.
    pub scrape_configs: Vec<ScrapeConfig>,
    /// Patterns of rule files, made absolute.
    pub rule_files: Vec<PathBuf>,
    /// `storage.tsdb`.
    pub tsdb: Tsdb,
    /// `storage.exemplars.max_exemplars`: how many exemplars are kept, 0 for none.
    pub exemplars_max: Option<u32>,
    /// Norn's own section.
    pub norn: NornConfig,
    /// What was accepted without having an effect, one sentence each; to be logged.
    pub warnings: Vec<String>,
}

/// `storage.tsdb` of Prometheus's schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tsdb {
    /// How much older than the newest sample a sample may be.
    pub out_of_order_window_ms: Option<u64>,
    /// How long samples are kept.
    pub retention_ms: Option<u64>,
}

/// Reads a configuration file's text.
///
/// # Errors
/// [`ConfigError::Syntax`] for text that is not YAML, unknown keys and wrong types; [`ConfigError::Invalid`] with every
/// other fault of the file.
pub fn parse(text: &str, sources: Sources<'_>) -> Result<Config, ConfigError> {
    let raw: raw::File = yaml::read(text)?;
    let mut faults = Faults::default();
    let config = build(raw, sources, &mut faults);
    faults.into_result(config)
}

fn build(raw: raw::File, sources: Sources<'_>, faults: &mut Faults) -> Config {
    let root = Place::root();
    raw.report(&root, faults);
    let place = root.key("global");
    let global = raw.global.unwrap_or_default().build(&place, sources, faults);
    let scrape_configs = scrape_config::build_all(raw.scrape_configs, &global, sources.base_dir, faults);
    let rule_files = rules::check_patterns(raw.rule_files, sources.base_dir, faults);
    if let Some(alerting) = &raw.alerting {
        alerting.check(&root.key("alerting"), faults);
    }
    let storage = raw.storage.map(|storage| storage.build(&root.key("storage"), faults));
    let (tsdb, exemplars_max) = storage.unwrap_or_default();
    let norn = norn::build(raw.norn.unwrap_or_default(), &root.key("norn"), sources.base_dir, faults);
    Config { global, scrape_configs, rule_files, tsdb, exemplars_max, norn, warnings: faults.take_warnings() }
}
