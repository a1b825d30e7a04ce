//! The task that belongs to a running group: it tells who leads, takes the snapshots that are due, and silences
//! a leader that nobody answers.
//!
//! It ends when the group stops; [`crate::Group::stop`] waits for it.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;

use crate::api::Leadership;
use crate::group::Running;
use crate::mute;

/// Runs until the group stops.
pub(crate) async fn run(running: Running, leadership: watch::Sender<Leadership>, lease: Duration) {
    let snapshots = take_due_snapshots(&running);
    let telling = tell_leadership(&running, &leadership);
    tokio::select! {
        () = telling => {}
        () = snapshots => {}
        () = mute::watch(&running, lease) => {}
    }
    leadership.send_modify(|now| now.leader = None);
}

/// Passes on each change of leader or term; returns when the group has stopped.
async fn tell_leadership(running: &Running, leadership: &watch::Sender<Leadership>) {
    let mut metrics = running.raft.metrics();
    loop {
        let (now, is_running) = {
            let seen = metrics.borrow_and_update();
            let now = Leadership { leader: seen.current_leader.map(model::NodeId), term: seen.current_term };
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
