//! How a query is or was evaluated, as JSON; and `/api/v1/query_explain`.

use std::sync::Arc;

use promql::{EvaluatedBy, ExplainedNode, ExplainedSelect, Explanation, NodeStats, PushedRun, QueryOptions};

use crate::ApiError;
use crate::endpoint::Answer;
use crate::json::{JsonWriter, Members};
use crate::params::Params;
use crate::query::{options, steps};
use crate::query_api::{Completeness, QueryApi};

/// How much of a node's text is shown; where it stands is told in full.
const TEXT_BYTES_MAX: usize = 80;
/// About how many JSON elements a node has.
const ELEMENTS_PER_NODE: usize = 10;

/// Explains `query` at `time`, or from `start` to `end` in steps of `step`; runs it unless `analyze=false`.
pub(crate) async fn explain(served: Arc<QueryApi>, params: Params) -> Result<Answer, ApiError> {
    let query = params.get("query").to_owned();
    let options = QueryOptions { explain: true, ..options(&params)? };
    let is_range = !params.get("step").is_empty();
    let range = if is_range { Some(steps(&params, served.queries.limits().points_max)?) } else { None };
    let time_ms = params.time_or("time", served.queries.now_ms())?;
    let (explanation, pushed) = if params.get("analyze") == "false" {
        (explain_only(&served, &query, time_ms, range, &options).await?, Vec::new())
    } else {
        let (queries, text) = (&served.queries, query.as_str());
        let run = async |data, options: QueryOptions| match range {
            Some((start, end, step)) => {
                Ok(queries.engine().range(data, text, start, end, step, &options).await?)
            }
            None => Ok(queries.engine().instant(data, text, time_ms, &options).await?),
        };
        let (result, _) = queries.run(text, Completeness::Strict, options, run).await?;
        (result.explanation.map(|one| *one).unwrap_or_default(), result.pushed.runs)
    };
    let weight = explanation.nodes.len() * ELEMENTS_PER_NODE;
    Ok(Answer::new(weight, move |json| write(json, &query, &explanation, &pushed)))
}

async fn explain_only(
    served: &QueryApi,
    query: &str,
    time_ms: i64,
    range: Option<(i64, i64, i64)>,
    options: &QueryOptions,
) -> Result<Explanation, ApiError> {
    let engine = served.queries.engine();
    Ok(match range {
        Some((start, end, step)) => engine.explain_range(query, start, end, step, options).await?,
        None => engine.explain_instant(query, time_ms, options).await?,
    })
}

/// Writes an explanation.
pub(crate) fn write(json: &mut JsonWriter, query: &str, explanation: &Explanation, pushed: &[PushedRun]) {
    json.object(|json| {
        json.text("query", query);
        json.count("root", explanation.nodes.len().saturating_sub(1));
        let nodes = explanation.nodes.iter().enumerate();
        json.member("nodes")
            .array(nodes, |json, (id, node)| json.object(|json| write_node(json, query, id, node)));
        let selects = explanation.selects.iter().enumerate();
        json.member("selects")
            .array(selects, |json, (id, select)| json.object(|json| write_select(json, id, select)));
        json.member("pushed").array(pushed, |json, run| json.object(|json| write_run(json, run)));
    });
}

fn write_node(json: &mut Members<'_>, query: &str, id: usize, node: &ExplainedNode) {
    let (from, to) = node.span;
    let text = query.get(from..to).unwrap_or_default();
    json.count("id", id);
    json.text("kind", node.kind);
    json.text("name", &node.name);
    json.text("text", &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]);
    json.count("from", from);
    json.count("to", to);
    json.member("children").array(&node.children, |json, child| json.integer(*child as i64));
    json.member("start").timestamp(node.start_ms);
    json.member("step").timestamp(node.step_ms);
    json.count("steps", node.steps);
    json.member("stepInvariant").boolean(node.is_step_invariant);
    json.text("evaluatedBy", evaluated_by(node.by));
    if let Some(select) = node.select {
        json.count("select", select);
    }
    if let Some(stats) = &node.stats {
        json.member("stats").object(|json| write_stats(json, stats));
    }
}

fn write_stats(json: &mut Members<'_>, stats: &NodeStats) {
    json.count("series", stats.series);
    json.count("samples", stats.samples);
    json.count("samplesRead", stats.samples_read);
    json.count("memoryBytes", stats.memory_bytes);
    json.count("resultBytes", stats.result_bytes);
    json.seconds("wallSeconds", stats.wall);
    json.seconds("busySeconds", stats.busy);
}

fn write_select(json: &mut Members<'_>, id: usize, select: &ExplainedSelect) {
    json.count("id", id);
    json.text("selector", &select.selector);
    json.member("start").timestamp(select.start_ms);
    json.member("end").timestamp(select.end_ms);
    json.member("nodes").array(&select.nodes, |json, node| json.integer(*node as i64));
    if let Some(series) = select.series {
        json.count("series", series);
    }
}

fn write_run(json: &mut Members<'_>, run: &PushedRun) {
    json.text("owner", &run.owner);
    json.member("nodes").array(&run.nodes, |json, (node, first, steps)| {
        json.object(|json| {
            json.count("node", *node);
            json.count("firstStep", *first);
            json.count("steps", *steps);
        });
    });
    json.count("series", run.series);
    json.count("samplesRead", run.samples_read);
    json.count("rows", run.rows);
    json.count("bytes", run.bytes);
    json.member("seconds").number(run.seconds);
}

fn evaluated_by(by: EvaluatedBy) -> &'static str {
    match by {
        EvaluatedBy::Engine => "engine",
        EvaluatedBy::Parent => "parent",
        EvaluatedBy::Storage => "storage",
        EvaluatedBy::StorageWithin => "storage, within a node above",
    }
}
