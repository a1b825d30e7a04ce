//! Exposition formats and relabeling.
