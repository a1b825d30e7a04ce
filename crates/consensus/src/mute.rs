//! A leader that hears no majority holds its tongue for a while.
//!
//! A leader that can send but not receive would otherwise keep its followers from electing another, for ever: each of
//! its messages renews their lease, while it commits nothing. openraft pauses the heartbeats of such a leader, not
//! its attempts to send entries; this pauses both.

use std::time::Duration;

use openraft::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::group::Running;

/// How many leases may pass without an answer of a majority.
const LEASES_WITHOUT_ANSWER: u32 = 2;

/// How many leases the silence lasts: one to run out, the rest to elect another leader.
const LEASES_OF_SILENCE: u32 = 3;

/// Whether this node is silent in a group.
#[derive(Default)]
pub(crate) struct Mute {
    until: Mutex<Option<Instant>>,
}

impl Mute {
    pub(crate) fn is_muted(&self) -> bool {
        self.until.lock().is_some_and(|until| Instant::now() < until)
    }

    fn begin(&self, duration: Duration) {
        *self.until.lock() = Some(Instant::now() + duration);
    }
}

/// Watches the answers for as long as the group runs.
pub(crate) async fn watch(running: &Running, lease: Duration) {
    let mut leading_since: Option<(u64, Instant)> = None;
    let mut ticks = tokio::time::interval(lease / 2);
    loop {
        ticks.tick().await;
        let metrics = running.raft.metrics().borrow_watched().clone();
        let has_others = metrics.membership_config.membership().voter_ids().nth(1).is_some();
        if !metrics.state.is_leader() || !has_others {
            leading_since = None;
            continue;
        }
        let term = metrics.current_term;
        if leading_since.is_none_or(|(since, _)| since != term) {
            leading_since = Some((term, Instant::now()));
        }
        let since = leading_since.map_or(Duration::ZERO, |(_, since)| since.elapsed());
        let silence = metrics.last_quorum_acked.map_or(since, |acked| acked.into_inner().elapsed());
        if silence > lease * LEASES_WITHOUT_ANSWER && !running.mute.is_muted() {
            tracing::warn!(group = %running.id, term, ?silence, "no majority answers: this leader falls silent");
            running.mute.begin(lease * LEASES_OF_SILENCE);
        }
    }
}
