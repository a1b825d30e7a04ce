//! Checks on the whole tree: layering and sizes.
