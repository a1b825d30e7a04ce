//! The querier of this process.

use std::time::{SystemTime, UNIX_EPOCH};

use ::querier::{AdminApi, Querier, QuerierConfig};
use api::{ProcessStatus, QueryLimits};
use cluster::Role;
use model::time::format_duration_ms;
use promql::EngineConfig;

use super::{Builder, Part};
use crate::fault::Fault;
use crate::memory;
use crate::settings::Settings;

pub(super) async fn build(builder: &Builder<'_>) -> Result<Part, Fault> {
    let settings = builder.settings;
    let session = builder.session(Role::Querier, None);
    let query = &settings.query;
    let config = QuerierConfig {
        engine: builder.engine.clone(),
        queries: QueryLimits {
            concurrency_max: query.concurrency_max,
            queued_max: query.queued_max,
            ..QueryLimits::default()
        },
        series_max: query.series_max,
        admin_api: if settings.admin_api { AdminApi::On } else { AdminApi::Off },
        gateway_replicas: settings
            .gateway
            .replication_factor
            .map_or(cluster::rendezvous::GATEWAY_REPLICAS, |given| given as usize),
        status: status(settings),
        ..QuerierConfig::default()
    };
    let querier = Querier::build(config, builder.context, session).await;
    let querier = querier.map_err(|error| Fault::usage(format!("--{error}")))?;
    Ok(Part {
        http: querier.http_routes(),
        grpc: querier.grpc_routes(),
        role: Box::new(querier),
        ingester: None,
    })
}

/// Returns what holds for all queries of this process.
pub(super) fn engine(settings: &Settings) -> EngineConfig {
    let query = &settings.query;
    let memory_bytes_total_max = query.memory_bytes_total_max.unwrap_or_else(memory::for_queries_bytes);
    EngineConfig {
        lookback_ms: query.lookback.as_millis() as i64,
        samples_max: query.samples_max,
        memory_bytes_max: query.memory_bytes_max.unwrap_or(memory_bytes_total_max / 2),
        memory_bytes_total_max,
        timeout: query.timeout,
        subquery_step_ms: settings.config.global.evaluation_interval_ms as i64,
        delayed_name_removal: settings.features.delayed_name_removal(),
        use_start_timestamps: settings.features.use_start_timestamps(),
        per_step_stats: settings.features.per_step_stats(),
        parser: settings.features.parser(),
        pushdown: query.pushdown,
        ..EngineConfig::default()
    }
}

fn status(settings: &Settings) -> ProcessStatus {
    // A clock before 1970 is shown as 1970.
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let directory = std::env::current_dir().unwrap_or_default();
    ProcessStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_ms: started.as_millis() as i64,
        working_directory: directory.display().to_string(),
        flags: settings.flags.clone(),
        storage_retention: format_duration_ms(settings.retention.time_ms),
        ..ProcessStatus::default()
    }
}
