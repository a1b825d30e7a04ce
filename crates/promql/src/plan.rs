//! The plan: on which grid of steps each node is evaluated, and which samples each selector needs.
//!
//! All of it is known before any data is: a subquery's grid follows from its parent's, and what does not depend on time
//! (`@` below, nothing time-dependent above) has a grid of one step, whose result the parent repeats. Grids go from the
//! root down, evaluation from the leaves up; both are loops over the arena.

mod counts;
pub(crate) mod info;
mod modifier;
mod slots;

use std::collections::{HashMap, HashSet};

use model::{Matcher, TimeRange};
use storage::{Coarse, SelectRequest, Wanted};

use crate::ast::{AtModifier, DurationSpec, Expr, Node, NodeId, NodeKind, RangeMode, Subquery};
use crate::engine::EngineConfig;
use crate::error::QueryError;
use crate::function::FunctionKind;

/// The most steps of a subquery.
const SUBQUERY_STEPS_MAX: i64 = 10_000_000;

/// Times at which something is evaluated: `start, start + step, ...`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) start_ms: i64,
    /// 0 only when there is one step.
    pub(crate) step_ms: i64,
    pub(crate) steps: usize,
}

impl Grid {
    pub(crate) fn time(&self, step: usize) -> i64 {
        self.start_ms.saturating_add(self.step_ms.saturating_mul(step as i64))
    }

    pub(crate) fn end_ms(&self) -> i64 {
        self.time(self.steps.saturating_sub(1))
    }
}

/// A node to be evaluated at a stretch of its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) node: NodeId,
    /// The first step, counted from that of the node's grid in the whole query.
    pub(crate) first: usize,
    pub(crate) steps: usize,
}

/// How the time of a selector or subquery follows from the time of a step.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reference {
    pub(crate) at_ms: Option<i64>,
    pub(crate) offset_ms: i64,
    /// How far back: the lookback, or the range.
    pub(crate) range_ms: i64,
    /// How the borders are read.
    pub(crate) mode: Option<RangeMode>,
    /// How far before the window a sample may stand in for its start; the window is open there, too.
    pub(crate) before_ms: i64,
    /// How far after the window a sample may stand in for its end.
    pub(crate) after_ms: i64,
    /// What of the samples stands for slots; known when they are selected.
    pub(crate) coarse: Option<Coarse>,
}

impl Reference {
    /// Returns the end of what is looked at from a step; the window is open at `end - range_ms` and closed here.
    pub(crate) fn window_end(&self, time_ms: i64) -> i64 {
        self.at_ms.unwrap_or(time_ms).saturating_sub(self.offset_ms)
    }

    /// Returns how far back from a window's end an instant selector looks: as far as a slot, where there are slots.
    pub(crate) fn lookback_ms(&self, end_ms: i64) -> i64 {
        match self.coarse {
            Some(Coarse { resolution_ms, until_ms }) if end_ms.saturating_sub(self.range_ms) < until_ms => {
                self.range_ms.max(resolution_ms)
            }
            _ => self.range_ms,
        }
    }

