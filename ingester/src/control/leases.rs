//! When each member was last heard of. Lives in the leader's memory only; a new leader gives everybody a fresh lease.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use cluster::ControlState;
use model::{Epoch, NodeId};
use parking_lot::Mutex;

/// The leader's memory of heartbeats.
#[derive(Default)]
pub(crate) struct LeaseTable {
    heard: Mutex<HashMap<NodeId, (Epoch, Instant)>>,
}

impl LeaseTable {
    /// Notes a sign of life.
    pub(crate) fn renew(&self, node: NodeId, epoch: Epoch, now: Instant) {
        self.heard.lock().insert(node, (epoch, now));
    }

    /// Forgets everything: who just became leader knows of no heartbeat.
    pub(crate) fn clear(&self) {
        self.heard.lock().clear();
    }

    /// Returns the memberships that were silent for longer than `lease`. Members not heard of yet begin their lease now.
    pub(crate) fn lapsed(&self, state: &ControlState, lease: Duration, now: Instant) -> Vec<(NodeId, Epoch)> {
        let mut heard = self.heard.lock();
        let live = state.members.values().filter(|member| member.live);
        let silent = |node: NodeId, epoch: Epoch, heard: &mut HashMap<NodeId, (Epoch, Instant)>| {
            let entry = heard.entry(node).or_insert((epoch, now));
            if entry.0 != epoch {
                *entry = (epoch, now);
            }
            now.duration_since(entry.1) > lease
        };
        live.filter(|m| silent(m.node, m.epoch, &mut heard)).map(|m| (m.node, m.epoch)).collect()
    }
}
