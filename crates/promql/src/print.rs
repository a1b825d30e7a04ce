//! The printer: a tree as one line of PromQL that parses to the same tree.
//!
//! Iterative, with a stack of what is still to print, so depth does not matter.

use std::fmt;

use model::labels::{METRIC_NAME, is_legacy_label_name, quote};

use crate::ast::{
    Aggregate, AtModifier, Binary, BinaryOp, Cardinality, DurationSpec, Expr, NodeId, NodeKind, Subquery,
    UnaryOp, VectorSelector,
};
use crate::parser::text::quote_bytes;

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
        NodeKind::String(bytes) => parts.push(Work::Text(quote_bytes(bytes))),
        NodeKind::Paren(child) => {
            parts.extend([Work::Literal("("), Work::Node(*child), Work::Literal(")")]);
        }
        NodeKind::Unary(op, child) => {
            let sign = if *op == UnaryOp::Minus { "-" } else { "+" };
            parts.extend([Work::Literal(sign), Work::Node(*child)]);
        }
        NodeKind::Binary(binary) => print_binary(binary, expr, parts),
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
        NodeKind::Subquery(subquery) => print_subquery(subquery, parts),
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

fn print_binary(binary: &Binary, expr: &Expr, parts: &mut Vec<Work>) {
    let mut op = format!(" {}", binary.op);
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
    if let Some(value) = matching.fill_left {
        op.push_str(&format!(" fill_left ({})", format_number(value)));
    }
    if let Some(value) = matching.fill_right {
        op.push_str(&format!(" fill_right ({})", format_number(value)));
    }
    op.push(' ');
    let lhs = match expr.node(binary.lhs).kind {
        // Its plus sign would take the whole power.
        NodeKind::Number(f64::INFINITY) if binary.op == BinaryOp::Pow => Work::Literal("Inf"),
        _ => Work::Node(binary.lhs),
    };
    parts.extend([lhs, Work::Text(op), Work::Node(binary.rhs)]);
}

fn print_aggregate(aggregate: &Aggregate, parts: &mut Vec<Work>) {
    parts.push(Work::Literal(aggregate.op.as_str()));
    let labels = label_list(&aggregate.grouping);
    if aggregate.without {
        parts.push(Work::Text(format!(" without ({labels}) ")));
    } else if !labels.is_empty() {
        parts.push(Work::Text(format!(" by ({labels}) ")));
    }
    parts.push(Work::Literal("("));
    if let Some(param) = aggregate.param {
        parts.extend([Work::Node(param), Work::Literal(", ")]);
    }
    parts.extend([Work::Node(aggregate.expr), Work::Literal(")")]);
}

fn modifiers(offset: Option<&DurationSpec>, at: Option<AtModifier>) -> String {
    let mut text = match at {
        Some(AtModifier::Time(ms)) => {
            let sign = if ms < 0 { "-" } else { "" };
            let ms = ms.unsigned_abs();
            format!(" @ {sign}{}.{:03}", ms / 1000, ms % 1000)
        }
        Some(AtModifier::Start) => " @ start()".to_owned(),
        Some(AtModifier::End) => " @ end()".to_owned(),
        None => String::new(),
    };
    if let Some(offset) = offset {
        text.push_str(&format!(" offset {offset}"));
    }
    text
}

fn selector_text(selector: &VectorSelector, range: Option<&DurationSpec>) -> String {
    let mut text = selector.name.as_deref().unwrap_or("").to_owned();
    let inside = &selector.matchers[usize::from(selector.name.is_some())..];
    if !inside.is_empty() || selector.name.is_none() {
        let matchers: Vec<String> = inside.iter().map(matcher_text).collect();
        text.push_str(&format!("{{{}}}", matchers.join(",")));
    }
    if let Some(range) = range {
        text.push_str(&format!("[{range}]"));
    }
    if let Some(mode) = selector.mode {
        text.push_str(&format!(" {}", mode.as_str()));
    }
    text.push_str(&modifiers(selector.offset.as_ref(), selector.at));
    text
}

fn matcher_text(matcher: &model::Matcher) -> String {
    let is_name = &*matcher.name == METRIC_NAME;
    if is_name && matcher.op == model::MatchOp::Equal && !model::labels::is_legacy_metric_name(&matcher.value)
    {
        return quote(&matcher.value);
    }
    let name =
        if is_legacy_label_name(&matcher.name) { matcher.name.to_string() } else { quote(&matcher.name) };
    format!("{name}{}{}", matcher.op.as_str(), quote(&matcher.value))
}

fn print_subquery(subquery: &Subquery, parts: &mut Vec<Work>) {
    let step = subquery.step.as_ref().map(ToString::to_string).unwrap_or_default();
    let tail = format!("[{}:{step}]{}", subquery.range, modifiers(subquery.offset.as_ref(), subquery.at));
    parts.extend([Work::Node(subquery.expr), Work::Text(tail)]);
}