    /// Returns all times that the windows of a grid cover, closed.
    fn covered(&self, grid: &Grid) -> TimeRange {
        let start = self.window_end(grid.start_ms).saturating_sub(self.range_ms);
        let end = self.window_end(grid.end_ms());
        TimeRange::new(
            start.saturating_sub(self.before_ms).saturating_add(1),
            end.saturating_add(self.after_ms),
        )
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// By node.
    pub(crate) grids: Vec<Grid>,
    /// By node; only selectors, ranges and subqueries have a meaning.
    pub(crate) references: Vec<Reference>,
    /// By node: what the parent evaluates itself.
    pub(crate) inlined: Vec<bool>,
    /// By node: whether a selector needs counts and sums of histograms only.
    pub(crate) counts_only: Vec<bool>,
    /// By node: which of `selects` holds a selector's series.
    pub(crate) select_of: Vec<usize>,
    pub(crate) selects: Vec<SelectRequest>,
    /// By node: whether it is evaluated here.
    pub(crate) wanted: Vec<bool>,
    /// The whole query's grid.
    pub(crate) query: Grid,
    /// The end that was asked for; the last step may lie before it.
    pub(crate) query_end_ms: i64,
    /// How far back instant selectors look.
    pub(crate) lookback_ms: i64,
    /// By node: what selectors ask of slots.
    pub(crate) asks: Vec<slots::Ask>,
    /// How coarse samples may be, when the query says so itself.
    pub(crate) resolution_max_ms: Option<i64>,
}

impl Plan {
    pub(crate) fn new(
        expr: &Expr,
        query: Grid,
        query_end_ms: i64,
        (lookback_ms, resolution_max_ms): (i64, Option<i64>),
        config: &EngineConfig,
    ) -> Result<Self, QueryError> {
        let count = expr.nodes.len();
        let mut plan = Self {
            grids: vec![query; count],
            references: vec![Reference::default(); count],
            inlined: inlined(expr),
            counts_only: counts::mark(expr),
            select_of: vec![usize::MAX; count],
            selects: Vec::new(),
            wanted: vec![true; count],
            query,
            query_end_ms,
            lookback_ms,
            asks: slots::asks(expr),
            resolution_max_ms,
        };
        let invariant = invariant(expr);
        for (id, node) in expr.nodes().rev() {
            modifier::check(expr, node)?;
            plan.reference(expr, id, node, lookback_ms)?;
            plan.give_grids(expr, id, node, &invariant, config)?;
        }
        let infos = info::Calls::find(expr);
        infos.data_selectors.iter().for_each(|id| plan.inlined[id.index()] = true);
        for (id, args) in &infos.calls {
            plan.references[id.index()] = infos.reference(expr, args[0], &plan.references, lookback_ms);
        }
        plan.select_wanted(expr);
        Ok(plan)
    }

    /// Returns the plan of some nodes alone, each at a stretch of its steps, and of what lies under them.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub(crate) fn part(
        &self,
        expr: &Expr,
        tasks: &[Task],
        config: &EngineConfig,
    ) -> Result<Self, QueryError> {
        let count = expr.nodes.len();
        let mut part = Self {
            grids: self.grids.clone(),
            references: self.references.clone(),
            inlined: self.inlined.clone(),
            counts_only: self.counts_only.clone(),
            select_of: vec![usize::MAX; count],
            selects: Vec::new(),
            wanted: vec![false; count],
            query: self.query,
            query_end_ms: self.query_end_ms,
            lookback_ms: self.lookback_ms,
            asks: self.asks.clone(),
            resolution_max_ms: self.resolution_max_ms,
        };
        for task in tasks {
            let grid = &mut part.grids[task.node.index()];
            *grid = Grid { start_ms: grid.time(task.first), steps: task.steps, ..*grid };
            part.wanted[task.node.index()] = true;
        }
        let invariant = invariant(expr);
        for (id, node) in expr.nodes().rev() {
            if part.wanted[id.index()] {
                node.for_each_child(|child| part.wanted[child.index()] = true);
                part.give_grids(expr, id, node, &invariant, config)?;
            }
        }
        part.select_wanted(expr);
        Ok(part)
    }

    /// Leaves out nodes that others evaluate, with what lies under them.
    pub(crate) fn leave_out(&mut self, expr: &Expr, nodes: &[NodeId]) {
        let mut under = vec![false; expr.nodes.len()];
        nodes.iter().for_each(|node| under[node.index()] = true);
        for (id, node) in expr.nodes().rev() {
            if !under[id.index()] {
                continue;
            }
            node.for_each_child(|child| under[child.index()] = true);
            self.wanted[id.index()] = false;
            if let NodeKind::Aggregate(aggregate) = &node.kind
                && nodes.contains(&id)
            {
                // A ranking is repeated over what the others kept, and needs its parameter.
                aggregate.param.iter().for_each(|param| under[param.index()] = false);
            }
        }
        self.select_wanted(expr);
    }

    /// Notes what the wanted selectors need; equal needs are one.
    fn select_wanted(&mut self, expr: &Expr) {
        self.selects.clear();
        let infos = info::Calls::find(expr);
        let ranged: HashSet<NodeId> = expr
            .nodes()
            .filter_map(
                |(_, node)| if let NodeKind::Range(selector, _) = node.kind { Some(selector) } else { None },
            )
            .collect();
        let mut known = HashMap::new();
        for (id, node) in expr.nodes() {
            match &node.kind {
                NodeKind::Selector(selector)
                    if self.wanted[id.index()] && !infos.data_selectors.contains(&id) =>
                {
                    let one_sample =
                        !ranged.contains(&id) && selector.mode.is_none() && self.grids[id.index()].steps == 1;
                    let wanted = if one_sample { Wanted::Newest } else { Wanted::All };
                    self.select(expr, id, selector.matchers.clone(), wanted, &mut known);
                }
                _ => {}
            }
        }
        for (id, args) in &infos.calls {
            if self.wanted[id.index()] {
                self.select(expr, *id, info::matchers(expr, args), Wanted::All, &mut known);
            }
        }
    }

