//! The type check: one pass over the nodes, children first, up to the first fault.

use std::collections::HashSet;

use model::Matcher;
use model::labels::{METRIC_NAME, quote};

use crate::ast::{
    Aggregate, AggregateOp, Binary, Cardinality, Expr, Node, NodeId, NodeKind, Span, ValueType,
    VectorSelector,
};
use crate::error::ParseError;
use crate::function::{Arity, Function, FunctionKind};

/// Holds the types of all nodes against each other.
pub(super) fn check(query: &str, expr: &Expr) -> Result<(), ParseError> {
    let types = Vec::with_capacity(expr.nodes.len());
    let mut checker = Checker { query, expr, types, data_labels: data_label_selectors(expr) };
    for (id, node) in expr.nodes() {
        let value_type = checker.node(id, node).map_err(|error| checker.first_fault(id, error))?;
        checker.types.push(value_type);
    }
    Ok(())
}

/// Returns the selectors that are the second argument of `info`: they may match everything.
fn data_label_selectors(expr: &Expr) -> HashSet<NodeId> {
    expr.nodes()
        .filter_map(|(_, node)| match &node.kind {
            NodeKind::Call(function, args) if function.kind == FunctionKind::Info => args.get(1).copied(),
            _ => None,
        })
        .collect()
}

struct Checker<'a> {
    query: &'a str,
    expr: &'a Expr,
    /// Of the nodes so far.
    types: Vec<ValueType>,
    data_labels: HashSet<NodeId>,
}

