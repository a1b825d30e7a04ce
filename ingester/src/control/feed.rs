//! The applied control state, and the recent commands that led to it, for everybody who watches.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use cluster::ControlState;
use parking_lot::Mutex;
use proto::control::WatchEvent;
use proto::control::watch_event::Event;
use tokio::sync::watch;

/// How many commands are kept for watchers that lag; who lags further gets a snapshot.
const RECENT_MAX: usize = 1024;
/// How many events one read returns at the most.
const EVENTS_MAX: usize = 256;

/// Written by the control group's apply, read by services and workers.
pub(crate) struct Feed {
    recent: Mutex<VecDeque<(u64, Bytes)>>,
    state: watch::Sender<Arc<ControlState>>,
}

impl Feed {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            recent: Mutex::default(),
            state: watch::Sender::new(Arc::new(ControlState::default())),
        })
    }

    /// Returns the state as applied by this replica.
    pub(crate) fn state(&self) -> Arc<ControlState> {
        self.state.borrow().clone()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<ControlState>> {
        self.state.subscribe()
    }

    /// Publishes the state after one command.
    pub(super) fn advance(&self, state: Arc<ControlState>, command: Bytes) {
        let mut recent = self.recent.lock();
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back((state.version, command));
        self.state.send_replace(state);
    }

    /// Publishes a state that does not follow from the last one by a command.
    pub(super) fn reset(&self, state: Arc<ControlState>) {
        self.recent.lock().clear();
        self.state.send_replace(state);
    }

    /// Returns what a watcher at `version` must see next, in order; empty when it is up to date.
    pub(crate) fn events_after(&self, version: u64) -> Vec<WatchEvent> {
        let recent = self.recent.lock();
        let state = self.state();
        if version >= state.version {
            return Vec::new();
        }
        let known = recent.front().is_some_and(|(first, _)| *first <= version + 1);
        if version == 0 || !known {
            let snapshot = Event::Snapshot(state.encode().into());
            return vec![WatchEvent { version: state.version, event: Some(snapshot) }];
        }
        let missed = recent.iter().filter(|(at, _)| *at > version).take(EVENTS_MAX);
        missed
            .map(|(at, command)| WatchEvent { version: *at, event: Some(Event::Command(command.clone())) })
            .collect()
    }
}
