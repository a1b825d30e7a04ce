//! Which nodes may be evaluated by those who hold the data: the topmost ones whose result over all series follows from
//! their results over any division of the series.
//!
//! Three kinds of nodes are told apart. *Free* ones need no data: everyone can evaluate them, so they are parameters and
//! never worth pushing themselves. *Rows* come series by series: the result over all series is the union of the results
//! over the parts. *Merged* ones reduce rows, and leave states that can be merged. Everything else is *central*.
//!
//! Only what is listed here is pushed; a construct that nobody thought of is evaluated centrally.

use model::labels::METRIC_NAME;
use model::{MatchOp, Matcher};

use crate::ast::{Aggregate, AggregateOp, Binary, Expr, NodeId, NodeKind, UnaryOp, ValueType};
use crate::engine::EngineConfig;
use crate::function::{Function, FunctionKind};
use crate::plan::Plan;

/// How many pushed nodes times nodes of the query there may be: where a pushed node's steps are cut is found by passes
/// over the whole query. What is beyond is no query that a person wrote, and is evaluated centrally.
const CUT_WORK_MAX: usize = 100_000;

/// What a node is to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Free,
    /// `one_name`: all rows have the same metric name or none, so taking it away keeps them apart.
    Rows {
        one_name: bool,
    },
    Merged,
    Central,
}

/// Returns the nodes to push, in the order of the arena; none lies under another. None at all when they are too many.
pub(crate) fn pushable(expr: &Expr, plan: &Plan, config: &EngineConfig) -> Vec<NodeId> {
    let mut classes: Vec<Class> = Vec::with_capacity(expr.nodes.len());
    for (_, node) in expr.nodes() {
        let class = class(expr, &node.kind, &classes, config);
        classes.push(class);
    }
    let mut covered = vec![false; expr.nodes.len()];
    let mut chosen = Vec::new();
    for (id, node) in expr.nodes().rev() {
        let covers = covered[id.index()];
        if covers || is_worth_it(expr, plan, id, classes[id.index()]) {
            node.for_each_child(|child| covered[child.index()] = true);
            if !covers {
                chosen.push(id);
            }
        }
    }
    if chosen.len().saturating_mul(expr.nodes.len()) > CUT_WORK_MAX {
        return Vec::new();
    }
    chosen.reverse();
    chosen
}

fn is_worth_it(expr: &Expr, plan: &Plan, id: NodeId, class: Class) -> bool {
    let steps = plan.grids[id.index()].steps;
    let is_whole = steps > 0 && plan.wanted[id.index()] && !plan.inlined[id.index()];
    match class {
        Class::Merged => is_whole,
        Class::Rows { .. } => {
            // Over many steps, the samples of a bare selector are smaller encoded than decoded.
            let is_bare = matches!(expr.node(expr.unwrap_parens(id)).kind, NodeKind::Selector(_));
            is_whole && expr.type_of(id) == ValueType::Vector && (!is_bare || steps == 1)
        }
        Class::Free | Class::Central => false,
    }
}

fn class(expr: &Expr, kind: &NodeKind, classes: &[Class], config: &EngineConfig) -> Class {
    let of = |id: &NodeId| classes[id.index()];
    match kind {
        NodeKind::Number(_) | NodeKind::Duration(_) | NodeKind::String(_) => Class::Free,
        NodeKind::Selector(selector) => Class::Rows { one_name: names_one_metric(&selector.matchers) },
        NodeKind::Paren(child) | NodeKind::Unary(UnaryOp::Plus, child) => rows_or_free(of(child)),
        NodeKind::Unary(UnaryOp::Minus, child) => unnamed(rows_or_free(of(child)), config),
        NodeKind::Range(selector, _) => of(selector),
        NodeKind::Subquery(subquery) => match of(&subquery.expr) {
            rows @ Class::Rows { .. } => rows,
            _ => Class::Central,
        },
        NodeKind::Binary(binary) => self::binary(binary, of(&binary.lhs), of(&binary.rhs), config),
        NodeKind::Aggregate(aggregate) => self::aggregate(aggregate, of),
        NodeKind::Call(function, args) => call(expr, function, args, classes, config),
    }
}

/// Tells whether all series that match have the same metric name, or none has one.
fn names_one_metric(matchers: &[Matcher]) -> bool {
    matchers.iter().any(|matcher| matcher.op == MatchOp::Equal && &*matcher.name == METRIC_NAME)
}

fn rows_or_free(class: Class) -> Class {
    if class == Class::Merged { Class::Central } else { class }
}

/// The class of what takes the metric names of its operand away. With several names, rows of different parts may become
/// equal, which only a look at all of them can tell.
fn unnamed(operand: Class, config: &EngineConfig) -> Class {
    match operand {
        Class::Rows { one_name: false } if !config.delayed_name_removal => Class::Central,
        other => other,
    }
}

