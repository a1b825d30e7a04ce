//! When each member was last heard of, and what it said it reads from. Lives in the leader's memory only; a new leader gives everybody a fresh lease.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cluster::{ControlState, Role};
use model::{Epoch, NodeId};
use parking_lot::Mutex;

/// The leader's memory of heartbeats.
#[derive(Default)]
pub(crate) struct LeaseTable {
    heard: Mutex<HashMap<NodeId, Heard>>,
}

/// The last sign of life of one member.
struct Heard {
    epoch: Epoch,
    at: Instant,
    reads: Reads,
}

/// The oldest version of the control state that a member may still read blocks from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Not heard of yet.
    Unknown,
    /// It is of a release that does not say.
    Unsaid,
    /// This version.
    From(u64),
}

impl LeaseTable {
    /// Notes a sign of life.
    pub(crate) fn renew(&self, node: NodeId, epoch: Epoch, reads: Reads, now: Instant) {
        self.heard.lock().insert(node, Heard { epoch, at: now, reads });
    }

    /// Returns the oldest version that any live member with queries may still read from; `None` while one of them was not
    /// heard of. The present version when there are no such members.
    pub(crate) fn oldest_version(&self, state: &ControlState) -> Option<u64> {
        let heard = self.heard.lock();
        let readers = [Role::Querier, Role::Ruler].into_iter().flat_map(|role| state.live(role));
        let mut oldest = state.version;
        for member in readers {
            let heard = heard.get(&member.node).filter(|heard| heard.epoch == member.epoch);
            match heard.map_or(Reads::Unknown, |heard| heard.reads) {
                Reads::Unknown => return None,
                Reads::Unsaid => {}
                Reads::From(version) => oldest = oldest.min(version),
            }
        }
        Some(oldest)
    }

    /// Forgets everything: who just became leader knows of no heartbeat.
    pub(crate) fn clear(&self) {
        self.heard.lock().clear();
    }

    /// Returns the memberships that were silent for longer than `lease`. Members not heard of yet begin their lease now.
    pub(crate) fn lapsed(&self, state: &ControlState, lease: Duration, now: Instant) -> Vec<(NodeId, Epoch)> {
        let mut heard = self.heard.lock();
        let live = state.members.values().filter(|member| member.live);
        let silent = |node: NodeId, epoch: Epoch, heard: &mut HashMap<NodeId, Heard>| {
            let fresh = || Heard { epoch, at: now, reads: Reads::Unknown };
            let entry = heard.entry(node).or_insert_with(fresh);
            if entry.epoch != epoch {
                *entry = fresh();
            }
            now.duration_since(entry.at) > lease
        };
        live.filter(|m| silent(m.node, m.epoch, &mut heard)).map(|m| (m.node, m.epoch)).collect()
    }
}

#[cfg(test)]
mod tests {
    use cluster::{ClusterSettings, Command, Response};

    use super::*;

    fn join(state: &mut ControlState, name: &str, role: Role) -> (NodeId, Epoch) {
        let joined = state.apply(Command::Join {
            name: name.to_owned(),
            role,
            zone: String::new(),
            grpc_address: String::new(),
            http_address: String::new(),
            disk_id: String::new(),
        });
        let Response::Joined { node, epoch } = joined else { panic!("{joined:?}") };
        (node, epoch)
    }

    #[test]
    fn the_oldest_version_is_known_once_all_who_query_were_heard() {
        let mut state = ControlState::default();
        let settings = ClusterSettings {
            name: "test".to_owned(),
            uuid: String::new(),
            external_labels: Default::default(),
            block_duration_ms: 1,
            out_of_order_window_ms: 0,
            shards: 1,
            replicas: 1,
            exemplars_max: 0,
        };
        state.apply(Command::Establish { settings, ingesters: Vec::new() });
        join(&mut state, "c", Role::Compactor);
        let (table, now) = (LeaseTable::default(), Instant::now());
        assert_eq!(table.oldest_version(&state), Some(state.version), "nobody queries");
        let (a, a_epoch) = join(&mut state, "a", Role::Querier);
        let (b, b_epoch) = join(&mut state, "b", Role::Ruler);
        assert_eq!(table.oldest_version(&state), None);
        table.renew(a, a_epoch, Reads::From(3), now);
        assert_eq!(table.oldest_version(&state), None);
        table.renew(b, b_epoch, Reads::Unsaid, now);
        assert_eq!(table.oldest_version(&state), Some(3));
        table.renew(b, b_epoch, Reads::From(2), now);
        assert_eq!(table.oldest_version(&state), Some(2));
        join(&mut state, "b", Role::Ruler);
        assert_eq!(table.oldest_version(&state), None, "the membership is a new one");
        state.apply(Command::Expire { node: b, epoch: state.members[&b].epoch });
        assert_eq!(table.oldest_version(&state), Some(3), "who left reads nothing");
        table.clear();
        assert_eq!(table.oldest_version(&state), None);
    }
}
