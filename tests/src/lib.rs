//! What whole-system tests and tests of roles share; imported only as a development dependency.
//!
//! [`s3`] is an S3 server within the test's process, with faults that a test switches on; [`control`] a control group of
//! one. The checks on the source tree are integration tests of this package (`tests/layering.rs`).

pub mod control;
pub mod s3;
