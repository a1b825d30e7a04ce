//! Which selectors are asked for no more of native histograms than counts and sums: those below `histogram_count`,
//! `histogram_sum` or `histogram_avg` that nothing on the way needs the buckets of.

use crate::ast::{Expr, NodeKind};
use crate::function::FunctionKind as K;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Whole histograms, unless something below asks for less.
    Open,
    /// Counts and sums, unless something below needs more.
    Counts,
    /// Buckets, whatever stands below.
    Buckets,
}

/// Marks these selectors, by node.
pub(super) fn mark(expr: &Expr) -> Vec<bool> {
    let mut needs = vec![Need::Open; expr.nodes.len()];
    // Parents come before their children here.
    for (id, node) in expr.nodes().rev() {
        let own = needs[id.index()];
        let below = match &node.kind {
            // A subquery forgets what is known of resets, and finds them again by the buckets.
            NodeKind::Subquery(_) => Need::Buckets,
            NodeKind::Binary(binary) if binary.op.is_trim() => Need::Buckets,
            NodeKind::Call(function, _) => match function.kind {
                K::HistogramQuantile | K::HistogramQuantiles | K::HistogramFraction => Need::Buckets,
                K::HistogramCount | K::HistogramSum | K::HistogramAvg if own == Need::Open => Need::Counts,
                _ => own,
            },
            _ => own,
        };
        node.for_each_child(|child| needs[child.index()] = below);
    }
    needs.into_iter().map(|need| need == Need::Counts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(query: &str) -> usize {
        let expr = crate::parser::parse_with(query, crate::ParserOptions::everything()).expect("a query");
        let marks = mark(&expr);
        let selectors = expr.nodes().filter(|(_, node)| matches!(node.kind, NodeKind::Selector(_)));
        selectors.filter(|(id, _)| marks[id.index()]).count()
    }

    #[test]
    fn buckets_are_read_when_anything_needs_them() {
        assert_eq!(marked("h"), 0);
        assert_eq!(marked("histogram_count(sum(rate(h[5m])))"), 1);
        assert_eq!(marked("histogram_avg(h) + histogram_sum(h * 2) + h"), 2);
        assert_eq!(marked("histogram_count(histogram_sum(h))"), 1);
        assert_eq!(marked("histogram_count(rate(h[5m:1m]))"), 0);
        assert_eq!(marked("sum_over_time(histogram_count(h)[5m:1m])"), 0);
        assert_eq!(marked("histogram_count(h </ 2)"), 0);
        assert_eq!(marked("histogram_quantile(scalar(histogram_count(h)), h)"), 0);
    }
}
