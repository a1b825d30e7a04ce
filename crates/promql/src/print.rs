//! The printer: a tree as one line of PromQL that parses to the same tree, as Prometheus prints it (`printer.go`).
//!
//! Iterative, with a stack of what is still to print, so depth does not matter.

mod pretty;

use std::fmt;

use model::labels::{is_legacy_label_name, quote};

use crate::ast::{
    Aggregate, AtModifier, Binary, BinaryOp, Cardinality, DurationSpec, Expr, NodeId, NodeKind, Subquery,
    UnaryOp, VectorSelector, format_seconds,
};
use crate::parser::text::quote_bytes;

/// A piece of what is to be printed.
enum Work {
    Text(String),
    Literal(&'static str),
    Node(NodeId),
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut stack = vec![Work::Node(self.root())];
        let mut parts = Vec::new();
        while let Some(work) = stack.pop() {
            match work {
                Work::Text(text) => f.write_str(&text)?,
                Work::Literal(text) => f.write_str(text)?,
                Work::Node(id) => {
                    print_node(&self.node(id).kind, self, &mut parts);
                    stack.extend(parts.drain(..).rev());
                }
            }
        }
        Ok(())
    }
}

/// Appends the parts of a node, in order.
fn print_node(kind: &NodeKind, expr: &Expr, parts: &mut Vec<Work>) {
    match kind {
        NodeKind::Number(value) => parts.push(Work::Text(format_number(*value))),
        NodeKind::Duration(seconds) => parts.push(Work::Text(format_seconds(*seconds))),
        NodeKind::String(bytes) => parts.push(Work::Text(quote_bytes(bytes))),
        NodeKind::Paren(child) => {
            parts.extend([Work::Literal("("), Work::Node(*child), Work::Literal(")")]);
        }
        NodeKind::Unary(op, child) => {
            let sign = if *op == UnaryOp::Minus { "-" } else { "+" };
            parts.extend([Work::Literal(sign), Work::Node(*child)]);
        }
        NodeKind::Binary(binary) => {
            let op = Work::Text(format!(" {} ", operator_text(binary)));
            parts.extend([left_side(binary, expr), op, Work::Node(binary.rhs)]);
        }
        NodeKind::Aggregate(aggregate) => print_aggregate(aggregate, parts),
        NodeKind::Call(function, args) => {
            parts.extend([Work::Literal(function.name), Work::Literal("(")]);
            for (index, arg) in args.iter().enumerate() {
                if index > 0 {
                    parts.push(Work::Literal(", "));
                }
                parts.push(Work::Node(*arg));
            }
            parts.push(Work::Literal(")"));
        }
        NodeKind::Selector(selector) => parts.push(Work::Text(selector_text(selector, None))),
        NodeKind::Range(selector, range) => {
            if let NodeKind::Selector(selector) = &expr.node(*selector).kind {
                parts.push(Work::Text(selector_text(selector, Some(range))));
            }
        }
        NodeKind::Subquery(subquery) => {
            parts.extend([Work::Node(subquery.expr), Work::Text(subquery_text(subquery))]);
        }
    }
}

fn format_number(value: f64) -> String {
    model::float::format_plain(value)
}

fn label_list(labels: &[String]) -> String {
    let labels: Vec<String> =
        labels.iter().map(|l| if is_legacy_label_name(l) { l.clone() } else { quote(l) }).collect();
    labels.join(", ")
}

/// Returns an operator with its modifiers.
fn operator_text(binary: &Binary) -> String {
    let mut op = binary.op.to_string();
    if binary.return_bool {
        op.push_str(" bool");
    }
    let matching = &binary.matching;
    if matching.on || !matching.labels.is_empty() || matching.cardinality != Cardinality::OneToOne {
        let word = if matching.on { "on" } else { "ignoring" };
        op.push_str(&format!(" {word} ({})", label_list(&matching.labels)));
    }
    match matching.cardinality {
        Cardinality::ManyToOne => op.push_str(&format!(" group_left ({})", label_list(&matching.include))),
        Cardinality::OneToMany => op.push_str(&format!(" group_right ({})", label_list(&matching.include))),
        Cardinality::OneToOne | Cardinality::ManyToMany => {}
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left.to_bits() == right.to_bits() => {
            op.push_str(&format!(" fill ({})", format_number(left)));
        }
        (left, right) => {
            for (side, value) in [("left", left), ("right", right)] {
                if let Some(value) = value {
                    op.push_str(&format!(" fill_{side} ({})", format_number(value)));
                }
            }
        }
    }
    op
}

