//! The task that belongs to a running group: it tells who leads, takes the snapshots that are due, silences a
//! leader that nobody answers, and founds the group if nobody else does.
//!
//! It ends when the group stops; [`crate::Group::stop`] waits for it.

use std::collections::BTreeSet;
use std::time::Duration;

use model::NodeId;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;

use crate::api::Leadership;
use crate::group::Running;
use crate::mute;

/// How many leases a member waits for the group to be founded by another.
const LEASES_BEFORE_FOUNDING: u32 = 3;

/// Runs until the group stops.
pub(crate) async fn run(
    running: Running,
    leadership: watch::Sender<Leadership>,
    initial: BTreeSet<NodeId>,
    lease: Duration,
) {
    let snapshots = take_due_snapshots(&running);
    let telling = tell_leadership(&running, &leadership);
    tokio::select! {
        () = telling => {}
        () = snapshots => {}
        () = mute::watch(&running, lease) => {}
        () = found_late(&running, &initial, lease) => {}
    }
    leadership.send_modify(|now| now.leader = None);
}

/// Passes on each change of leader or term; returns when the group has stopped.
async fn tell_leadership(running: &Running, leadership: &watch::Sender<Leadership>) {
    let mut metrics = running.raft.metrics();
    loop {
        let (now, is_running) = {
            let seen = metrics.borrow_and_update();
            let now = Leadership { leader: seen.current_leader.map(NodeId), term: seen.current_term };
            (now, seen.running_state.is_ok())
        };
        if !is_running {
            return;
        }
        leadership.send_if_modified(|before| std::mem::replace(before, now) != now);
        if metrics.changed().await.is_err() {
            return;
        }
    }
}

/// Founds the group in place of the lowest of its members, when nothing is heard of it.
///
/// If all founded it at once, each would stand for election at once, and depose whoever was elected just before.
async fn found_late(running: &Running, initial: &BTreeSet<NodeId>, lease: Duration) {
    if initial.contains(&running.me) {
        tokio::time::sleep(lease * LEASES_BEFORE_FOUNDING).await;
        if let Err(error) = running.initialize(initial).await {
            tracing::warn!(group = %running.id, %error, "the group cannot be founded");
        }
    }
    std::future::pending().await
}

/// Takes a snapshot whenever enough was applied since the last one.
async fn take_due_snapshots(running: &Running) {
    loop {
        running.machine.shared.snapshot_is_due.notified().await;
        if let Err(error) = running.snapshot().await {
            tracing::warn!(group = %running.id, %error, "a snapshot was given up; the log is kept");
            running.machine.shared.postpone_snapshot();
        }
    }
}
