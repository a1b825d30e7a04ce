//! Why a process is not ready: closed gates, and failures that stay.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// How many failures are kept by name; later ones are counted only in the log.
const FAILURES_MAX: usize = 64;

#[derive(Default)]
pub(crate) struct Readiness {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next_gate: u64,
    /// Closed gates with what they stand for and why they are closed.
    closed: BTreeMap<u64, (Cow<'static, str>, String)>,
    failures: Vec<String>,
}

impl Readiness {
    pub(crate) fn check(&self) -> Result<(), Vec<String>> {
        let state = self.state.lock();
        let gates = state.closed.values().map(|(what, reason)| format!("{what}: {reason}"));
        let reasons: Vec<String> = gates.chain(state.failures.iter().cloned()).collect();
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }

    pub(crate) fn fail(&self, reason: String) {
        let mut state = self.state.lock();
        if state.failures.len() < FAILURES_MAX {
            state.failures.push(reason);
        }
    }
}

/// One thing that must be up before the process is ready; closed at first, and for good if it is dropped closed.
pub struct ReadyGate {
    readiness: Arc<Readiness>,
    what: Cow<'static, str>,
    id: u64,
}

impl ReadyGate {
    pub(crate) fn new(readiness: Arc<Readiness>, what: Cow<'static, str>) -> Self {
        let id = {
            let mut state = readiness.state.lock();
            state.next_gate += 1;
            let id = state.next_gate;
            state.closed.insert(id, (what.clone(), "starting".to_owned()));
            id
        };
        Self { readiness, what, id }
    }

    /// Says that it is up.
    pub fn open(&self) {
        self.readiness.state.lock().closed.remove(&self.id);
    }

    /// Says why it is not up.
    pub fn close(&self, reason: impl Into<String>) {
        self.readiness.state.lock().closed.insert(self.id, (self.what.clone(), reason.into()));
    }
}