impl Checker<'_> {
    fn fail<T>(&self, span: Span, message: impl Into<String>) -> Result<T, ParseError> {
        Err(ParseError::at(self.query, span.start, message))
    }

    fn expect(&self, id: NodeId, wanted: ValueType, context: &str) -> Result<(), ParseError> {
        let found = self.types[id.index()];
        if found == wanted {
            return Ok(());
        }
        let (wanted, found) = (wanted.documented(), found.documented());
        self.fail(self.expr.node(id).span, format!("expected type {wanted} in {context}, got {found}"))
    }

    fn node(&self, id: NodeId, node: &Node) -> Result<ValueType, ParseError> {
        Ok(match &node.kind {
            NodeKind::Number(_) | NodeKind::Duration(_) => ValueType::Scalar,
            NodeKind::String(_) => ValueType::String,
            NodeKind::Paren(child) => self.types[child.index()],
            NodeKind::Unary(_, child) => {
                let found = self.types[child.index()];
                if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                    let allowed =
                        "unary expression only allowed on expressions of type scalar or instant vector";
                    return self.fail(node.span, format!("{allowed}, got {}", quote(found.documented())));
                }
                found
            }
            NodeKind::Binary(binary) => self.binary(binary, node.span)?,
            NodeKind::Aggregate(aggregate) => self.aggregate(aggregate)?,
            NodeKind::Call(function, args) => self.call(function, args, node.span)?,
            NodeKind::Selector(selector) => {
                if !self.data_labels.contains(&id) {
                    self.selector(selector, node.span)?;
                }
                ValueType::Vector
            }
            NodeKind::Range(..) => ValueType::Matrix,
            NodeKind::Subquery(subquery) => {
                let found = self.types[subquery.expr.index()];
                if found != ValueType::Vector {
                    let found = found.as_str();
                    let message = format!("subquery is only allowed on instant vector, got {found} instead");
                    return self.fail(node.span, message);
                }
                ValueType::Matrix
            }
        })
    }

    fn selector(&self, selector: &VectorSelector, span: Span) -> Result<(), ParseError> {
        if let Some(name) = &selector.name {
            let second = selector.matchers[1..].iter().find(|matcher| &*matcher.name == METRIC_NAME);
            if let Some(second) = second {
                let (first, second) = (quote(name), quote(&second.value));
                return self.fail(span, format!("metric name must not be set twice: {first} or {second}"));
            }
        } else if selector.matchers.iter().all(Matcher::matches_empty) {
            return self.fail(span, "vector selector must contain at least one non-empty matcher");
        }
        Ok(())
    }

    fn binary(&self, binary: &Binary, span: Span) -> Result<ValueType, ParseError> {
        let (left, right) = (self.types[binary.lhs.index()], self.types[binary.rhs.index()]);
        let (op, matching) = (binary.op, &binary.matching);
        if binary.return_bool && !op.is_comparison() {
            return self.fail(binary.op_span, "bool modifier can only be used on comparison operators");
        }
        let scalars = (left, right) == (ValueType::Scalar, ValueType::Scalar);
        if op.is_comparison() && !binary.return_bool && scalars {
            return self.fail(binary.op_span, "comparisons between scalars must use BOOL modifier");
        }
        if let Some(label) = matching.labels.iter().find(|l| matching.on && matching.include.contains(l)) {
            let label = quote(label);
            let message = format!("label {label} must not occur in ON and GROUP clause at once");
            return self.fail(binary.op_span, message);
        }
        for (id, found) in [(binary.lhs, left), (binary.rhs, right)] {
            if !matches!(found, ValueType::Scalar | ValueType::Vector) {
                let span = self.expr.node(id).span;
                return self
                    .fail(span, "binary expression must contain only scalar and instant vector types");
            }
        }
        let vectors = (left, right) == (ValueType::Vector, ValueType::Vector);
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        // Without labels it says nothing, and is left out.
        if !vectors && !matching.labels.is_empty() {
            return self.fail(span, "vector matching only allowed between instant vectors");
        }
        if !vectors && fills {
            return self.fail(span, "filling in missing series only allowed between instant vectors");
        }
        if vectors && op.is_set() && matching.cardinality != Cardinality::OneToOne {
            let op = quote(op.as_str());
            return self.fail(span, format!("no grouping allowed for {op} operation"));
        }
        if vectors && op.is_set() && fills {
            return self.fail(span, "filling in missing series not allowed for set operators");
        }
        if !vectors && op.is_set() {
            let op = quote(op.as_str());
            return self.fail(span, format!("set operator {op} not allowed in binary scalar expression"));
        }
        Ok(if scalars { ValueType::Scalar } else { ValueType::Vector })
    }

    fn aggregate(&self, aggregate: &Aggregate) -> Result<ValueType, ParseError> {
        self.expect(aggregate.expr, ValueType::Vector, "aggregation expression")?;
        if let Some(param) = aggregate.param {
            let wanted = match aggregate.op {
                AggregateOp::CountValues => ValueType::String,
                _ => ValueType::Scalar,
            };
            self.expect(param, wanted, "aggregation parameter")?;
        }
        Ok(ValueType::Vector)
    }

    /// Returns the fault that is told: how many arguments a call has is looked at before what they are, so a call around
    /// the faulty node comes first.
    fn first_fault(&self, faulty: NodeId, fault: ParseError) -> ParseError {
        let (mut on_path, mut first) = (faulty, fault);
        // Parents follow their children.
        for (id, node) in self.expr.nodes().skip(faulty.index() + 1) {
            let mut is_parent = false;
            node.for_each_child(|child| is_parent |= child == on_path);
            if is_parent {
                on_path = id;
                if let NodeKind::Call(function, args) = &node.kind {
                    first = self.arity(function, args, node.span).err().unwrap_or(first);
                }
            }
        }
        first
    }

    fn arity(&self, function: &Function, args: &[NodeId], span: Span) -> Result<(), ParseError> {
        let (count, name) = (args.len(), quote(function.name));
        let (least, most) = function.arity.bounds(function.args.len());
        let problem = match function.arity {
            Arity::Exact if count != least => format!("expected {least} argument(s)"),
            _ if count < least => format!("expected at least {least} argument(s)"),
            _ if most.is_some_and(|most| count > most) => {
                format!("expected at most {} argument(s)", most.unwrap_or(count))
            }
            _ => return Ok(()),
        };
        self.fail(span, format!("{problem} in call to {name}, got {count}"))
    }

    fn call(&self, function: &Function, args: &[NodeId], span: Span) -> Result<ValueType, ParseError> {
        self.arity(function, args, span)?;
        let name = quote(function.name);
        for (index, arg) in args.iter().enumerate() {
            let wanted = function.args[index.min(function.args.len() - 1)];
            if function.kind == FunctionKind::Info && index == 1 {
                self.data_label_argument(*arg)?;
            }
            self.expect(*arg, wanted, &format!("call to function {name}"))?;
        }
        Ok(function.returns)
    }

    fn data_label_argument(&self, id: NodeId) -> Result<(), ParseError> {
        let node = self.expr.node(id);
        match &node.kind {
            NodeKind::Selector(selector) if selector.name.is_none() => Ok(()),
            NodeKind::Selector(_) => {
                self.fail(node.span, "expected label selectors only, got vector selector instead")
            }
            _ => self.fail(node.span, "expected label selectors only"),
        }
    }
}
