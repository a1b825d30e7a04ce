//! The query routes against data in memory.

mod admin;
mod explain;
mod requests;
mod support;
mod turns;
