//! The query routes against data in memory.

mod admin;
mod cluster;
mod explain;
mod requests;
mod support;
mod turns;
