//! Which gateway is asked for the blocks of a shard: one of its owners, in turns, and then the others.
//!
//! All blocks of a shard are asked of one gateway, so that it can evaluate over them alone. A query takes one turn and keeps
//! to it. A gateway that did not answer is asked last for a while: until its membership ends, the control state still
//! calls it live, and every query would find out anew.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cluster::{ControlState, Role, rendezvous};
use model::{NodeId, ShardId};
use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a gateway that failed is asked after all others.
const FAILED_FOR: Duration = Duration::from_secs(5);

/// A query's place in the order of queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn(usize);

/// The owners of blocks.
pub(crate) struct Owners {
    replicas: usize,
    next: AtomicUsize,
    /// When a gateway failed last. Bounded by the gateways that there ever were.
    failed: Mutex<HashMap<NodeId, Instant>>,
}

impl Owners {
    /// Each shard has `replicas` owners where there are as many gateways.
    pub(crate) fn new(replicas: usize) -> Self {
        Self { replicas: replicas.max(1), next: AtomicUsize::new(0), failed: Mutex::default() }
    }

    /// Returns the next turn.
    pub(crate) fn turn(&self) -> Turn {
        Turn(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Notes that a gateway did not answer.
    pub(crate) fn failed(&self, gateway: NodeId) {
        self.failed.lock().insert(gateway, Instant::now());
    }

    /// Returns the live gateways that are not `excluded`, in the order in which they are asked for a shard's blocks.
    pub(crate) fn order(
        &self,
        state: &ControlState,
        excluded: &BTreeSet<NodeId>,
        shard: ShardId,
        turn: Turn,
    ) -> Vec<NodeId> {
        let live = state.live(Role::Gateway).map(|member| member.node);
        let mut order = rendezvous::of_shard(shard, live);
        let owners = self.replicas.min(order.len());
        if owners > 1 {
            order[..owners].rotate_left(turn.0 % owners);
        }
        order.retain(|gateway| !excluded.contains(gateway));
        let now = Instant::now();
        let mut failed = self.failed.lock();
        failed.retain(|_, at| now.duration_since(*at) < FAILED_FOR);
        order.sort_by_key(|gateway| failed.contains_key(gateway));
        order
    }
}

#[cfg(test)]
mod tests {
    use cluster::{ClusterSettings, Command};

    use super::*;

    fn state(gateways: usize) -> ControlState {
        let mut state = ControlState::default();
        let settings = ClusterSettings {
            name: "test".into(),
            uuid: String::new(),
            external_labels: Default::default(),
            block_duration_ms: 1,
            out_of_order_window_ms: 0,
            shards: 1,
            replicas: 1,
            exemplars_max: 0,
        };
        state.apply(Command::Establish { settings, ingesters: vec![] });
        for number in 0..gateways {
            state.apply(Command::Join {
                name: number.to_string(),
                role: Role::Gateway,
                zone: String::new(),
                grpc_address: String::new(),
                http_address: String::new(),
                disk_id: String::new(),
            });
        }
        state
    }

    #[tokio::test(start_paused = true)]
    async fn owners_take_turns_and_a_failed_one_comes_last_for_a_while() {
        let state = state(5);
        let owners = Owners::new(2);
        let none = BTreeSet::new();
        let order = |turn| owners.order(&state, &none, ShardId(7), turn);
        let first = order(owners.turn());
        let second = order(owners.turn());
        assert_eq!((first[0], first[1], &first[2..]), (second[1], second[0], &second[2..]));
        assert_eq!(order(owners.turn()), first);
        owners.failed(first[0]);
        assert_eq!(order(Turn(0)), [&first[1..], &first[..1]].concat());
        assert_eq!(order(Turn(1)), [&first[1..], &first[..1]].concat());
        let excluded = BTreeSet::from([first[1]]);
        assert_eq!(owners.order(&state, &excluded, ShardId(7), Turn(0)).last(), Some(&first[0]));
        tokio::time::advance(FAILED_FOR).await;
        assert_eq!(order(Turn(0)), first);
    }

    #[test]
    fn one_gateway_or_none_is_enough() {
        let owners = Owners::new(3);
        let none = BTreeSet::new();
        assert_eq!(owners.order(&state(1), &none, ShardId(1), Turn(1)).len(), 1);
        assert_eq!(owners.order(&state(0), &none, ShardId(1), Turn(1)), []);
    }
}
