//! `query` and `query_range`.

use std::sync::Arc;
use std::time::Duration;

use promql::{EngineConfig, QueryOptions, QueryResult, Value};
use storage::StorageError;

use crate::endpoint::{Answer, BYTES_PER_ELEMENT};
use crate::json::{JsonWriter, write_value};
use crate::params::{Params, parse_duration_ns};
use crate::query_api::{Completeness, QueryApi, QueryReport};
use crate::{ApiError, TRUNCATED, explain};

const NANOS_PER_MS: i64 = 1_000_000;

/// The first step of a query and the distance of its steps, ms.
type Grid = (i64, i64);

/// Which statistics go with a result.
#[derive(Clone, Copy, Debug)]
enum Stats {
    None,
    Totals,
    /// Those of each step, too.
    PerStep(Grid),
}

/// `/api/v1/query`: `query`, and optional `time`, `timeout`, `lookback_delta`, `limit`, `stats`,
/// `max_source_resolution`.
pub(crate) async fn instant(served: Arc<QueryApi>, params: Params) -> Result<Answer, ApiError> {
    let limit = params.limit()?;
    let time_ms = params.time_or("time", served.queries.now_ms())?;
    let (queries, query) = (&served.queries, params.get("query"));
    let (options, stats) = asked(&params, queries.engine().config(), (time_ms, 0))?;
    let run = async |data, options| Ok(queries.engine().instant(data, query, time_ms, &options).await?);
    let (result, report) = queries.run(query, completeness(&params), options, run).await?;
    answer(result, limit, query.to_owned(), (stats, report))
}

/// `/api/v1/query_range`: `query`, `start`, `end`, `step`, and the options of `query`.
pub(crate) async fn range(served: Arc<QueryApi>, params: Params) -> Result<Answer, ApiError> {
    let limit = params.limit()?;
    let (start_ms, end_ms, step_ms) = steps(&params, served.queries.limits().points_max)?;
    let (queries, query) = (&served.queries, params.get("query"));
    let (options, stats) = asked(&params, queries.engine().config(), (start_ms, step_ms))?;
    let run = async |data, options| {
        Ok(queries.engine().range(data, query, start_ms, end_ms, step_ms, &options).await?)
    };
    let (result, report) = queries.run(query, completeness(&params), options, run).await?;
    answer(result, limit, query.to_owned(), (stats, report))
}

/// Returns the first step, the last possible one and their distance, in ms.
pub(crate) fn steps(params: &Params, points_max: i64) -> Result<(i64, i64, i64), ApiError> {
    let (start_ms, end_ms) = (params.time("start")?, params.time("end")?);
    if end_ms < start_ms {
        return Err(ApiError::parameter("end", "end timestamp must not be before start time"));
    }
    let step_ns =
        parse_duration_ns(params.get("step")).map_err(|reason| ApiError::parameter("step", reason))?;
    let step_ms = step_ns / NANOS_PER_MS;
    if step_ms <= 0 {
        let reason = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(ApiError::parameter("step", reason));
    }
    if (i128::from(end_ms) - i128::from(start_ms)) / i128::from(step_ms) > i128::from(points_max) {
        let reason = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
        return Err(ApiError::BadData(reason.replace("11,000", &thousands(points_max))));
    }
    Ok((start_ms, end_ms, step_ms))
}

fn thousands(value: i64) -> String {
    if value < 1000 { value.to_string() } else { format!("{},{:03}", thousands(value / 1000), value % 1000) }
}

pub(crate) fn options(params: &Params) -> Result<QueryOptions, ApiError> {
    let timeout_ns = params.duration_ns("timeout")?;
    let lookback = params.get("lookback_delta");
    let lookback_ms = if lookback.is_empty() {
        None
    } else {
        let fault = |reason| ApiError::BadData(format!("error parsing lookback delta duration: {reason}"));
        Some(parse_duration_ns(lookback).map_err(fault)? / NANOS_PER_MS).filter(|ms| *ms > 0)
    };
    let timeout = timeout_ns.map(|ns| Duration::from_nanos(u64::try_from(ns).unwrap_or(0)));
    let resolution_max_ms = resolution_max_ms(params)?;
    let pushdown = pushdown(params);
    Ok(QueryOptions { lookback_ms, timeout, pushdown, resolution_max_ms, ..QueryOptions::default() })
}

/// Reads `max_source_resolution`, as Thanos has it: `auto` or nothing leaves the choice to the engine.
fn resolution_max_ms(params: &Params) -> Result<Option<i64>, ApiError> {
    const NAME: &str = "max_source_resolution";
    if matches!(params.get(NAME), "" | "auto") {
        return Ok(None);
    }
    let resolution_ms = params.duration_ns(NAME)?.map(|ns| ns / NANOS_PER_MS);
    if resolution_ms.is_some_and(|ms| ms < 0) {
        return Err(ApiError::parameter(
            NAME,
            "negative resolutions are not accepted. Try a positive duration",
        ));
    }
    Ok(resolution_ms)
}

