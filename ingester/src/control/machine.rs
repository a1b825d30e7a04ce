//! The control group's state machine: commands in, state and answers out.

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use cluster::{Command, ControlState, Response, StateError};
use consensus::StateMachine;

use super::feed::Feed;

/// The largest control state that a snapshot may hold; a longer one is damaged.
const SNAPSHOT_BYTES_MAX: u64 = 1 << 30;

/// Applies the control group's log.
pub(crate) struct ControlMachine {
    state: ControlState,
    feed: Arc<Feed>,
}

impl ControlMachine {
    pub(crate) fn new(feed: Arc<Feed>) -> Self {
        Self { state: ControlState::default(), feed }
    }
}

impl StateMachine for ControlMachine {
    fn apply(&mut self, _index: u64, command: &[u8]) -> Bytes {
        let response = match Command::decode(command) {
            Ok(decoded) => {
                let response = self.state.apply(decoded);
                self.feed.advance(Arc::new(self.state.clone()), Bytes::copy_from_slice(command));
                response
            }
            // The proposer decodes before it proposes, so only a newer version's command comes here.
            Err(fault) => Response::Refused(StateError::Conflict(fault)),
        };
        response.encode().into()
    }

    fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.state.encode())
    }

    fn restore(&mut self, input: &mut dyn Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        input.take(SNAPSHOT_BYTES_MAX).read_to_end(&mut bytes)?;
        self.state = ControlState::decode(&bytes).map_err(io::Error::other)?;
        self.feed.reset(Arc::new(self.state.clone()));
        Ok(())
    }
}
