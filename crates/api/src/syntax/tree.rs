//! A syntax tree as JSON, in the form that Prometheus's own pages read (`web/api/v1/translate_ast.go`).
//!
//! Members are in the order of their names, as Go writes maps. Written with a stack of what is still to write, so a long
//! chain of operators is no deep recursion.

use model::Matcher;
use promql::Expr;
use promql::ast::{
    Aggregate, AtModifier, Binary, Cardinality, DurationSpec, Matching, NodeId, NodeKind, RangeMode,
    Subquery, UnaryOp, ValueType, VectorSelector,
};
use promql::function::{Arity, Function};

use crate::json::JsonWriter;

/// What is still to write.
enum Work {
    Node(NodeId),
    Json(String),
}

/// Returns the JSON of a tree.
pub(super) fn write(expr: &Expr) -> String {
    let mut json = String::new();
    let (mut stack, mut parts) = (vec![Work::Node(expr.root())], Vec::new());
    while let Some(work) = stack.pop() {
        match work {
            Work::Json(text) => json.push_str(&text),
            Work::Node(id) => {
                node(expr, &expr.node(id).kind, &mut parts);
                stack.extend(parts.drain(..).rev());
            }
        }
    }
    json
}

fn rendered(write: impl FnOnce(&mut JsonWriter)) -> String {
    let mut json = JsonWriter::default();
    write(&mut json);
    String::from_utf8(json.finish()).expect("JSON is made of texts")
}

fn text(text: &str) -> String {
    rendered(|json| json.text(text))
}

fn list(texts: &[String]) -> String {
    rendered(|json| json.texts(texts))
}

fn json(parts: &mut Vec<Work>, json: impl Into<String>) {
    parts.push(Work::Json(json.into()));
}

/// Appends the parts of a node, in order.
fn node(expr: &Expr, kind: &NodeKind, parts: &mut Vec<Work>) {
    match kind {
        NodeKind::Number(value) | NodeKind::Duration(value) => {
            let value = text(&model::float::format_plain(*value));
            json(parts, format!("{{\"type\":\"numberLiteral\",\"val\":{value}}}"));
        }
        NodeKind::String(bytes) => {
            let value = text(&String::from_utf8_lossy(bytes));
            json(parts, format!("{{\"type\":\"stringLiteral\",\"val\":{value}}}"));
        }
        NodeKind::Paren(child) => {
            json(parts, "{\"expr\":");
            parts.push(Work::Node(*child));
            json(parts, ",\"type\":\"parenExpr\"}");
        }
        NodeKind::Unary(op, child) => {
            let sign = if *op == UnaryOp::Minus { "-" } else { "+" };
            json(parts, "{\"expr\":");
            parts.push(Work::Node(*child));
            json(parts, format!(",\"op\":\"{sign}\",\"type\":\"unaryExpr\"}}"));
        }
        NodeKind::Binary(operation) => binary(expr, operation, parts),
        NodeKind::Aggregate(aggregation) => aggregate(aggregation, parts),
        NodeKind::Call(function, args) => call(function, args, parts),
        NodeKind::Selector(vector) => json(parts, selector(vector, None)),
        NodeKind::Range(id, range) => {
            if let NodeKind::Selector(vector) = &expr.node(*id).kind {
                json(parts, selector(vector, Some(range)));
            }
        }
        NodeKind::Subquery(inner) => subquery(inner, parts),
    }
}

fn binary(expr: &Expr, binary: &Binary, parts: &mut Vec<Work>) {
    let is_vector = |id: NodeId| expr.type_of(id) == ValueType::Vector;
    let matching = if is_vector(binary.rhs) && is_vector(binary.lhs) {
        matching(&binary.matching, binary.op.is_set())
    } else {
        "null".to_owned()
    };
    json(parts, format!("{{\"bool\":{},\"lhs\":", binary.return_bool));
    parts.push(Work::Node(binary.lhs));
    json(parts, format!(",\"matching\":{matching},\"op\":{},\"rhs\":", text(binary.op.as_str())));
    parts.push(Work::Node(binary.rhs));
    json(parts, ",\"type\":\"binaryExpr\"}");
}

