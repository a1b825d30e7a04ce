//! The recent, mutable part of one shard.
