//! Who scrapes what: a pure function of the control state.

use std::sync::Arc;

use cluster::{ControlState, Role, rendezvous};
use model::NodeId;
use session::Membership;

use crate::target::Target;

/// What decides about ownership. Equal values mean equal ownership.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ownership {
    /// This scraper, while its lease stands.
    own: Option<NodeId>,
    /// All live scrapers, in the order of their ids.
    live: Vec<NodeId>,
}

impl Ownership {
    /// Reads it from the control state. A member that the state does not show as live under the same epoch owns nothing.
    pub(crate) fn new(membership: Option<Membership>, state: &ControlState) -> Self {
        let own = membership.filter(|m| state.is_current(m.node, m.epoch)).map(|m| m.node);
        let mut live: Vec<NodeId> = state.live(Role::Scraper).map(|member| member.node).collect();
        live.sort_unstable();
        let own = own.filter(|node| live.contains(node));
        Self { own, live }
    }

    /// Tells whether this scraper may act at all.
    pub(crate) fn is_member(&self) -> bool {
        self.own.is_some()
    }

    /// Tells whether this scraper owns what has this identity.
    pub(crate) fn owns(&self, identity: u64) -> bool {
        self.own.is_some()
            && rendezvous::owner(&identity.to_le_bytes(), self.live.iter().copied()) == self.own
    }

    /// Returns the targets of this scraper.
    pub(crate) fn owned<'a>(&self, targets: &'a [Arc<Target>]) -> impl Iterator<Item = &'a Arc<Target>> {
        targets.iter().filter(|target| self.owns(target.identity))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ownership(own: u64, live: &[u64]) -> Ownership {
        Ownership { own: Some(NodeId(own)), live: live.iter().copied().map(NodeId).collect() }
    }

    #[test]
    fn each_target_has_exactly_one_owner() {
        let live = [3, 5, 9];
        for identity in 0..1000 {
            let owners = live.iter().filter(|own| ownership(**own, &live).owns(identity)).count();
            assert_eq!(owners, 1, "target {identity}");
        }
    }

    #[test]
    fn a_scraper_that_leaves_moves_only_its_own_targets() {
        for identity in 0..1000 {
            let before = ownership(3, &[3, 5, 9]).owns(identity);
            let after = ownership(3, &[3, 9]).owns(identity);
            assert!(!before || after, "target {identity} was taken from a scraper that stayed");
        }
    }

    #[test]
    fn without_membership_nothing_is_owned() {
        let lapsed = Ownership { own: None, live: vec![NodeId(1)] };
        assert!(!lapsed.is_member() && !(0..100).any(|identity| lapsed.owns(identity)));
        assert_eq!(Ownership::new(None, &ControlState::default()), Ownership::default());
    }
}
