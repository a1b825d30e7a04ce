//! PromQL: parser, plan and engine over the storage ports.
//!
//! The way of a query, and the order to read the modules in:
//!
//! 1. `parser`: text into an [`ast::Expr`], an arena of nodes with children before parents and a span on each, types
//!    checked; [`function`] is the table of functions, `print` the way back to text.
//! 2. `plan`: which samples each selector needs, and on which grid of steps each node is evaluated. No data yet.
//! 3. `push`: which nodes those who hold the data evaluate, over which steps; the rest of the plan stays here.
//! 4. `engine`: asks the [`storage::Queryable`] for the series of all selectors at once, within limits and a deadline.
//! 5. `exec`: one loop over the nodes. `exec::selector` and `exec::range` read samples, the other modules turn tables of
//!    floats and histograms (`exec::vector`) into such tables; `exec::partial` is a table that travels. What is about to
//!    be allocated is charged first (`exec::ledger`).
//! 6. `value`, `annotation`, `explain`: what the caller gets.
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
pub use parser::{Gate, NESTING_MAX, ParserOptions, parse, parse_matchers, parse_selector, parse_with};
pub use push::{PushReport, PushedRun};
pub use value::{MatrixSeries, QueryResult, QueryStats, Value, VectorSample};