fn binary(binary: &Binary, lhs: Class, rhs: Class, config: &EngineConfig) -> Class {
    let drops = binary.op.drops_name() || binary.return_bool;
    match (lhs, rhs) {
        (Class::Free, Class::Free) => Class::Free,
        (rows @ Class::Rows { .. }, Class::Free) | (Class::Free, rows @ Class::Rows { .. }) => {
            if drops {
                unnamed(rows, config)
            } else {
                rows
            }
        }
        _ => Class::Central,
    }
}

fn aggregate(aggregate: &Aggregate, of: impl Fn(&NodeId) -> Class) -> Class {
    let param = aggregate.param.as_ref().map_or(Class::Free, &of);
    match (of(&aggregate.expr), aggregate.op) {
        _ if param != Class::Free => Class::Central,
        (Class::Rows { .. }, op) if op.folds() => Class::Merged,
        (Class::Rows { .. }, AggregateOp::TopK | AggregateOp::BottomK | AggregateOp::LimitK) => Class::Merged,
        (Class::Rows { .. }, AggregateOp::CountValues) => Class::Merged,
        // A series is chosen by its labels' hash alone.
        (rows @ Class::Rows { .. }, AggregateOp::LimitRatio) => rows,
        _ => Class::Central,
    }
}

fn call(
    expr: &Expr,
    function: &Function,
    args: &[NodeId],
    classes: &[Class],
    config: &EngineConfig,
) -> Class {
    use FunctionKind as K;
    let is_series = |id: &&NodeId| matches!(expr.type_of(**id), ValueType::Vector | ValueType::Matrix);
    let mut series = args.iter().filter(is_series).map(|id| classes[id.index()]);
    let free = |id: &NodeId| classes[id.index()] == Class::Free;
    let params_are_free = args.iter().filter(|id| !is_series(id)).all(free);
    let operand = match (series.next(), series.next()) {
        (None, _) if function.returns == ValueType::Scalar && params_are_free => return Class::Free,
        (Some(rows @ Class::Rows { .. }), None) if params_are_free => rows,
        _ => return Class::Central,
    };
    match function.kind {
        K::Absent | K::AbsentOverTime | K::Scalar => Class::Merged,
        K::LabelReplace | K::LabelJoin if writes_name(expr, args) => Class::Rows { one_name: false },
        K::LabelReplace | K::LabelJoin => operand,
        K::LastOverTime | K::FirstOverTime => operand,
        kind if is_per_series(kind) => unnamed(operand, config),
        _ => Class::Central,
    }
}

/// Tells whether a call writes metric names into its rows.
fn writes_name(expr: &Expr, args: &[NodeId]) -> bool {
    let target = args.get(1).map(|target| &expr.node(expr.unwrap_parens(*target)).kind);
    !matches!(target, Some(NodeKind::String(name)) if **name != *METRIC_NAME.as_bytes())
}

/// The functions that map each series by itself and take its name away.
fn is_per_series(kind: FunctionKind) -> bool {
    is_per_sample(kind) || is_over_time(kind)
}

#[rustfmt::skip]
fn is_per_sample(kind: FunctionKind) -> bool {
    use FunctionKind as K;
    matches!(
        kind,
        K::Abs | K::Ceil | K::Floor | K::Exp | K::Ln | K::Log2 | K::Log10 | K::Sqrt | K::Sgn | K::Round
            | K::Clamp | K::ClampMin | K::ClampMax | K::Deg | K::Rad
            | K::Sin | K::Cos | K::Tan | K::Asin | K::Acos | K::Atan
            | K::Sinh | K::Cosh | K::Tanh | K::Asinh | K::Acosh | K::Atanh
            | K::Timestamp | K::StartTimestamp
            | K::Minute | K::Hour | K::DayOfWeek | K::DayOfMonth | K::DayOfYear | K::DaysInMonth
            | K::Month | K::Year
            | K::HistogramCount | K::HistogramSum | K::HistogramAvg | K::HistogramStddev | K::HistogramStdvar
    )
}

#[rustfmt::skip]
fn is_over_time(kind: FunctionKind) -> bool {
    use FunctionKind as K;
    matches!(
        kind,
        K::Rate | K::Increase | K::Delta | K::Irate | K::Idelta | K::Deriv | K::PredictLinear
            | K::Resets | K::Changes | K::DoubleExponentialSmoothing
            | K::AvgOverTime | K::MinOverTime | K::MaxOverTime | K::SumOverTime | K::CountOverTime
            | K::QuantileOverTime | K::StddevOverTime | K::StdvarOverTime | K::PresentOverTime | K::MadOverTime
            | K::TsOfMinOverTime | K::TsOfMaxOverTime | K::TsOfFirstOverTime | K::TsOfLastOverTime
    )
}
