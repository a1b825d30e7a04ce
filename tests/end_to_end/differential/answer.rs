//! Answers of the query API, and in what two of them differ.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::harness::Api;

/// How far two numbers may be from each other, relative to the larger one: sums over many series are not taken in the
/// same order by both, and the last digit of a sine is not the same everywhere.
const TOLERANCE: f64 = 1e-9;
/// Nor is what cancels out: differences of nearly equal numbers may be this far apart.
const TOLERANCE_ABSOLUTE: f64 = 1e-12;

type Labels = BTreeMap<String, String>;
/// Time in seconds, value as text.
type Points = Vec<(f64, String)>;

/// When a query is evaluated, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    At(i64),
    Steps { start: i64, end: i64, step: i64 },
}

/// One query.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) query: String,
    pub(super) when: When,
}

/// One answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) error_type: String,
    pub(super) error: String,
    pub(super) result_type: String,
    /// Series in the order of the answer.
    pub(super) series: Vec<(Labels, Points)>,
    pub(super) warnings: BTreeSet<String>,
    pub(super) infos: BTreeSet<String>,
}

/// How much two answers agree.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// To the last digit.
    Equal,
    /// Within the tolerance.
    Close,
    /// What is different.
    Different(Vec<&'static str>),
}

impl Case {
    /// Asks a server.
    pub(super) async fn ask(&self, api: &Api) -> Result<Answer, String> {
        let seconds = |ms: i64| {
            let sign = if ms < 0 { "-" } else { "" };
            format!("{sign}{}.{:03}", ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000)
        };
        let (path, parameters) = match self.when {
            When::At(time) => ("/api/v1/query", vec![("time", seconds(time))]),
            When::Steps { start, end, step } => (
                "/api/v1/query_range",
                vec![("start", seconds(start)), ("end", seconds(end)), ("step", seconds(step))],
            ),
        };
        let mut all = vec![("query", self.query.as_str())];
        all.extend(parameters.iter().map(|(name, value)| (*name, value.as_str())));
        let (status, text) = api.ask(path, &all).await?;
        let json = serde_json::from_str(&text).map_err(|e| format!("{self:?}: {status} {e}: {text}"))?;
        Answer::read(status, &json).ok_or_else(|| format!("{self:?}: {status} {text}"))
    }
}

impl Answer {
    fn read(status: u16, json: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let texts = |value: &Value| value.as_array().into_iter().flatten().map(text).collect();
        let mut answer = Self {
            status,
            error_type: text(&json["errorType"]),
            error: text(&json["error"]),
            result_type: text(&json["data"]["resultType"]),
            warnings: texts(&json["warnings"]),
            infos: texts(&json["infos"]),
            series: Vec::new(),
        };
        let result = &json["data"]["result"];
        let point = |pair: &Value| Some((pair[0].as_f64()?, pair[1].as_str()?.to_owned()));
        match answer.result_type.as_str() {
            "" => return (json["status"] == "error").then_some(answer),
            "scalar" | "string" => answer.series.push((Labels::new(), vec![point(result)?])),
            _ => {
                for one in result.as_array()? {
                    let labels = one["metric"].as_object()?;
                    let labels = labels.iter().map(|(name, value)| (name.clone(), text(value))).collect();
                    let points = match &one["value"] {
                        Value::Null => one["values"].as_array()?.iter().map(point).collect::<Option<_>>()?,
                        value => vec![point(value)?],
                    };
                    answer.series.push((labels, points));
                }
            }
        }
        Some(answer)
    }

    /// Returns the series by labels.
    pub(super) fn by_labels(&self) -> BTreeMap<&Labels, &Points> {
        self.series.iter().map(|(labels, points)| (labels, points)).collect()
    }

    /// Returns the order of the series, as far as it means something.
    fn order(&self, case: &Case) -> Vec<String> {
        let labels = |series: &(Labels, Points)| format!("{:?}", series.0);
        match case.when {
            When::At(_) if self.result_type != "vector" => Vec::new(),
            When::At(_) if !case.query.starts_with("sort_by_label") => Vec::new(),
            _ => self.series.iter().map(labels).collect(),
        }
    }

    /// Holds an answer against another one to the same query.
    pub(super) fn compare(&self, other: &Self, case: &Case) -> Verdict {
        let mut different = Vec::new();
        let mut differ = |what, yes| {
            if yes {
                different.push(what);
            }
        };
        differ("status", self.status != other.status);
        differ("error type", self.error_type != other.error_type);
        differ("error", self.error != other.error);
        differ("result type", self.result_type != other.result_type);
        differ("warnings", self.warnings != other.warnings);
        differ("infos", self.infos != other.infos);
        let (ours, theirs) = (self.by_labels(), other.by_labels());
        let repeated = ours.len() != self.series.len() || theirs.len() != other.series.len();
        let values = if repeated || !ours.keys().eq(theirs.keys()) {
            differ("labels", true);
            Verdict::Equal
        } else {
            ours.values().zip(theirs.values()).map(|(a, b)| points(a, b)).fold(Verdict::Equal, worse)
        };
        differ("order", self.order(case) != other.order(case));
        let is_sorted = case.query.starts_with("sort(") || case.query.starts_with("sort_desc(");
        if is_sorted && self.series.len() == other.series.len() && matches!(case.when, When::At(_)) {
            // Equal values may come in any order.
            let pairs = self.series.iter().zip(&other.series);
            differ(
                "order",
                pairs.map(|(a, b)| points(&a.1, &b.1)).any(|v| matches!(v, Verdict::Different(_))),
            );
        }
        if let Verdict::Different(values) = &values {
            different.extend(values);
        }
        if different.is_empty() { values } else { Verdict::Different(different) }
    }
}

fn worse(a: Verdict, b: Verdict) -> Verdict {
    match (&a, &b) {
        (Verdict::Different(_), _) | (Verdict::Close, Verdict::Equal) => a,
        (_, Verdict::Equal) => a,
        _ => b,
    }
}

fn points(ours: &Points, theirs: &Points) -> Verdict {
    if !ours.iter().map(|(time, _)| time).eq(theirs.iter().map(|(time, _)| time)) {
        return Verdict::Different(vec!["times"]);
    }
    ours.iter().zip(theirs).map(|(a, b)| value(&a.1, &b.1)).fold(Verdict::Equal, worse)
}

fn value(ours: &str, theirs: &str) -> Verdict {
    if ours == theirs {
        return Verdict::Equal;
    }
    let (Ok(a), Ok(b)) = (ours.parse::<f64>(), theirs.parse::<f64>()) else {
        return Verdict::Different(vec!["values"]);
    };
    if a.to_bits() == b.to_bits() {
        return Verdict::Different(vec!["how a number is written"]);
    }
    let close = (a - b).abs() <= (TOLERANCE * a.abs().max(b.abs())).max(TOLERANCE_ABSOLUTE);
    if close { Verdict::Close } else { Verdict::Different(vec!["values"]) }
}
