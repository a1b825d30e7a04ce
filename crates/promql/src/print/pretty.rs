//! The prettifier: a tree as PromQL on several lines, split where one line would be too long (Prometheus `prettier.go`).
//!
//! A node whose one-line text is longer than [`COLUMNS_MAX`] is split, its parts one level deeper; any other node is
//! printed as that text. All lengths are known first, from the leaves up. The result is bounded: indentation grows with the
//! square of the depth.

use super::{Work, aggregator_text, left_side, operator_text, print_node, subquery_text};
use crate::ast::{Expr, NodeId, NodeKind, UnaryOp};

/// The longest text that stays on one line, in bytes.
const COLUMNS_MAX: usize = 100;
/// What one level is indented by.
const INDENT: &str = "  ";
/// The longest result, in bytes.
const RESULT_BYTES_MAX: usize = 16 << 20;

/// What is still to be printed.
enum Step {
    Text(String),
    Literal(&'static str),
    Indent(usize),
    /// A node on one line.
    Line(NodeId),
    /// A node that is split when it is long, at a level.
    Node(NodeId, usize, Lead),
}

/// Whether a node begins with its indentation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lead {
    Indented,
    /// It stands behind something.
    Bare,
}

impl Expr {
    /// Returns the query as Prometheus formats it; `None` when that were longer than 16 MiB.
    pub fn prettify(&self) -> Option<String> {
        let lengths = lengths(self);
        let (mut text, mut parts) = (String::new(), Vec::new());
        let mut stack = vec![Step::Node(self.root(), 0, Lead::Indented)];
        while let Some(step) = stack.pop() {
            match step {
                Step::Text(part) => text.push_str(&part),
                Step::Literal(part) => text.push_str(part),
                Step::Indent(level) => (0..level).for_each(|_| text.push_str(INDENT)),
                Step::Line(id) => {
                    let mut line = Vec::new();
                    print_node(&self.node(id).kind, self, &mut line);
                    stack.extend(line.into_iter().rev().map(on_one_line));
                }
                Step::Node(id, level, lead) => {
                    split(self, id, level, lead, lengths[id.index()] > COLUMNS_MAX, &mut parts);
                    stack.extend(parts.drain(..).rev());
                }
            }
            if text.len() > RESULT_BYTES_MAX {
                return None;
            }
        }
        Some(text)
    }
}

fn on_one_line(work: Work) -> Step {
    match work {
        Work::Text(text) => Step::Text(text),
        Work::Literal(text) => Step::Literal(text),
        Work::Node(id) => Step::Line(id),
    }
}

/// Returns how long each node's text is on one line.
fn lengths(expr: &Expr) -> Vec<usize> {
    let mut lengths: Vec<usize> = Vec::with_capacity(expr.nodes.len());
    let mut parts = Vec::new();
    for (_, node) in expr.nodes() {
        print_node(&node.kind, expr, &mut parts);
        let length = |part: Work| match part {
            Work::Text(text) => text.len(),
            Work::Literal(text) => text.len(),
            Work::Node(id) => lengths[id.index()],
        };
        let whole = parts.drain(..).map(length).sum();
        lengths.push(whole);
    }
    lengths
}

/// Appends the parts of a node, in order.
fn split(expr: &Expr, id: NodeId, level: usize, lead: Lead, is_long: bool, parts: &mut Vec<Step>) {
    let kind = &expr.node(id).kind;
    let inner = |child: NodeId| Step::Node(child, level + 1, Lead::Indented);
    // Binary operators and subqueries begin with another node, which has the indentation.
    let begins_itself = match kind {
        NodeKind::Binary(_) => !is_long,
        NodeKind::Subquery(_) => false,
        _ => true,
    };
    if begins_itself && lead == Lead::Indented {
        parts.push(Step::Indent(level));
    }
    match kind {
        NodeKind::Unary(op, child) => {
            let sign = if *op == UnaryOp::Minus { "-" } else { "+" };
            parts.extend([Step::Literal(sign), Step::Node(*child, level, Lead::Bare)]);
        }
        NodeKind::Paren(child) if is_long => {
            parts.extend([Step::Literal("(\n"), inner(*child), Step::Literal("\n")]);
            parts.extend([Step::Indent(level), Step::Literal(")")]);
        }
        NodeKind::Binary(binary) if is_long => {
            match left_side(binary, expr) {
                Work::Node(lhs) => parts.push(Step::Node(lhs, level + 1, lead)),
                text => {
                    let indent = if lead == Lead::Indented { level + 1 } else { 0 };
                    parts.extend([Step::Indent(indent), on_one_line(text)]);
                }
            }
            let op = Step::Text(operator_text(binary));
            parts.extend([Step::Literal("\n"), Step::Indent(level), op, Step::Literal("\n")]);
            parts.push(inner(binary.rhs));
        }
        NodeKind::Aggregate(aggregate) if is_long => {
            parts.extend([Step::Text(aggregator_text(aggregate)), Step::Literal("(\n")]);
            if let Some(param) = aggregate.param {
                parts.extend([inner(param), Step::Literal(",\n")]);
            }
            parts.extend([
                inner(aggregate.expr),
                Step::Literal("\n"),
                Step::Indent(level),
                Step::Literal(")"),
            ]);
        }
        NodeKind::Call(function, args) if is_long => {
            parts.extend([Step::Literal(function.name), Step::Literal("(\n")]);
            for (index, arg) in args.iter().enumerate() {
                if index > 0 {
                    parts.push(Step::Literal(",\n"));
                }
                parts.push(inner(*arg));
            }
            parts.extend([Step::Literal("\n"), Step::Indent(level), Step::Literal(")")]);
        }
        NodeKind::Subquery(subquery) if is_long => {
            parts.push(Step::Node(subquery.expr, level, lead));
            parts.push(Step::Text(subquery_text(subquery)));
        }
        _ => parts.push(Step::Line(id)),
    }
}
