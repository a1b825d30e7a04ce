//! Raft groups on one log engine, behind our own types.
