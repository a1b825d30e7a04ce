//! Evaluates rule groups and records back.
