//! The engine as its users see it.
//!
//! [`scripts`] evaluates scripts of cases, ours and Prometheus's; [`limits`] what bounds a query and what it reports.
//! [`promqltest`] is the scripts' runner.

mod limits;
mod promqltest;
mod scripts;
