//! The query routes against data in memory.

mod explain;
mod requests;
mod support;
mod turns;
