//! Whose turn a rule group is, as a pure function of the control state.
//!
//! Rendezvous hashing spreads the groups over the live rulers. The ruler that should have a group takes its lease when
//! it is free, and a holder gives a group back when another one should have it, as after a ruler joined. A group that stays
//! free for a grace, since the one that should have it does not know it, is left over: another takes it, and keeps it for
//! as long as the same rulers live.

use cluster::{ControlState, Role, rendezvous};
use model::{Epoch, NodeId};

/// What to do about one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Evaluate: the lease is held with this epoch.
    Hold(Epoch),
    /// Take the lease.
    Take,
    /// Take the lease if it stays free for the grace.
    TakeLater,
    /// Another ruler has it.
    Wait,
    /// Give the lease of this epoch back.
    GiveBack(Epoch),
}

/// Returns the live rulers in the order of their ids.
pub(crate) fn live_rulers(state: &ControlState) -> Vec<NodeId> {
    state.live(Role::Ruler).map(|member| member.node).collect()
}

/// Returns what `node` has to do about a group. `left_over_among` are the live rulers among which it was left over; empty
/// when it was not.
pub(crate) fn turn(state: &ControlState, lease: &str, node: NodeId, left_over_among: &[NodeId]) -> Turn {
    let rulers = live_rulers(state);
    let should_have = rendezvous::owner(lease.as_bytes(), rulers.iter().copied()) == Some(node);
    match state.leases.get(lease) {
        Some(held) if held.holder != node => Turn::Wait,
        Some(held) if should_have || rulers == left_over_among => Turn::Hold(held.epoch),
        Some(held) => Turn::GiveBack(held.epoch),
        None if should_have => Turn::Take,
        None => Turn::TakeLater,
    }
}

#[cfg(test)]
mod tests {
    use ::tests::control::MemControl;
    use cluster::{Command, Response};
    use proto::connect::Connector;

    use super::*;

    const LEASE: &str = "ruler/f/g";

    struct Bench(MemControl);

    impl Bench {
        fn new() -> Self {
            Self(MemControl::start(&Connector::default()))
        }

        fn join(&self, name: &str) -> NodeId {
            self.0.add_member(Role::Ruler, name, "")
        }

        fn take(&self, node: NodeId) -> Epoch {
            let member_epoch = self.0.state().members[&node].epoch;
            match self.0.apply(Command::AcquireLease { lease: LEASE.into(), node, member_epoch }) {
                Response::Leased { epoch } => epoch,
                other => panic!("{other:?}"),
            }
        }

        fn turn(&self, node: NodeId, left_over_among: &[NodeId]) -> Turn {
            turn(&self.0.state(), LEASE, node, left_over_among)
        }

        /// Joins rulers until there is one that should have the group and one that should not.
        fn two_rulers(&self) -> (NodeId, NodeId) {
            let nodes = [self.join("a"), self.join("b")];
            let owner = rendezvous::owner(LEASE.as_bytes(), nodes).expect("two nodes");
            (owner, if nodes[0] == owner { nodes[1] } else { nodes[0] })
        }
    }

    #[test]
    fn the_one_that_should_takes_at_once_and_the_other_later() {
        let bench = Bench::new();
        let (owner, other) = bench.two_rulers();
        assert_eq!(bench.turn(owner, &[]), Turn::Take);
        assert_eq!(bench.turn(other, &[]), Turn::TakeLater);
        let epoch = bench.take(owner);
        assert_eq!(bench.turn(owner, &[]), Turn::Hold(epoch));
        assert_eq!(bench.turn(other, &[]), Turn::Wait);
        bench.0.expire(owner);
        assert_eq!(bench.turn(other, &[]), Turn::Take, "alone, it is the one that should");
    }

    #[test]
    fn a_group_is_given_back_unless_it_was_left_over() {
        let bench = Bench::new();
        let (owner, other) = bench.two_rulers();
        let epoch = bench.take(other);
        assert_eq!(bench.turn(other, &[]), Turn::GiveBack(epoch), "it was alone and is no more");
        assert_eq!(bench.turn(other, &[other]), Turn::GiveBack(epoch), "a ruler came since");
        let both = live_rulers(&bench.0.state());
        assert_eq!(bench.turn(other, &both), Turn::Hold(epoch), "the one that should have it left it");
        bench.0.expire(owner);
        assert_eq!(bench.turn(other, &[]), Turn::Hold(epoch), "alone, it is the one that should");
    }
}
