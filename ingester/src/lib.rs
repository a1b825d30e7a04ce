//! Hosts the replicas of shards and of the control group.