    fn resolve(&self, duration: &DurationSpec) -> Result<i64, QueryError> {
        let range_ms = self.query_end_ms.saturating_sub(self.query.start_ms);
        duration.resolve(self.query.step_ms, range_ms).map_err(|error| QueryError::Invalid(error.to_string()))
    }

    fn resolve_positive(&self, duration: &DurationSpec) -> Result<i64, QueryError> {
        match self.resolve(duration)? {
            ms if ms > 0 => Ok(ms),
            _ => Err(QueryError::Invalid(crate::ast::DurationError::NotPositive.to_string())),
        }
    }

    fn at(&self, at: Option<AtModifier>) -> Option<i64> {
        at.map(|at| match at {
            AtModifier::Time(ms) => ms,
            AtModifier::Start => self.query.start_ms,
            AtModifier::End => self.query_end_ms,
        })
    }

    fn reference(
        &mut self,
        expr: &Expr,
        id: NodeId,
        node: &Node,
        lookback_ms: i64,
    ) -> Result<(), QueryError> {
        let (selector, range_ms) = match &node.kind {
            // A selector under a range was given the range's window before, since parents come first here.
            NodeKind::Selector(_) if self.references[id.index()].range_ms > 0 => return Ok(()),
            NodeKind::Selector(_) => (id, lookback_ms),
            NodeKind::Range(selector, range) => (*selector, self.resolve_positive(range)?),
            NodeKind::Subquery(subquery) => {
                let offset_ms = subquery.offset.as_ref().map_or(Ok(0), |offset| self.resolve(offset))?;
                let range_ms = self.resolve_positive(&subquery.range)?;
                let at_ms = self.at(subquery.at);
                self.references[id.index()] =
                    Reference { at_ms, offset_ms, range_ms, ..Reference::default() };
                return Ok(());
            }
            _ => return Ok(()),
        };
        let NodeKind::Selector(inner) = &expr.node(selector).kind else {
            unreachable!("a range stands on a selector");
        };
        let offset_ms = inner.offset.as_ref().map_or(Ok(0), |offset| self.resolve(offset))?;
        let is_range = selector != id;
        let (before_ms, after_ms) = match inner.mode {
            Some(_) if is_range => {
                (lookback_ms, if inner.mode == Some(RangeMode::Smoothed) { lookback_ms } else { 0 })
            }
            Some(RangeMode::Smoothed) => (0, lookback_ms),
            _ => (0, 0),
        };
        let at_ms = self.at(inner.at);
        let reference =
            Reference { at_ms, offset_ms, range_ms, mode: inner.mode, before_ms, after_ms, coarse: None };
        self.references[id.index()] = reference;
        self.references[selector.index()] = reference;
        Ok(())
    }

    fn give_grids(
        &mut self,
        expr: &Expr,
        id: NodeId,
        node: &Node,
        invariant: &[bool],
        config: &EngineConfig,
    ) -> Result<(), QueryError> {
        let grid = self.grids[id.index()];
        if let NodeKind::Subquery(subquery) = &node.kind {
            let mut inner = self.subquery_grid(subquery, &self.references[id.index()], &grid, config)?;
            if invariant[subquery.expr.index()] {
                // One evaluation, repeated at each step of the subquery.
                inner.steps = inner.steps.min(1);
            }
            self.grids[subquery.expr.index()] = inner;
            return Ok(());
        }
        let once = Grid { steps: 1, ..grid };
        node.for_each_child(|child| {
            let inner = &expr.node(expr.unwrap_parens(child)).kind;
            let is_range = matches!(inner, NodeKind::Range(..) | NodeKind::Subquery(_));
            let shrinks = invariant[child.index()] && !is_range;
            self.grids[child.index()] = if shrinks { once } else { grid };
        });
        Ok(())
    }

