//! The other queries that must yield what a case expects of its instant query.
//!
//! A query whose selectors and subqueries are all pinned with `@` yields the same at any evaluation time, so it is
//! evaluated again long before, at and long after its own. What is evaluated is the printed tree, so a printer that
//! changes a query's meaning fails here.

use promql::Expr;
use promql::ast::NodeKind;
use promql::function::FunctionKind;

/// Returns the query with all that has no fixed time pinned to one, and the times at which it must yield the same.
/// `None` when a function in it depends on the evaluation time.
pub(crate) fn pinned(query: &str, time_ms: i64) -> Result<Option<(String, Vec<i64>)>, String> {
    let expr = parse(query)?;
    let Some(mut places) = unpinned(&expr) else {
        return Ok(None);
    };
    places.sort_unstable();
    let mut text = query.to_owned();
    for place in places.into_iter().rev() {
        text.insert_str(place, &format!(" @ {}", time_ms as f64 / 1000.0));
    }
    let printed = parse(&text)?.to_string();
    let again = parse(&printed)?.to_string();
    if again != printed {
        return Err(format!("printed as {printed}, then as {again}"));
    }
    let times = if time_ms == 0 {
        vec![-1000, 0, 1000]
    } else {
        vec![-10 * time_ms, 0, time_ms / 5, time_ms, 10 * time_ms]
    };
    Ok(Some((printed, times)))
}

fn parse(query: &str) -> Result<Expr, String> {
    promql::parse_with(query, promql::ParserOptions::everything()).map_err(|e| format!("{query}: {e}"))
}

/// Returns where the selectors and subqueries without a fixed time end, those within subqueries excepted: a subquery
/// is pinned as a whole. `None` when a function in it depends on the evaluation time.
fn unpinned(expr: &Expr) -> Option<Vec<usize>> {
    let mut places = Vec::new();
    // By node: whether what is above fixes the time.
    let mut fixed = vec![false; expr.nodes().count()];
    for (id, node) in expr.nodes().rev() {
        let mut fixes_below = fixed[id.index()];
        if !fixes_below {
            let place = node.span.end as usize;
            match &node.kind {
                NodeKind::Call(function, _) if depends_on_time(function.kind) => return None,
                NodeKind::Selector(selector) if selector.at.is_none() => places.push(place),
                NodeKind::Range(selector, _) => {
                    if matches!(&expr.node(*selector).kind, NodeKind::Selector(inner) if inner.at.is_none()) {
                        places.push(place);
                    }
                    fixes_below = true;
                }
                NodeKind::Subquery(subquery) => {
                    if subquery.at.is_none() {
                        places.push(place);
                    }
                    fixes_below = true;
                }
                _ => {}
            }
        }
        node.for_each_child(|child| fixed[child.index()] = fixes_below);
    }
    Some(places)
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
            | K::Minute
            | K::Month
            | K::Year
            | K::PredictLinear
            | K::Time
            | K::Timestamp
            | K::Start
            | K::End
            | K::Step
            | K::Range
    )
}
