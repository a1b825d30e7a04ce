//! The worker of one group: waits for its turn, evaluates slot after slot, gives the group back.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cluster::{Command, ControlState, Fence};
use model::{Epoch, NodeId};
use service::chain;
use session::Membership;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::group::{Evaluated, Evaluator};
use crate::role::now_ms;
use crate::schedule::Schedule;
use crate::turn::{Turn, live_rulers, turn};

/// How long a free group is left to the ruler that should have it: a heartbeat and an election.
const TAKE_LATER_GRACE: Duration = Duration::from_secs(5);
/// The pause while there is no membership, and after an attempt that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// One group's worker.
pub(crate) struct Worker {
    pub(crate) evaluator: Evaluator,
    pub(crate) schedule: Schedule,
    pub(crate) lease: String,
}

/// The right to evaluate.
struct Held {
    membership: Membership,
    /// The live rulers among which the group was left over; empty when it was not.
    left_over_among: Vec<NodeId>,
}

impl Worker {
    /// Runs until shutdown. An evaluation under way is dropped then.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let metrics = self.evaluator.metrics.held.clone();
        tokio::select! {
            () = self.run_turns() => {}
            () = shutdown.cancelled() => {}
        }
        if self.evaluator.status.get().held {
            metrics.dec();
            self.evaluator.status.set_held(false);
        }
        Ok(())
    }

    async fn run_turns(&mut self) {
        self.evaluator.session.wait_joined().await;
        loop {
            let held = self.take().await;
            self.evaluator.metrics.held.inc();
            self.evaluator.status.set_held(true);
            info!(lease = self.lease, "evaluating a rule group");
            self.evaluate_slots(&held).await;
            self.evaluator.status.set_held(false);
            self.evaluator.metrics.held.dec();
            self.evaluator.forget();
            info!(lease = self.lease, "no longer evaluating a rule group");
        }
    }

    /// Waits until the group is held here, and known to be in the copy of the control state.
    async fn take(&self) -> Held {
        let session = &self.evaluator.session;
        let mut states = session.watch();
        let mut left_over_among = Vec::new();
        loop {
            let Some(membership) = session.membership() else {
                tokio::time::sleep(RETRY_PAUSE).await;
                continue;
            };
            match self.turn_of(&session.state(), membership, &left_over_among) {
                Turn::Hold(_) => return Held { membership, left_over_among },
                Turn::GiveBack(epoch) => self.give_back(epoch).await,
                Turn::Take => self.try_take(&mut states).await,
                Turn::TakeLater => {
                    let taken = states.wait_for(|state| !self.is_left_over(state, membership));
                    if tokio::time::timeout(TAKE_LATER_GRACE, taken).await.is_err() {
                        left_over_among = live_rulers(&session.state());
                        self.try_take(&mut states).await;
                    }
                }
                Turn::Wait => {
                    let free = states.wait_for(|state| self.turn_of(state, membership, &[]) != Turn::Wait);
                    // The limit bounds how long a lapsed membership goes unnoticed here.
                    drop(tokio::time::timeout(TAKE_LATER_GRACE, free).await);
                }
            }
        }
    }

    fn turn_of(&self, state: &ControlState, membership: Membership, left_over_among: &[NodeId]) -> Turn {
        turn(state, &self.lease, membership.node, left_over_among)
    }

    fn is_left_over(&self, state: &ControlState, membership: Membership) -> bool {
        self.turn_of(state, membership, &[]) == Turn::TakeLater
    }

    /// Asks for the lease; returns when the copy of the control state shows what came of it, or after a pause.
    async fn try_take(&self, states: &mut watch::Receiver<Arc<ControlState>>) {
        match self.evaluator.session.acquire_lease(&self.lease).await {
            Ok(epoch) => {
                let shown = states.wait_for(|state| {
                    state.leases.get(&self.lease).is_some_and(|lease| lease.epoch >= epoch)
                });
                drop(tokio::time::timeout(TAKE_LATER_GRACE, shown).await);
            }
            Err(error) => {
                info!(lease = self.lease, error = chain(&error), "a rule group's lease is not to be had now");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    /// Evaluates until the group is no longer this ruler's.
    async fn evaluate_slots(&mut self, held: &Held) {
        let mut slot_ms = self.schedule.next_after(now_ms());
        loop {
            let due = tokio::select! {
                due = wait_for_slot(self.schedule, slot_ms) => due,
                give_back = self.until_not_held(held) => {
                    if let Some(epoch) = give_back {
                        self.give_back(epoch).await;
                    }
                    return;
                }
            };
            let (due_ms, missed) = due;
            self.evaluator.metrics.iterations.inc_by(missed + 1);
            self.evaluator.metrics.missed.inc_by(missed);
            if self.evaluator.evaluate(due_ms, held.membership).await == Evaluated::Stopped {
                return;
            }
            slot_ms = due_ms + self.schedule.interval_ms();
        }
    }

    /// Returns when the lease is another's, with `None`, or should be given back, with its epoch.
    async fn until_not_held(&self, held: &Held) -> Option<Epoch> {
        let mut states = self.evaluator.session.watch();
        let not_held = |state: &ControlState| {
            !matches!(self.turn_of(state, held.membership, &held.left_over_among), Turn::Hold(_))
        };
        let state = states.wait_for(|state| not_held(state)).await;
        match state.map(|state| self.turn_of(&state, held.membership, &held.left_over_among)) {
            Ok(Turn::GiveBack(epoch)) => Some(epoch),
            _ => None,
        }
    }

    /// Gives the lease back, and waits until the copy of the control state shows it: until then it looks as if held.
    async fn give_back(&self, epoch: Epoch) {
        let session = &self.evaluator.session;
        let command = Command::ReleaseLease { fence: Fence { lease: self.lease.clone(), epoch } };
        if let Err(error) = session.propose(&command).await {
            warn!(lease = self.lease, error = chain(&error), "a rule group's lease was not given back");
            return;
        }
        let mut states = session.watch();
        let is_gone =
            |state: &ControlState| state.leases.get(&self.lease).is_none_or(|lease| lease.epoch != epoch);
        while session.membership().is_some() {
            if tokio::time::timeout(RETRY_PAUSE, states.wait_for(|state| is_gone(state))).await.is_ok() {
                return;
            }
        }
    }
}

/// Waits for a slot; returns the newest one that is due by then, and how many were missed.
///
/// Follows the wall clock: after a step back, slots begin anew from the new time.
async fn wait_for_slot(schedule: Schedule, mut slot_ms: i64) -> (i64, u64) {
    loop {
        let now_ms = now_ms();
        if now_ms >= slot_ms {
            return schedule.due(slot_ms, now_ms);
        }
        if slot_ms - now_ms > schedule.interval_ms() {
            slot_ms = schedule.next_after(now_ms);
        }
        tokio::time::sleep(Duration::from_millis((slot_ms - now_ms) as u64)).await;
    }
}