    /// Returns all steps of a subquery that any window of its parent's steps looks at.
    pub(crate) fn subquery_grid(
        &self,
        subquery: &Subquery,
        reference: &Reference,
        parent: &Grid,
        config: &EngineConfig,
    ) -> Result<Grid, QueryError> {
        let step_ms = match &subquery.step {
            Some(step) => self.resolve_positive(step)?,
            None => config.subquery_step_ms,
        };
        let open = reference.window_end(parent.start_ms).saturating_sub(reference.range_ms);
        let end = reference.window_end(parent.end_ms());
        // The first multiple of the step after the open end.
        let start_ms = open.div_euclid(step_ms).saturating_add(1).saturating_mul(step_ms);
        if start_ms > end {
            return Ok(Grid { start_ms, step_ms, steps: 0 });
        }
        let steps = end.saturating_sub(start_ms) / step_ms + 1;
        if steps > SUBQUERY_STEPS_MAX {
            let text = "query processing would load too many samples into memory in query execution: a subquery may have";
            return Err(QueryError::Execution(format!("{text} {SUBQUERY_STEPS_MAX} steps at most")));
        }
        Ok(Grid { start_ms, step_ms, steps: steps as usize })
    }

    /// Notes what a selector, or a call of `info`, needs; equal needs are one.
    fn select(
        &mut self,
        expr: &Expr,
        id: NodeId,
        matchers: Vec<Matcher>,
        wanted: Wanted,
        known: &mut HashMap<String, usize>,
    ) {
        let range = self.references[id.index()].covered(&self.grids[id.index()]);
        let (aggregate, resolution) = (self.asks[id.index()].aggregate, self.resolution_of(expr, id));
        let key = format!("{range:?}{wanted:?}{aggregate:?}{resolution:?}{matchers:?}");
        self.select_of[id.index()] = *known.entry(key).or_insert_with(|| {
            self.selects.push(SelectRequest {
                matchers,
                range,
                wanted,
                aggregate,
                resolution,
                series_limit: None,
            });
            self.selects.len() - 1
        });
    }
}

/// Marks the nodes that their parent evaluates itself: selectors under a range and directly under `timestamp`, and under
/// aggregations that fold, selectors and functions of range selectors.
fn inlined(expr: &Expr) -> Vec<bool> {
    let mut inlined = vec![false; expr.nodes.len()];
    for (_, node) in expr.nodes() {
        match &node.kind {
            NodeKind::Range(selector, _) => inlined[selector.index()] = true,
            NodeKind::Call(function, args)
                if matches!(function.kind, FunctionKind::Timestamp | FunctionKind::StartTimestamp) =>
            {
                let inner = expr.unwrap_parens(args[0]);
                inlined[inner.index()] = matches!(expr.node(inner).kind, NodeKind::Selector(_));
            }
            NodeKind::Aggregate(aggregate) if aggregate.op.folds() => {
                let inner = expr.unwrap_parens(aggregate.expr);
                inlined[inner.index()] |= streams(expr, inner);
            }
            _ => {}
        }
    }
    inlined
}

/// Tells whether a node reads samples of a selector and nothing else, one series at a time.
fn streams(expr: &Expr, id: NodeId) -> bool {
    match &expr.node(id).kind {
        NodeKind::Selector(_) => true,
        NodeKind::Call(function, args) if function.kind != FunctionKind::AbsentOverTime => {
            let is_range =
                |arg: &NodeId| matches!(expr.node(expr.unwrap_parens(*arg)).kind, NodeKind::Range(..));
            args.iter().any(is_range)
        }
        _ => false,
    }
}

/// Marks the nodes whose value is the same at every step.
pub(crate) fn invariant(expr: &Expr) -> Vec<bool> {
    let mut invariant: Vec<bool> = Vec::with_capacity(expr.nodes.len());
    for (_, node) in expr.nodes() {
        let fixed = match &node.kind {
            NodeKind::Number(_) | NodeKind::Duration(_) | NodeKind::String(_) => true,
            NodeKind::Selector(selector) => selector.at.is_some(),
            NodeKind::Subquery(subquery) => subquery.at.is_some(),
            NodeKind::Call(function, args) => {
                !depends_on_time(function.kind) && args.iter().all(|arg| invariant[arg.index()])
            }
            _ => {
                let mut all = true;
                node.for_each_child(|child| all &= invariant[child.index()]);
                all
            }
        };
        invariant.push(fixed);
    }
    invariant
}

fn depends_on_time(kind: FunctionKind) -> bool {
    use FunctionKind as K;
    matches!(
        kind,
        K::DaysInMonth
            | K::DayOfMonth
            | K::DayOfWeek
            | K::DayOfYear
            | K::Hour
            | K::Info
            | K::Minute
            | K::Month
            | K::Year
            | K::PredictLinear
            | K::Time
            | K::Timestamp
    )
}
