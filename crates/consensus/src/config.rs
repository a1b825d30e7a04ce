//! What the host may use and how long it waits, and the openraft configuration that follows from it.
//!
//! Timings: a leader is missed after `election_max`, then an election takes another `election_min..election_max`.
//! The heartbeat must be longer than the slowest usual sync of a disk, since followers answer after theirs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::NodeId;
use openraft::{Config, SnapshotPolicy};
use wal::WalConfig;

use crate::error::ConsensusError;

/// The configuration of a [`crate::RaftHost`].
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// This node. Never used by another one, also not after it lost its disk.
    pub node: NodeId,
    /// Where log and snapshots lie.
    pub dir: PathBuf,
    /// The limits of the log.
    pub wal: WalConfig,
    /// How often a leader makes itself heard.
    pub heartbeat: Duration,
    /// The shortest wait of a follower before it asks for votes.
    pub election_min: Duration,
    /// The longest such wait; also how long a leader's lease lasts.
    pub election_max: Duration,
    /// How long [`crate::Group::propose`] waits for the outcome.
    pub propose_timeout: Duration,
    /// How long a leader waits for the answer to entries it sent: above the worst stall of a disk.
    pub append_timeout: Duration,
    /// How long a leader waits for the answer to a part of a snapshot; the last one includes its installation.
    pub snapshot_timeout: Duration,
    /// The first and the longest wait before an unreachable node is tried again.
    pub retry: (Duration, Duration),
    /// How many bytes of proposals of a group may wait for their outcome.
    pub in_flight_bytes_max: u32,
    /// After how many bytes of applied commands a group takes a snapshot by itself; later when the snapshot is large, so that
    /// snapshots write a fraction of what the log does.
    pub log_bytes_before_snapshot: u64,
    /// How many entries stay in the log after a snapshot, for followers that are only a little behind.
    pub log_entries_kept: u64,
}

impl HostConfig {
    /// Returns the usual values for a node.
    pub fn new(node: NodeId, dir: impl Into<PathBuf>) -> Self {
        Self {
            node,
            dir: dir.into(),
            wal: WalConfig::default(),
            heartbeat: Duration::from_millis(150),
            election_min: Duration::from_millis(500),
            election_max: Duration::from_millis(1000),
            propose_timeout: Duration::from_secs(10),
            append_timeout: Duration::from_secs(3),
            snapshot_timeout: Duration::from_secs(300),
            retry: (Duration::from_millis(200), Duration::from_secs(5)),
            in_flight_bytes_max: 32 << 20,
            log_bytes_before_snapshot: 256 << 20,
            log_entries_kept: 256,
        }
    }

    /// Returns the openraft configuration.
    pub(crate) fn raft(&self) -> Result<Arc<Config>, ConsensusError> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (heartbeat, election_min) = (millis(self.heartbeat), millis(self.election_min));
        let election_max = millis(self.election_max);
        let (retry_first, retry_max) = (millis(self.retry.0).max(1), millis(self.retry.1).max(1));
        let config = Config {
            cluster_name: "norn".to_owned(),
            heartbeat_interval: heartbeat,
            // Replication proves the same as a heartbeat, so under load most are left out.
            heartbeat_min_interval: Some(heartbeat * 2 / 3),
            election_timeout_min: election_min,
            election_timeout_max: election_max,
            enable_pre_vote: Some(true),
            // A restarted leader that resumed its term could give indices it lost to other commands: 0.10 sends
            // entries before its own disk has them. Acknowledged commands would be lost.
            enable_leader_restore: Some(false),
            // A leader that can send but not receive falls silent, so that another can be elected.
            quorum_loss_probe_interval: Some(election_max * 5 / 2),
            backoff: format!("{retry_first}ms {}ms ...{retry_max}ms", (retry_first * 2).min(retry_max)),
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: self.log_entries_kept,
            // Only a follower whose entries are gone gets a snapshot.
            replication_lag_threshold: u64::MAX / 4,
            max_payload_entries: 256,
            max_append_entries: Some(256),
            api_channel_size: Some(1024),
            state_machine_channel_size: Some(256),
            install_snapshot_timeout: millis(self.snapshot_timeout),
            ..Config::default()
        };
        let config =
            config.validate().map_err(|error| ConsensusError::Config { reason: error.to_string() })?;
        assert_eq!(config.enable_leader_restore, Some(false), "a restarted leader must be elected again");
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_values_are_valid_and_leaders_are_not_restored() {
        let config = HostConfig::new(NodeId(1), "unused").raft().unwrap();
        assert_eq!(config.enable_leader_restore, Some(false));
        assert_eq!(config.enable_pre_vote, Some(true));
        assert_eq!(config.allow_log_reversion, None);
        assert_eq!(config.backoff, "200ms 400ms ...5000ms");
    }

    #[test]
    fn contradictions_are_named() {
        let mut config = HostConfig::new(NodeId(1), "unused");
        config.election_min = Duration::from_millis(100);
        assert!(matches!(config.raft(), Err(ConsensusError::Config { .. })));
    }
}
