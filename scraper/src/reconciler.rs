//! Keeps what is scraped here equal to what is owned here.
//!
//! Woken by a new control state, by new targets, and once a second by the clock, since a lease lapses without any message.
//! The plan is pure ([`Ownership`]); carrying it out is starting loops that are missing and ending those that are too many.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use service::{Context, ReadyGate};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::discovery::TargetList;
use crate::ownership::Ownership;
use crate::role::Shared;
use crate::status::{Board, Shown, TargetStatus};
use crate::target::Target;
use crate::target_loop::{self, End};

/// How often the lease is looked at when nothing else happens; well below what a lease has to spare.
const LEASE_CHECK: Duration = Duration::from_secs(1);

/// The reconciler's state.
pub(crate) struct Reconciler {
    shared: Arc<Shared>,
    board: Arc<Board>,
    targets: watch::Receiver<Arc<TargetList>>,
    gate: ReadyGate,
    loops: JoinSet<()>,
    running: HashMap<u64, Running>,
    /// What was carried out last.
    carried_out: Option<(Ownership, Arc<TargetList>)>,
}

struct Running {
    end: oneshot::Sender<End>,
    status: Arc<TargetStatus>,
}

impl Reconciler {
    pub(crate) fn new(
        shared: Arc<Shared>,
        board: Arc<Board>,
        targets: watch::Receiver<Arc<TargetList>>,
        context: &Context,
    ) -> Self {
        Self {
            gate: context.gate("scraper membership"),
            shared,
            board,
            targets,
            loops: JoinSet::new(),
            running: HashMap::new(),
            carried_out: None,
        }
    }

    /// Runs until shutdown; then hands all targets over and waits for the last appends.
    ///
    /// # Errors
    /// When a loop panicked.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), JoinError> {
        let mut states = self.shared.session.watch();
        let mut ticks = tokio::time::interval(LEASE_CHECK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut sources_gone = false;
        while !shutdown.is_cancelled() && !sources_gone {
            self.reconcile();
            tokio::select! {
                () = shutdown.cancelled() => {}
                changed = states.changed() => sources_gone = changed.is_err(),
                changed = self.targets.changed() => sources_gone = changed.is_err(),
                _ = ticks.tick() => {}
            }
            while let Some(Some(ended)) = self.loops.join_next().now_or_never() {
                ended?;
            }
        }
        // Dropping the senders hands the targets over.
        self.running.clear();
        while let Some(ended) = self.loops.join_next().await {
            if let Err(fault) = ended {
                error!(%fault, "a target's loop failed while it ended");
            }
        }
        Ok(())
    }

    fn reconcile(&mut self) {
        let ownership = Ownership::new(self.shared.session.membership(), &self.shared.session.state());
        let targets = self.targets.borrow_and_update().clone();
        let is_carried_out =
            |(owned, list): &(Ownership, Arc<TargetList>)| *owned == ownership && Arc::ptr_eq(list, &targets);
        if self.carried_out.as_ref().is_some_and(is_carried_out) {
            return;
        }
        self.end_superfluous(&ownership, &targets);
        self.start_missing(&ownership, &targets);
        self.show(&ownership, &targets);
        info!(owned = self.running.len(), known = targets.targets.len(), "targets assigned");
        if ownership.is_member() {
            self.gate.open();
        } else {
            self.gate.close("no live membership, nothing is scraped");
        }
        self.carried_out = Some((ownership, targets));
    }

    fn end_superfluous(&mut self, ownership: &Ownership, targets: &TargetList) {
        let known: HashMap<u64, &Arc<Target>> =
            targets.targets.iter().map(|target| (target.identity, target)).collect();
        // A target that is scraped differently from now on, under the same labels, starts afresh without markers.
        let stays = |identity: &u64, running: &Running| {
            let known = known.get(identity);
            known.is_some_and(|known| known.is_scraped_like(&running.status.target))
                && ownership.owns(*identity)
        };
        let superfluous: Vec<u64> = self
            .running
            .iter()
            .filter(|(identity, running)| !stays(identity, running))
            .map(|(identity, _)| *identity)
            .collect();
        for identity in superfluous {
            let Some(running) = self.running.remove(&identity) else { continue };
            let removed = !known.contains_key(&identity) && ownership.is_member();
            let end = if removed { End::Removed } else { End::HandedOver };
            // A loop that ended by itself is gone already.
            let _ = running.end.send(end);
        }
    }

    fn start_missing(&mut self, ownership: &Ownership, targets: &TargetList) {
        for target in ownership.owned(&targets.targets) {
            if self.running.contains_key(&target.identity) {
                continue;
            }
            let status = Arc::new(TargetStatus::new(target.clone()));
            let (end, ended) = oneshot::channel();
            self.loops.spawn(target_loop::run(self.shared.clone(), status.clone(), ended));
            self.running.insert(target.identity, Running { end, status });
        }
    }

    /// Shows the owned targets, and those dropped ones that fall to this scraper, so that each is shown by one.
    fn show(&self, ownership: &Ownership, targets: &TargetList) {
        let dropped =
            targets.dropped.iter().filter(|dropped| ownership.owns(dropped.discovered.stable_hash()));
        let active = self.running.iter().map(|(identity, running)| (*identity, running.status.clone()));
        self.board.show(Shown { active: active.collect(), dropped: dropped.cloned().collect() });
        let mut owned: HashMap<&str, usize> = HashMap::new();
        for running in self.running.values() {
            *owned.entry(&running.status.target.job.job_name).or_default() += 1;
        }
        self.shared.metrics.forget_jobs();
        for (job, discovered) in &targets.jobs {
            let owned = owned.get(job.as_str()).copied().unwrap_or(0);
            self.shared.metrics.set_targets(job, *discovered, owned);
        }
    }
}
