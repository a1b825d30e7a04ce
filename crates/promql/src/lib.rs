//! PromQL: parser, plan and engine over the storage ports.
//!
//! 1. [`parse`] turns text into an [`ast::Expr`] with a span on every node, and checks types.
//! 2. [`Engine`] plans it: which series each selector needs, and on which grid of steps each node is evaluated.
//! 3. It asks the [`storage::Queryable`] for labels, then evaluates on the CPU pool, series by series.
//!
//! What this engine cannot evaluate is an error that names the construct, never a wrong number. The reference for all
//! meanings is Prometheus 3. Not here: HTTP, JSON, and where the data lies.

mod annotation;
pub mod ast;
mod control;
mod engine;
mod error;
mod exec;
mod explain;
pub mod function;
mod parser;
mod plan;
mod print;
mod push;
mod value;

pub use ast::Expr;
pub use control::QueryControl;
pub use engine::{Engine, EngineConfig, QueryOptions};
pub use error::{ParseError, QueryError};
pub use exec::NodeStats;
pub use explain::{EvaluatedBy, ExplainedNode, ExplainedSelect, Explanation};
pub use parser::{Gate, NESTING_MAX, ParserOptions, parse, parse_selector, parse_with};
pub use push::{PushReport, PushedRun};
pub use value::{MatrixSeries, QueryResult, QueryStats, Value, VectorSample};
