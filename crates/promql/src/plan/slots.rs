//! What each selector asks of downsampled data, where that is what there is: which aggregate of a slot stands for its samples, and
//! how long slots may be for that to do as well as raw samples.
//!
//! Slots of a fifth of a step or of a window change neither by much more than the scrapes' own timing does. One query at one
//! time is about what is true then, so it prefers raw samples; so does every function that no aggregate answers exactly.

use model::Aggregate;
use storage::Resolution;

use super::Plan;
use crate::ast::{Expr, NodeId, NodeKind};
use crate::function::FunctionKind;

/// How many slots a step and a window have at least.
const SLOTS_MIN: i64 = 5;

/// What a selector asks of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) aggregate: Aggregate,
    /// Whether that answers as samples would.
    exact: bool,
}

/// Finds what selectors ask of slots, by node; nodes that are no selectors have no meaning.
pub(super) fn asks(expr: &Expr) -> Vec<Ask> {
    let mut asks = vec![Ask { aggregate: Aggregate::Last, exact: true }; expr.nodes.len()];
    for (_, node) in expr.nodes() {
        if let NodeKind::Range(selector, _) = node.kind {
            // A range that is the whole query, or a function of whatever samples there are.
            asks[selector.index()].exact = false;
        }
    }
    for (_, node) in expr.nodes() {
        let NodeKind::Call(function, args) = &node.kind else { continue };
        for arg in args {
            if let NodeKind::Range(selector, _) = expr.node(expr.unwrap_parens(*arg)).kind {
                asks[selector.index()] = ask(function.kind);
            }
        }
    }
    asks
}

fn ask(kind: FunctionKind) -> Ask {
    use FunctionKind as K;
    let (aggregate, exact) = match kind {
        K::Rate | K::Increase => (Aggregate::Counter, true),
        // The last two samples are meant, not the last two slots.
        K::Irate => (Aggregate::Counter, false),
        K::Resets => (Aggregate::Resets, true),
        K::CountOverTime | K::PresentOverTime | K::AbsentOverTime => (Aggregate::Count, true),
        K::SumOverTime => (Aggregate::Sum, true),
        K::AvgOverTime => (Aggregate::Average, true),
        K::MinOverTime => (Aggregate::Min, true),
        K::MaxOverTime => (Aggregate::Max, true),
        K::LastOverTime | K::Delta | K::Deriv | K::PredictLinear => (Aggregate::Last, true),
        _ => (Aggregate::Last, false),
    };
    Ask { aggregate, exact }
}

impl Plan {
    /// Returns how coarse the samples of a selector may be.
    pub(super) fn resolution_of(&self, expr: &Expr, id: NodeId) -> Resolution {
        if let Some(most_ms) = self.resolution_max_ms {
            return Resolution { wish_ms: most_ms, most_ms };
        }
        let is_range =
            expr.nodes().any(|(_, node)| matches!(node.kind, NodeKind::Range(inner, _) if inner == id));
        let is_selector = matches!(expr.node(id).kind, NodeKind::Selector(_));
        let window_ms = if is_range { self.references[id.index()].range_ms } else { i64::MAX };
        let step_ms = self.query.step_ms.min(self.grids[id.index()].step_ms);
        let wish_ms = step_ms.min(window_ms) / SLOTS_MIN;
        let wish_ms = if is_selector && self.asks[id.index()].exact { wish_ms } else { 0 };
        Resolution { wish_ms, ..Resolution::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineConfig;
    use crate::plan::Grid;

    const MINUTE_MS: i64 = 60_000;

    fn check(query: &str, step_minutes: i64, expected: &[(Aggregate, i64)]) {
        let config = EngineConfig::default();
        let expr = crate::parser::parse_with(query, crate::ParserOptions::everything()).expect("a query");
        let steps = if step_minutes == 0 { 1 } else { 10 };
        let grid = Grid { start_ms: 0, step_ms: step_minutes * MINUTE_MS, steps };
        let plan =
            |max_ms| Plan::new(&expr, grid, grid.end_ms(), (300_000, max_ms), &config).expect("a plan");
        let selects = plan(None).selects;
        let found: Vec<(Aggregate, i64)> =
            selects.iter().map(|one| (one.aggregate, one.resolution.wish_ms / MINUTE_MS)).collect();
        assert_eq!(found, expected, "{query}");
        assert!(selects.iter().all(|one| one.resolution.most_ms == i64::MAX));
        let forced = Resolution { wish_ms: 7, most_ms: 7 };
        assert!(plan(Some(7)).selects.iter().all(|one| one.resolution == forced));
    }

    #[test]
    fn slots_are_a_fifth_of_steps_and_windows_at_the_most() {
        use Aggregate as A;
        check("up", 0, &[(A::Last, 0)]);
        check("up", 60, &[(A::Last, 12)]);
        check("rate(up[10m])", 0, &[(A::Counter, 0)]);
        check("rate(up[10m])", 60, &[(A::Counter, 2)]);
        check("increase((up[5h]))", 60, &[(A::Counter, 12)]);
        check("max_over_time(up[5h]) / min_over_time(up[5h])", 600, &[(A::Max, 60), (A::Min, 60)]);
        check("avg_over_time(up[2h]) + sum_over_time(up[1h])", 600, &[(A::Average, 24), (A::Sum, 12)]);
        check("count_over_time(up[1h]) + resets(up[1h])", 600, &[(A::Count, 12), (A::Resets, 12)]);
        check("quantile_over_time(0.5, up[1d]) + irate(up[1d])", 600, &[(A::Last, 0), (A::Counter, 0)]);
        check("up[1d]", 0, &[(A::Last, 0)]);
        check("max_over_time(rate(up[1h])[1d:10m])", 600, &[(A::Counter, 2)]);
        check("max_over_time(rate(up[1h])[1d:10m])", 0, &[(A::Counter, 0)]);
    }
}
