//! The immutable part of one shard: two Parquet files with an embedded index.
