//! The log engine of a node: segments, group commit, recovery.
