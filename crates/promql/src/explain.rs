//! The plan of a query in words and numbers: what is evaluated, on which steps, by whom, from which series; and, when the
//! query was run, what each part took. What others evaluated stands in [`crate::PushReport`].
//!
//! The tree is a list, leaves first, whose entries name their children by index: queries may be deeper than JSON readers
//! like to go.

use crate::ast::{Expr, NodeId, NodeKind, UnaryOp};
use crate::exec::{Measures, NodeStats};
use crate::plan::{Plan, invariant};

/// How a query is or was evaluated.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explanation {
    /// The nodes, children before their parents; the root is the last.
    pub nodes: Vec<ExplainedNode>,
    /// What is asked of the storage, equal needs once.
    pub selects: Vec<ExplainedSelect>,
}

/// Who evaluates a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvaluatedBy {
    /// The engine, as a step of its own.
    Engine,
    /// Its parent, series by series.
    Parent,
    /// Those who hold the samples; the engine merges.
    Storage,
    /// Those who hold the samples, as a part of a node above.
    StorageWithin,
}

/// One node of the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainedNode {
    /// What kind of node it is.
    pub kind: &'static str,
    /// Its operator or function; empty where the kind says all.
    pub name: String,
    /// Where it stands in the query: first byte, and the byte after the last.
    pub span: (usize, usize),
    /// Its operands, by index.
    pub children: Vec<usize>,
    /// The first step, ms.
    pub start_ms: i64,
    /// The distance of steps, ms; 0 when there is one.
    pub step_ms: i64,
    /// How many steps.
    pub steps: usize,
    /// Whether its value is the same at all steps, and so evaluated once.
    pub is_step_invariant: bool,
    /// Who evaluates it.
    pub by: EvaluatedBy,
    /// For selectors and calls of `info`: which of the selects has what it reads.
    pub select: Option<usize>,
    /// What its evaluation took, when it was a step of its own in a query that was run.
    pub stats: Option<NodeStats>,
}

/// One select.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainedSelect {
    /// The matchers, as a selector.
    pub selector: String,
    /// First ms needed.
    pub start_ms: i64,
    /// Last ms needed.
    pub end_ms: i64,
    /// The nodes that use it, by index.
    pub nodes: Vec<usize>,
    /// How many series it yielded, when it was run here.
    pub series: Option<u64>,
}

impl Explanation {
    /// Explains a plan that was not run.
    pub(crate) fn of(expr: &Expr, plan: &Plan) -> Self {
        let invariant = invariant(expr);
        let node = |(id, _): (NodeId, _)| explained(expr, plan, id, invariant[id.index()]);
        let nodes: Vec<ExplainedNode> = expr.nodes().map(node).collect();
        let select = |request: &storage::SelectRequest| {
            let matchers: Vec<String> = request.matchers.iter().map(ToString::to_string).collect();
            ExplainedSelect {
                selector: format!("{{{}}}", matchers.join(",")),
                start_ms: request.range.start.0,
                end_ms: request.range.end.0,
                nodes: Vec::new(),
                series: None,
            }
        };
        let mut selects: Vec<ExplainedSelect> = plan.selects.iter().map(select).collect();
        for (id, node) in nodes.iter().enumerate() {
            if let Some(select) = node.select.and_then(|select| selects.get_mut(select)) {
                select.nodes.push(id);
            }
        }
        Self { nodes, selects }
    }

    /// Adds what a run took. `rest` is the part of the plan that was run here, `series` what its selects yielded.
    pub(crate) fn with_run(
        mut self,
        rest: &Plan,
        merged: &[NodeId],
        series: &[u64],
        measures: &Measures,
    ) -> Self {
        for (index, node) in self.nodes.iter_mut().enumerate() {
            node.stats = measures.nodes.get(index).copied().flatten();
            if merged.iter().any(|merged| merged.index() == index) {
                node.by = EvaluatedBy::Storage;
            } else if !rest.wanted[index] {
                node.by = EvaluatedBy::StorageWithin;
            } else if let Some(select) = node.select {
                // What is run here may be fewer selects, with numbers of their own.
                self.selects[select].series = series.get(rest.select_of[index]).copied();
            }
        }
        self
    }
}

fn explained(expr: &Expr, plan: &Plan, id: NodeId, is_step_invariant: bool) -> ExplainedNode {
    let node = expr.node(id);
    let (kind, name) = match &node.kind {
        NodeKind::Number(_) | NodeKind::Duration(_) => ("number", String::new()),
        NodeKind::String(_) => ("string", String::new()),
        NodeKind::Paren(_) => ("parentheses", String::new()),
        NodeKind::Unary(op, _) => ("unary operator", if *op == UnaryOp::Plus { "+" } else { "-" }.to_owned()),
        NodeKind::Binary(binary) => ("binary operator", binary.op.to_string()),
        NodeKind::Aggregate(aggregate) => ("aggregation", aggregate.op.to_string()),
        NodeKind::Call(function, _) => ("function", function.name.to_owned()),
        NodeKind::Selector(_) => ("selector", String::new()),
        NodeKind::Range(..) => ("range selector", String::new()),
        NodeKind::Subquery(_) => ("subquery", String::new()),
    };
    let mut children = Vec::new();
    node.for_each_child(|child| children.push(child.index()));
    let grid = plan.grids[id.index()];
    let select = plan.select_of[id.index()];
    ExplainedNode {
        kind,
        name,
        span: (node.span.start as usize, node.span.end as usize),
        children,
        start_ms: grid.start_ms,
        step_ms: grid.step_ms,
        steps: grid.steps,
        is_step_invariant,
        by: if plan.inlined[id.index()] { EvaluatedBy::Parent } else { EvaluatedBy::Engine },
        select: (select < plan.selects.len()).then_some(select),
        stats: None,
    }
}
