//! End-to-end tests: the real binary as real processes, spoken to as a user speaks to it.
//!
//! Every wait is for a condition that is polled, and ends early when a process ends; see [`harness::until`]. Processes are
//! killed by the pids this run started; logs are printed when a test fails.

mod harness;

mod append_rules;
mod bad_input;
mod blocks;
mod cluster;
mod compaction;
mod deletes;
mod differential;
mod downsampling;
mod exemplars;
mod failover;
mod gateways;
mod histograms;
mod hostile;
mod import;
mod limits;
mod ownership;
mod pushdown;
mod real_programs;
mod rules;
mod s3;
mod standalone;
