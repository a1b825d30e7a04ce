//! Sorting: the order of an instant query's result.

use std::cmp::Ordering;

use super::{Context, Data, Vector};
use crate::ast::{NodeId, Span};
use crate::error::QueryError;
use crate::function::FunctionKind as K;
use crate::plan::Grid;

impl Context<'_> {
    pub(super) fn sort(
        &self,
        kind: K,
        args: &[NodeId],
        grid: Grid,
        span: Span,
        results: &mut [Option<Data>],
    ) -> Result<Vector, QueryError> {
        let mut vector = self.take_vector(args[0], grid, results);
        if matches!(kind, K::Sort | K::SortDesc) {
            vector.remove_histograms();
        }
        let mut labels = Vec::new();
        for arg in &args[1..] {
            labels.push(String::from_utf8_lossy(&self.take_text(*arg, results)).into_owned());
        }
        if self.plan.query.step_ms != 0 {
            let hint = "sort is ineffective for range queries since results are always ordered by labels";
            self.warn(span, hint);
            return Ok(vector);
        }
        if grid.steps != 1 {
            return Ok(vector);
        }
        let mut order: Vec<usize> = (0..vector.series.len()).collect();
        let by_label = |a: &usize, b: &usize| {
            let (a, b) = (&vector.series[*a].labels, &vector.series[*b].labels);
            let by_chosen = labels.iter().map(|name| natural(a.get(name), b.get(name)));
            by_chosen.fold(Ordering::Equal, Ordering::then).then_with(|| a.cmp(b))
        };
        match kind {
            K::Sort => order.sort_by(|a, b| nan_last(vector.values[*a], vector.values[*b])),
            K::SortDesc => order.sort_by(|a, b| {
                let (a, b) = (vector.values[*a], vector.values[*b]);
                if a.is_nan() || b.is_nan() { nan_last(a, b) } else { nan_last(b, a) }
            }),
            K::SortByLabel => order.sort_by(by_label),
            _ => order.sort_by(|a, b| by_label(b, a)),
        }
        vector.choose(&order);
        Ok(vector)
    }
}

/// Orders floats with NaN above everything.
pub(in super::super) fn nan_last(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// Orders texts with runs of digits compared as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        if a.is_empty() || b.is_empty() {
            return a.len().cmp(&b.len());
        }
        let (head_a, rest_a) = chunk(a);
        let (head_b, rest_b) = chunk(b);
        let digits = |text: &str| text.as_bytes()[0].is_ascii_digit();
        let order = if digits(head_a) && digits(head_b) {
            let (value_a, value_b) = (head_a.trim_start_matches('0'), head_b.trim_start_matches('0'));
            value_a.len().cmp(&value_b.len()).then_with(|| value_a.cmp(value_b))
        } else {
            head_a.cmp(head_b)
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// Splits off the leading run of digits, or of anything else.
fn chunk(text: &str) -> (&str, &str) {
    let digit = text.as_bytes()[0].is_ascii_digit();
    let end = text.bytes().position(|byte| byte.is_ascii_digit() != digit).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn natural_order_reads_numbers() {
        let mut names = ["pod-10", "pod-9", "pod", "pod-09b", "node"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["node", "pod", "pod-9", "pod-09b", "pod-10"]);
    }
}
