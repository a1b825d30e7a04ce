//! What whole-system tests share; nobody else imports this crate, but for the tests of the package `norn`.
//!
//! [`s3`] is an S3 server within the test's process, with faults that a test switches on. The checks on the source tree
//! are integration tests of this package (`tests/layering.rs`).

pub mod s3;
