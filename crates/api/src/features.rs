//! `/api/v1/features`: what this server can and what of it is on, by category, with Prometheus's names.
//!
//! Source: Prometheus `util/features`, and the names that its parts register.

use std::collections::BTreeMap;
use std::sync::Arc;

use promql::function::Function;
use promql::{EngineConfig, Gate};

use crate::ApiError;
use crate::endpoint::Answer;
use crate::params::Params;
use crate::query_api::QueryApi;

type Category = BTreeMap<&'static str, bool>;

/// The HTTP API: what is served, whatever the configuration says.
const API: [(&str, bool); 9] = [
    ("exclude_alerts", false),
    ("label_values_match", true),
    ("lifecycle", false),
    ("otlp_write_receiver", false),
    ("query_stats", true),
    ("query_warnings", true),
    ("remote_write_receiver", true),
    ("time_range_labels", true),
    ("time_range_series", true),
];
/// The parts of the language that are always there.
const LANGUAGE: [&str; 13] = [
    "at_modifier",
    "bool",
    "by",
    "duration_expr",
    "group_left",
    "group_right",
    "ignoring",
    "negative_offset",
    "offset",
    "on",
    "per_query_lookback_delta",
    "subqueries",
    "without",
];
/// Operators and aggregations that are always there.
const OPERATORS: [&str; 33] = [
    "!=",
    "!~",
    "%",
    "*",
    "+",
    "-",
    "/",
    "<",
    "</",
    "<=",
    "==",
    "=~",
    ">",
    ">/",
    ">=",
    "@",
    "^",
    "and",
    "atan2",
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "max",
    "min",
    "or",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
    "unless",
];
/// Aggregations that come with experimental functions.
const EXPERIMENTAL_OPERATORS: [&str; 2] = ["limit_ratio", "limitk"];

/// Lists them.
pub(crate) async fn features(served: Arc<QueryApi>, _: Params) -> Result<Answer, ApiError> {
    let mut categories = categories(served.queries.engine().config());
    categories.entry("api").or_default().insert("admin", served.admin.is_some());
    Ok(Answer::new(categories.values().map(BTreeMap::len).sum(), move |json| {
        json.object(|json| {
            for (name, category) in &categories {
                json.member(name).object(|json| {
                    for (name, is_on) in category {
                        json.member(name).boolean(*is_on);
                    }
                });
            }
        });
    }))
}

fn categories(config: &EngineConfig) -> BTreeMap<&'static str, Category> {
    let is_open = |gate: Gate| gate == Gate::Open;
    let parser = &config.parser;
    let is_experimental_on = is_open(parser.experimental_functions);
    let mut language: Category = LANGUAGE.iter().map(|name| (*name, true)).collect();
    language.extend(["anchored", "smoothed"].map(|name| (name, is_open(parser.extended_range_selectors))));
    language.extend(["fill", "fill_left", "fill_right"].map(|name| (name, is_open(parser.fill_modifiers))));
    language.extend([
        ("delayed_name_removal", config.delayed_name_removal),
        ("per_step_stats", config.per_step_stats),
        ("use_start_timestamps", config.use_start_timestamps),
    ]);
    let functions = Function::all().iter();
    let functions = functions.map(|function| (function.name, is_experimental_on || !function.experimental));
    let mut operators: Category = OPERATORS.iter().map(|name| (*name, true)).collect();
    operators.extend(EXPERIMENTAL_OPERATORS.map(|name| (name, is_experimental_on)));
    [
        ("api", API.into_iter().collect()),
        ("promql", language),
        ("promql_functions", functions.collect()),
        ("promql_operators", operators),
        ("rules", [("keep_firing_for", false), ("query_offset", true)].into_iter().collect()),
        ("tsdb", [("native_histograms", true), ("exemplar_storage", false)].into_iter().collect()),
    ]
    .into()
}

#[cfg(test)]
mod tests {
    use promql::ParserOptions;

    use super::*;

    #[test]
    fn experiments_are_off_until_they_are_switched_on() {
        let stock = categories(&EngineConfig::default());
        let parser = ParserOptions::everything();
        let open = categories(&EngineConfig { parser, ..EngineConfig::default() });
        for (category, name) in [
            ("promql", "anchored"),
            ("promql", "fill_left"),
            ("promql_functions", "mad_over_time"),
            ("promql_operators", "limitk"),
        ] {
            assert_eq!((stock[category][name], open[category][name]), (false, true), "{name}");
        }
        assert!(stock["promql_functions"]["rate"] && stock["promql_operators"]["topk"]);
        assert_eq!(stock["promql_functions"].len(), 90);
        assert_eq!(stock["promql_operators"].len(), OPERATORS.len() + EXPERIMENTAL_OPERATORS.len());
        assert!(!stock["promql"]["delayed_name_removal"]);
    }
}