/// Returns the options of a query with what it is to tell of itself: statistics, per step or not, and its explanation.
///
/// Samples are counted step by step where they are read by this engine, so statistics per step leave nothing to others.
fn asked(params: &Params, config: &EngineConfig, grid: Grid) -> Result<(QueryOptions, Stats), ApiError> {
    let mut options = options(params)?;
    let stats = params.get("stats");
    let stats = match stats {
        "" => Stats::None,
        "all" if config.per_step_stats => Stats::PerStep(grid),
        _ => Stats::Totals,
    };
    options.explain = is_true(params.get("explain"));
    options.count_steps = !matches!(stats, Stats::None);
    if let Stats::PerStep(_) = stats {
        options.pushdown = Some(false);
    }
    Ok((options, stats))
}

fn is_true(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// Reads `pushdown`, ours: whether parts of the query may be evaluated where the samples are.
fn pushdown(params: &Params) -> Option<bool> {
    match params.get("pushdown") {
        "" => None,
        value => Some(!matches!(value, "0" | "f" | "F" | "false" | "FALSE" | "False")),
    }
}

/// Reads `partial_response`, as Thanos has it.
pub(crate) fn completeness(params: &Params) -> Completeness {
    match params.get("partial_response") {
        value if is_true(value) => Completeness::Partial,
        _ => Completeness::Strict,
    }
}

fn answer(
    mut result: QueryResult,
    limit: Option<usize>,
    query: String,
    (stats, report): (Stats, QueryReport),
) -> Result<Answer, ApiError> {
    let mut warnings = std::mem::take(&mut result.warnings);
    let infos = std::mem::take(&mut result.infos);
    if limit.is_some_and(|limit| truncate(&mut result.value, limit)) {
        warnings.push(TRUNCATED.to_owned());
    }
    let weight = match &result.value {
        Value::Scalar { .. } | Value::String { .. } => 1,
        Value::Vector(samples) => samples.len() * 4,
        Value::Matrix(series) => series.iter().map(|s| 4 + s.points.len() + s.histograms.len() * 8).sum(),
    };
    // The text is reserved beside the value, and both are given back when it is written.
    let text = result.memory.beside((weight * BYTES_PER_ELEMENT) as u64).map_err(StorageError::from)?;
    let write = move |json: &mut JsonWriter| {
        let _held = text;
        json.raw("{");
        write_value(json, &result.value);
        if !matches!(stats, Stats::None) {
            json.raw(",\"stats\":");
            write_stats(json, &result, &report, stats);
        }
        if let Some(explanation) = &result.explanation {
            json.raw(",\"explain\":");
            explain::write(json, &query, explanation, &result.pushed.runs);
        }
        json.raw("}");
    };
    Ok(Answer::new(weight, write).with_notices(warnings, infos))
}

/// Cuts a value to so many series; tells whether any was lost.
fn truncate(value: &mut Value, limit: usize) -> bool {
    let before = match value {
        Value::Scalar { .. } | Value::String { .. } => return false,
        Value::Vector(samples) => {
            let before = samples.len();
            samples.truncate(limit);
            before
        }
        Value::Matrix(series) => {
            let before = series.len();
            series.truncate(limit);
            before
        }
    };
    before > limit
}

/// Writes statistics as Prometheus does; the samples of each step only where they were counted.
fn write_stats(json: &mut JsonWriter, result: &QueryResult, report: &QueryReport, which: Stats) {
    let stats = &result.stats;
    let looked_at = match result.step_samples.iter().sum::<u64>() {
        0 => stats.samples_read,
        counted => counted + result.pushed.runs.iter().map(|run| run.samples_read).sum::<u64>(),
    };
    json.object(|json| {
        json.member("timings").object(|json| {
            json.seconds("evalTotalTime", report.evaluated);
            json.seconds("resultSortTime", Duration::ZERO);
            json.seconds("queryPreparationTime", stats.preparation);
            json.seconds("innerEvalTime", stats.evaluation);
            json.seconds("execQueueTime", report.queued);
            json.seconds("execTotalTime", report.queued + report.evaluated);
        });
        json.member("samples").object(|json| {
            if let Stats::PerStep((start_ms, step_ms)) = which {
                let steps = result.step_samples.iter().zip(0..);
                json.member("totalQueryableSamplesPerStep").array(steps, |json, (samples, step)| {
                    json.raw("[");
                    json.timestamp(start_ms + step * step_ms);
                    json.raw(",");
                    json.integer(i64::try_from(*samples).unwrap_or(i64::MAX));
                    json.raw("]");
                });
            }
            json.count("totalQueryableSamples", looked_at);
            json.count("samplesRead", stats.samples_read);
            json.count("peakSamples", stats.samples_peak);
        });
    });
}
