//! The syntax tree: an arena of nodes, children before parents, the root last.
//!
//! A tree is one vector, so it is dropped, cloned and walked without recursion however deep the query is: a pass over
//! the tree is a loop over the vector, upwards in order and downwards in reverse. Every node has exactly one parent,
//! except the root, and a span of bytes in the query's text.
//!
//! Not here: what nodes mean (see [`crate::function`] and the engine) and how text becomes nodes (see [`crate::parse`]).

mod duration;
mod operator;

pub(crate) use duration::format_seconds;
pub use duration::{DurationError, DurationExpr, DurationOp, DurationSpec};
use model::Matcher;
pub use operator::{AggregateOp, BinaryOp, UnaryOp};

use crate::function::Function;

/// A half-open range of bytes in the query's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    pub(crate) fn to(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// The position of a node in its [`Expr`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// Returns the position as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The four types of PromQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One float a step.
    Scalar,
    /// A set of series with at most one sample a step each.
    Vector,
    /// A set of series with a range of samples a step each.
    Matrix,
    /// A text.
    String,
}

impl ValueType {
    /// Returns the name used in error texts.
    pub fn documented(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::String => "string",
        }
    }

    /// Returns the short name, as in the API's `resultType`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
            Self::String => "string",
        }
    }
}

/// A fixed evaluation time: `@ 1609746000`, `@ start()`, `@ end()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtModifier {
    /// Milliseconds since the epoch.
    Time(i64),
    /// The start of the query.
    Start,
    /// The end of the query.
    End,
}

/// The experimental reading of a range's borders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeMode {
    /// The last sample at or before the start stands at the start.
    Anchored,
    /// The borders are interpolated.
    Smoothed,
}

impl RangeMode {
    /// Returns the modifier as written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anchored => "anchored",
            Self::Smoothed => "smoothed",
        }
    }
}

/// `metric{label="value"} offset 5m @ 0`; also what stands inside a range selector.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The name before the braces, if there is one; `matchers` then holds it as well, first.
    pub name: Option<Box<str>>,
    /// All conditions, the name's included.
    pub matchers: Vec<Matcher>,
    /// The offset as written.
    pub offset: Option<DurationSpec>,
    /// The fixed time.
    pub at: Option<AtModifier>,
    /// `anchored` or `smoothed`.
    pub mode: Option<RangeMode>,
}

/// `expr[5m:1m] offset 5m @ 0`.
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// What is evaluated again and again.
    pub expr: NodeId,
    /// How far back.
    pub range: DurationSpec,
    /// How often; the engine's default when absent.
    pub step: Option<DurationSpec>,
    /// The offset as written.
    pub offset: Option<DurationSpec>,
    /// The fixed time.
    pub at: Option<AtModifier>,
}

/// How many series of each side may share one match group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// One and one.
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// How the sides of a binary operator between vectors find each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Matching {
    /// How many a side.
    pub cardinality: Cardinality,
    /// `on` (true) or `ignoring` and nothing (false).
    pub on: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// The labels of `group_left` or `group_right`.
    pub include: Vec<String>,
    /// What stands in for a missing left side.
    pub fill_left: Option<f64>,
    /// What stands in for a missing right side.
    pub fill_right: Option<f64>,
}

impl Default for Matching {
    fn default() -> Self {
        Self {
            cardinality: Cardinality::OneToOne,
            on: false,
            labels: Vec::new(),
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        }
    }
}

/// `lhs op rhs`.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Where the operator stands.
    pub op_span: Span,
    /// The left side.
    pub lhs: NodeId,
    /// The right side.
    pub rhs: NodeId,
    /// Whether `bool` was written.
    pub return_bool: bool,
    /// How vectors match; the default between other types.
    pub matching: Matching,
}

