//! What `info()` reads beside its operand: the info metrics, at the operand's times.
//!
//! Which info series meets which base series is known only when both are there. All that is known before are the matchers
//! on the metric and its data labels, and conditions on the identifying labels that every base series satisfies.

use std::collections::HashSet;

use model::labels::METRIC_NAME;
use model::{MatchOp, Matcher};

use super::Reference;
use crate::ast::{Expr, NodeId, NodeKind};
use crate::function::FunctionKind;

/// The labels that tie an info series to the series it tells about.
pub(crate) const IDENTIFYING: [&str; 2] = ["instance", "job"];
/// The metric that is meant when none is named.
const METRIC_DEFAULT: &str = "target_info";
/// The metrics that are meant when some are only excluded.
const METRICS_UNLESS_EXCLUDED: &str = ".+_info";

/// Returns the conditions of a call's second argument, those on the name among them.
pub(crate) fn data_matchers<'a>(expr: &'a Expr, args: &[NodeId]) -> &'a [Matcher] {
    match args.get(1).map(|arg| &expr.node(*arg).kind) {
        Some(NodeKind::Selector(selector)) => &selector.matchers,
        _ => &[],
    }
}

/// Returns the conditions on the name of the info metrics of a call.
pub(crate) fn name_matchers(expr: &Expr, args: &[NodeId]) -> Vec<Matcher> {
    let on_name = data_matchers(expr, args).iter().filter(|matcher| *matcher.name == *METRIC_NAME);
    let mut names: Vec<Matcher> = on_name.cloned().collect();
    if names.is_empty() {
        names.push(Matcher::equal(METRIC_NAME, METRIC_DEFAULT));
    } else if names.iter().all(Matcher::is_negative) {
        let default = Matcher::new(MatchOp::Regex, METRIC_NAME, METRICS_UNLESS_EXCLUDED);
        names.push(default.expect("the pattern is valid"));
    }
    names
}

/// Returns what to select for a call.
pub(super) fn matchers(expr: &Expr, args: &[NodeId]) -> Vec<Matcher> {
    let mut matchers = name_matchers(expr, args);
    let data = data_matchers(expr, args).iter().filter(|matcher| *matcher.name != *METRIC_NAME);
    matchers.extend(data.cloned());
    // What a selector asks of the identifying labels holds for the info series as well: theirs are the same.
    if let NodeKind::Selector(base) = &expr.node(expr.unwrap_parens(args[0])).kind {
        let identifying = base.matchers.iter().filter(|matcher| IDENTIFYING.contains(&&*matcher.name));
        matchers.extend(identifying.cloned());
    }
    matchers
}

/// The calls of `info` in a tree.
pub(super) struct Calls {
    /// Call and arguments.
    pub(super) calls: Vec<(NodeId, Vec<NodeId>)>,
    /// The second arguments, which select nothing by themselves.
    pub(super) data_selectors: HashSet<NodeId>,
    /// By node, when there is a call: whether there is a selector in it.
    has_selector: Vec<bool>,
}

impl Calls {
    pub(super) fn find(expr: &Expr) -> Self {
        let mut calls = Vec::new();
        for (id, node) in expr.nodes() {
            match &node.kind {
                NodeKind::Call(function, args) if function.kind == FunctionKind::Info => {
                    calls.push((id, args.clone()));
                }
                _ => {}
            }
        }
        let data_selectors = calls.iter().filter_map(|(_, args)| args.get(1).copied()).collect();
        let mut has_selector = Vec::new();
        if !calls.is_empty() {
            for (_, node) in expr.nodes() {
                let mut has = matches!(node.kind, NodeKind::Selector(_));
                node.for_each_child(|child| has |= has_selector[child.index()]);
                has_selector.push(has);
            }
        }
        Self { calls, data_selectors, has_selector }
    }

    /// Returns how the times of the info series follow from those of the call: as those of the operand's first selector
    /// do, through all subqueries around it.
    pub(super) fn reference(
        &self,
        expr: &Expr,
        operand: NodeId,
        references: &[Reference],
        lookback_ms: i64,
    ) -> Reference {
        let mut composed =
            Reference { at_ms: None, offset_ms: 0, range_ms: lookback_ms, ..Reference::default() };
        let mut next = Some(operand);
        while let Some(id) = next.take() {
            let node = expr.node(id);
            if matches!(node.kind, NodeKind::Selector(_) | NodeKind::Subquery(_)) {
                let own = references[id.index()];
                let outer_ms = if own.at_ms.is_some() { 0 } else { composed.offset_ms };
                composed.at_ms = own.at_ms.or(composed.at_ms);
                composed.offset_ms = outer_ms.saturating_add(own.offset_ms);
            }
            node.for_each_child(|child| {
                if self.has_selector[child.index()] {
                    next = next.or(Some(child));
                }
            });
        }
        composed
    }
}