fn matching(matching: &Matching, is_set: bool) -> String {
    let card = match matching.cardinality {
        Cardinality::OneToOne if is_set => "many-to-many",
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    // JSON has no number for what is not finite.
    let fill = |value: Option<f64>| match value.filter(|value| value.is_finite()) {
        Some(value) => rendered(|json| json.number(value)),
        None => "null".to_owned(),
    };
    let (left, right) = (fill(matching.fill_left), fill(matching.fill_right));
    let (include, labels, on) = (list(&matching.include), list(&matching.labels), matching.on);
    format!(
        "{{\"card\":\"{card}\",\"fillValues\":{{\"lhs\":{left},\"rhs\":{right}}},\"include\":{include},\"labels\":{labels},\"on\":{on}}}"
    )
}

fn aggregate(aggregate: &Aggregate, parts: &mut Vec<Work>) {
    json(parts, "{\"expr\":");
    parts.push(Work::Node(aggregate.expr));
    let (grouping, op) = (list(&aggregate.grouping), aggregate.op);
    json(parts, format!(",\"grouping\":{grouping},\"op\":\"{op}\",\"param\":"));
    match aggregate.param {
        Some(param) => parts.push(Work::Node(param)),
        None => json(parts, "null"),
    }
    json(parts, format!(",\"type\":\"aggregation\",\"without\":{}}}", aggregate.without));
}

fn call(function: &Function, args: &[NodeId], parts: &mut Vec<Work>) {
    json(parts, "{\"args\":[");
    for (at, arg) in args.iter().enumerate() {
        if at > 0 {
            json(parts, ",");
        }
        parts.push(Work::Node(*arg));
    }
    let types: Vec<String> = function.args.iter().map(|of| of.as_str().to_owned()).collect();
    let variadic = match function.arity {
        Arity::Exact => 0,
        Arity::OptionalLast => 1,
        Arity::Repeated(more) => i64::try_from(more).unwrap_or(i64::MAX),
        Arity::Unlimited => -1,
    };
    let (types, name, returns) = (list(&types), text(function.name), function.returns.as_str());
    json(
        parts,
        format!(
            "],\"func\":{{\"argTypes\":{types},\"name\":{name},\"returnType\":\"{returns}\",\"variadic\":{variadic}}},\"type\":\"call\"}}"
        ),
    );
}

/// Returns milliseconds; 0 for what is known only when the query runs.
fn constant_ms(duration: Option<&DurationSpec>) -> i64 {
    match duration {
        Some(DurationSpec::Constant(ms)) => *ms,
        Some(DurationSpec::Expression(_)) | None => 0,
    }
}

/// Returns the members `startOrEnd` and `timestamp`, with `between` in the middle.
fn at_members(at: Option<AtModifier>, between: &str) -> String {
    let (start_or_end, timestamp) = match at {
        Some(AtModifier::Start) => ("\"start\"", None),
        Some(AtModifier::End) => ("\"end\"", None),
        Some(AtModifier::Time(ms)) => ("null", Some(ms)),
        None => ("null", None),
    };
    let timestamp = timestamp.map_or("null".to_owned(), |ms| ms.to_string());
    format!("\"startOrEnd\":{start_or_end},{between}\"timestamp\":{timestamp}")
}

fn selector(selector: &VectorSelector, range: Option<&DurationSpec>) -> String {
    let named = usize::from(selector.name.is_some());
    // The condition on a name before the braces comes last.
    let (first, rest) = selector.matchers.split_at(named.min(selector.matchers.len()));
    let matchers = rendered(|json| json.array(rest.iter().chain(first), matcher));
    let name = text(selector.name.as_deref().unwrap_or(""));
    let offset = constant_ms(selector.offset.as_ref());
    let anchored = selector.mode == Some(RangeMode::Anchored);
    let smoothed = selector.mode == Some(RangeMode::Smoothed);
    let (kind, range) = match range {
        Some(range) => ("matrixSelector", format!("\"range\":{},", constant_ms(Some(range)))),
        None => ("vectorSelector", String::new()),
    };
    let at = at_members(selector.at, "");
    format!(
        "{{\"anchored\":{anchored},\"matchers\":{matchers},\"name\":{name},\"offset\":{offset},{range}\"smoothed\":{smoothed},{at},\"type\":\"{kind}\"}}"
    )
}

fn matcher(json: &mut JsonWriter, matcher: &Matcher) {
    json.raw("{");
    for (at, (key, value)) in
        [("name", &*matcher.name), ("type", matcher.op.as_str()), ("value", &*matcher.value)]
            .into_iter()
            .enumerate()
    {
        json.key(at, key);
        json.text(value);
    }
    json.raw("}");
}

fn subquery(subquery: &Subquery, parts: &mut Vec<Work>) {
    json(parts, "{\"expr\":");
    parts.push(Work::Node(subquery.expr));
    let (offset, range) = (constant_ms(subquery.offset.as_ref()), constant_ms(Some(&subquery.range)));
    let step = format!("\"step\":{},", constant_ms(subquery.step.as_ref()));
    let at = at_members(subquery.at, &step);
    json(parts, format!(",\"offset\":{offset},\"range\":{range},{at},\"type\":\"subquery\"}}"));
}
