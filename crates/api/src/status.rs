//! `/api/v1/status/*`: what the process says of itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ApiError;
use crate::endpoint::Answer;
use crate::json::JsonWriter;
use crate::params::Params;
use crate::query_api::QueryApi;
use crate::targets::rfc3339;

/// The Prometheus whose API this is: clients decide by it what they may ask.
const PROMETHEUS_VERSION: &str = "3.5.0";

/// What a process says of itself.
#[derive(Clone, Debug, Default)]
pub struct ProcessStatus {
    /// Norn's version.
    pub version: String,
    /// The commit it was built from; empty when nobody said.
    pub revision: String,
    /// The compiler's version.
    pub rust_version: String,
    /// When the process started, ms since the epoch.
    pub started_ms: i64,
    /// Its working directory.
    pub working_directory: String,
    /// Its command line flags with their values.
    pub flags: BTreeMap<String, String>,
    /// Its configuration.
    pub config_yaml: String,
    /// How long samples are kept, for people.
    pub storage_retention: String,
}

/// `buildinfo`: Prometheus's six fields, and our own version in a seventh. Never `features`, whose mere presence makes
/// Grafana take the server for Mimir.
pub(crate) async fn build_info(served: Arc<QueryApi>, _: Params) -> Result<Answer, ApiError> {
    let status = served.status.clone();
    Ok(Answer::new(1, move |json| {
        json.text_map([
            ("version", PROMETHEUS_VERSION),
            ("revision", &status.revision),
            ("branch", ""),
            ("buildUser", ""),
            ("buildDate", ""),
            ("goVersion", ""),
            ("nornVersion", &status.version),
            ("rustVersion", &status.rust_version),
        ]);
    }))
}

/// `runtimeinfo`, without the facts of Go's runtime.
pub(crate) async fn runtime_info(served: Arc<QueryApi>, _: Params) -> Result<Answer, ApiError> {
    let status = served.status.clone();
    let now_ms = served.queries.now_ms();
    Ok(Answer::new(1, move |json: &mut JsonWriter| {
        json.raw("{");
        let started = rfc3339(status.started_ms);
        for (at, (key, text)) in [
            ("startTime", &started),
            ("CWD", &status.working_directory),
            ("serverTime", &rfc3339(now_ms)),
            ("lastConfigTime", &started),
            ("storageRetention", &status.storage_retention),
        ]
        .into_iter()
        .enumerate()
        {
            json.key(at, key);
            json.text(text);
        }
        json.key(1, "reloadConfigSuccess");
        json.boolean(true);
        json.raw("}");
    }))
}

/// `flags`.
pub(crate) async fn flags(served: Arc<QueryApi>, _: Params) -> Result<Answer, ApiError> {
    let flags = served.status.flags.clone();
    Ok(Answer::new(flags.len(), move |json| {
        json.text_map(flags.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    }))
}

/// `config`.
pub(crate) async fn config(served: Arc<QueryApi>, _: Params) -> Result<Answer, ApiError> {
    let yaml = served.status.config_yaml.clone();
    Ok(Answer::new(1, move |json| json.text_map([("yaml", yaml.as_str())])))
}
