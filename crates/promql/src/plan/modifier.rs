//! Which functions take ranges that are `anchored` or `smoothed`. The others would see samples outside of the range.

use crate::ast::{Expr, Node, NodeKind, RangeMode};
use crate::error::QueryError;
use crate::function::FunctionKind as K;

/// Refuses functions that do not know a range's modifier.
pub(super) fn check(expr: &Expr, node: &Node) -> Result<(), QueryError> {
    let NodeKind::Call(function, args) = &node.kind else { return Ok(()) };
    for arg in args {
        let NodeKind::Range(selector, _) = expr.node(expr.unwrap_parens(*arg)).kind else { continue };
        let NodeKind::Selector(selector) = &expr.node(selector).kind else { continue };
        let (name, takers, takes) = match selector.mode {
            None => continue,
            Some(RangeMode::Anchored) => (
                "anchored",
                "changes, delta, increase, rate, resets",
                matches!(function.kind, K::Changes | K::Delta | K::Increase | K::Rate | K::Resets),
            ),
            Some(RangeMode::Smoothed) => (
                "smoothed",
                "delta, increase, rate",
                matches!(function.kind, K::Delta | K::Increase | K::Rate),
            ),
        };
        if !takes {
            let function = function.name;
            let message = format!("{name} modifier can only be used with: {takers} - not with {function}");
            return Err(QueryError::Execution(message));
        }
    }
    Ok(())
}
