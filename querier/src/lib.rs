//! PromQL over shards, blocks and other clusters.
