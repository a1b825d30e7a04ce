//! Leases jobs: retention and garbage collection.