/// Returns the left side of an operator, or the text that stands for it.
fn left_side(binary: &Binary, expr: &Expr) -> Work {
    match expr.node(binary.lhs).kind {
        // Its plus sign would take the whole power.
        NodeKind::Number(f64::INFINITY) if binary.op == BinaryOp::Pow => Work::Literal("Inf"),
        _ => Work::Node(binary.lhs),
    }
}

/// Returns an aggregation's operator with its labels.
fn aggregator_text(aggregate: &Aggregate) -> String {
    let (op, labels) = (aggregate.op, label_list(&aggregate.grouping));
    match (aggregate.without, labels.is_empty()) {
        (true, _) => format!("{op} without ({labels}) "),
        (false, true) => op.to_string(),
        (false, false) => format!("{op} by ({labels}) "),
    }
}

fn print_aggregate(aggregate: &Aggregate, parts: &mut Vec<Work>) {
    parts.extend([Work::Text(aggregator_text(aggregate)), Work::Literal("(")]);
    if let Some(param) = aggregate.param {
        parts.extend([Work::Node(param), Work::Literal(", ")]);
    }
    parts.extend([Work::Node(aggregate.expr), Work::Literal(")")]);
}

fn at_text(at: Option<AtModifier>) -> String {
    match at {
        Some(AtModifier::Time(ms)) => {
            let sign = if ms < 0 { "-" } else { "" };
            let ms = ms.unsigned_abs();
            format!(" @ {sign}{}.{:03}", ms / 1000, ms % 1000)
        }
        Some(AtModifier::Start) => " @ start()".to_owned(),
        Some(AtModifier::End) => " @ end()".to_owned(),
        None => String::new(),
    }
}

fn offset_text(offset: Option<&DurationSpec>) -> String {
    match offset {
        None | Some(DurationSpec::Constant(0)) => String::new(),
        Some(offset) => format!(" offset {offset}"),
    }
}

fn selector_text(selector: &VectorSelector, range: Option<&DurationSpec>) -> String {
    let mut text = selector.name.as_deref().unwrap_or("").to_owned();
    let inside = &selector.matchers[usize::from(selector.name.is_some())..];
    if !inside.is_empty() || selector.name.is_none() {
        let mut matchers: Vec<String> = inside.iter().map(matcher_text).collect();
        matchers.sort_unstable();
        text.push_str(&format!("{{{}}}", matchers.join(",")));
    }
    let mode = selector.mode.map(|mode| format!(" {}", mode.as_str())).unwrap_or_default();
    let (at, offset) = (at_text(selector.at), offset_text(selector.offset.as_ref()));
    match range {
        Some(range) => text.push_str(&format!("[{range}]{mode}{at}{offset}")),
        None => text.push_str(&format!("{at}{mode}{offset}")),
    }
    text
}

fn matcher_text(matcher: &model::Matcher) -> String {
    let name =
        if is_legacy_label_name(&matcher.name) { matcher.name.to_string() } else { quote(&matcher.name) };
    format!("{name}{}{}", matcher.op.as_str(), quote(&matcher.value))
}

/// Returns what stands after a subquery's expression.
fn subquery_text(subquery: &Subquery) -> String {
    let step = subquery.step.as_ref().map(ToString::to_string).unwrap_or_default();
    let (at, offset) = (at_text(subquery.at), offset_text(subquery.offset.as_ref()));
    format!("[{}:{step}]{at}{offset}", subquery.range)
}