/// `op by (labels) (param, expr)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The operator.
    pub op: AggregateOp,
    /// What is aggregated.
    pub expr: NodeId,
    /// The first argument of operators that take two.
    pub param: Option<NodeId>,
    /// The labels of `by` or `without`, in the order written.
    pub grouping: Vec<String>,
    /// `without` (true) or `by` and nothing (false).
    pub without: bool,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// A number.
    Number(f64),
    /// A number written as a duration, in seconds.
    Duration(f64),
    /// A text: any bytes, since escapes may write any.
    String(Box<[u8]>),
    /// `( expr )`.
    Paren(NodeId),
    /// `+expr`, `-expr`.
    Unary(UnaryOp, NodeId),
    /// See [`Binary`].
    Binary(Box<Binary>),
    /// See [`Aggregate`].
    Aggregate(Box<Aggregate>),
    /// A function call.
    Call(&'static Function, Vec<NodeId>),
    /// See [`VectorSelector`].
    Selector(Box<VectorSelector>),
    /// `selector[range]`; offset and time stand on the selector.
    Range(NodeId, DurationSpec),
    /// See [`Subquery`].
    Subquery(Box<Subquery>),
}

/// One node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Where it stands.
    pub span: Span,
}

impl Node {
    /// Calls `visit` for each child, in the order they are written.
    pub fn for_each_child(&self, mut visit: impl FnMut(NodeId)) {
        match &self.kind {
            NodeKind::Number(_) | NodeKind::Duration(_) | NodeKind::String(_) | NodeKind::Selector(_) => {}
            NodeKind::Paren(child) | NodeKind::Unary(_, child) | NodeKind::Range(child, _) => visit(*child),
            NodeKind::Binary(binary) => {
                visit(binary.lhs);
                visit(binary.rhs);
            }
            NodeKind::Aggregate(aggregate) => {
                aggregate.param.into_iter().for_each(&mut visit);
                visit(aggregate.expr);
            }
            NodeKind::Call(_, args) => args.iter().copied().for_each(visit),
            NodeKind::Subquery(subquery) => visit(subquery.expr),
        }
    }
}

/// A parsed and type-checked query.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    pub(crate) nodes: Vec<Node>,
}

impl Expr {
    /// Returns the id of the root.
    pub fn root(&self) -> NodeId {
        NodeId((self.nodes.len() - 1) as u32)
    }

    /// Returns a node.
    ///
    /// # Panics
    /// When the id is of another, larger tree.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Returns all nodes with their ids, children before parents.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(index, node)| (NodeId(index as u32), node))
    }

    /// Returns the conditions of each selector.
    pub fn selectors(&self) -> impl Iterator<Item = &[Matcher]> {
        self.nodes.iter().filter_map(|node| match &node.kind {
            NodeKind::Selector(selector) => Some(selector.matchers.as_slice()),
            _ => None,
        })
    }

    /// Returns the type of the whole.
    pub fn value_type(&self) -> ValueType {
        self.type_of(self.root())
    }

    /// Returns the type of a node. Linear in nested parentheses and signs.
    pub fn type_of(&self, mut id: NodeId) -> ValueType {
        loop {
            return match &self.node(id).kind {
                NodeKind::Number(_) | NodeKind::Duration(_) => ValueType::Scalar,
                NodeKind::String(_) => ValueType::String,
                NodeKind::Paren(child) | NodeKind::Unary(_, child) => {
                    id = *child;
                    continue;
                }
                NodeKind::Binary(binary) => {
                    // Left-deep chains are long; the right side is the short one.
                    if self.type_of(binary.rhs) == ValueType::Vector {
                        ValueType::Vector
                    } else {
                        id = binary.lhs;
                        continue;
                    }
                }
                NodeKind::Aggregate(_) | NodeKind::Selector(_) => ValueType::Vector,
                NodeKind::Call(function, _) => function.returns,
                NodeKind::Range(..) | NodeKind::Subquery(_) => ValueType::Matrix,
            };
        }
    }

    /// Returns the first node under a node that is not a parenthesis.
    pub fn unwrap_parens(&self, mut id: NodeId) -> NodeId {
        while let NodeKind::Paren(child) = self.node(id).kind {
            id = child;
        }
        id
    }
}
