//! Follows the stream of control commands and keeps a copy of the state.

use std::sync::Arc;
use std::time::Duration;

use cluster::{Command, ControlState};
use proto::connect::Connector;
use proto::control::control_client::ControlClient as Generated;
use proto::control::watch_event::Event;
use proto::control::{WatchEvent, WatchRequest};
use tokio::sync::watch;
use tracing::{debug, warn};

use crate::ControlClient;

/// The pause before the next ingester is asked for the stream.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How long the stream may be silent; the server sends a snapshot or command at least this often, or the peer is gone.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// Follows for ever, from one ingester after the other. Cancel-safe: the state stays as of the last whole event.
pub(crate) async fn follow(
    client: &ControlClient,
    connector: &Connector,
    state: &watch::Sender<Arc<ControlState>>,
) {
    let mut round = 0usize;
    loop {
        let present = state.borrow().clone();
        let candidates = client.candidates(&present);
        if let Some(address) = candidates.get(round % candidates.len().max(1)) {
            match follow_one(connector, address, state).await {
                Ok(()) => debug!(address, "control stream ended"),
                Err(reason) => debug!(address, reason, "control stream broke"),
            }
        }
        round += 1;
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

async fn follow_one(
    connector: &Connector,
    address: &str,
    state: &watch::Sender<Arc<ControlState>>,
) -> Result<(), String> {
    let channel = connector.channel(address)?;
    let from_version = state.borrow().version;
    let request = WatchRequest { from_version };
    let mut client = Generated::new(channel).max_decoding_message_size(proto::connect::MESSAGE_BYTES_MAX);
    let answer = client.watch(request).await;
    let mut stream = answer.map_err(|status| status.message().to_owned())?.into_inner();
    loop {
        let next = tokio::time::timeout(SILENCE_MAX, stream.message()).await;
        let event = next
            .map_err(|_| "silent for too long".to_owned())?
            .map_err(|status| status.message().to_owned())?;
        let Some(event) = event else { return Ok(()) };
        absorb(event, state)?;
    }
}

fn absorb(event: WatchEvent, state: &watch::Sender<Arc<ControlState>>) -> Result<(), String> {
    let version = state.borrow().version;
    let next = match event.event {
        // An event without content says only that the stream lives.
        None => return Ok(()),
        Some(Event::Snapshot(bytes)) => {
            let snapshot = ControlState::decode(&bytes)?;
            if snapshot.version < version {
                return Err(format!("the ingester is behind: version {} after {version}", snapshot.version));
            }
            snapshot
        }
        Some(Event::Command(_)) if event.version <= version => return Ok(()),
        Some(Event::Command(bytes)) => {
            let command = Command::decode(&bytes)?;
            let mut next = (**state.borrow()).clone();
            next.apply(command);
            if next.version != event.version {
                warn!(
                    expected = next.version,
                    got = event.version,
                    "control stream has a gap; starting from a snapshot"
                );
                state.send_replace(Arc::new(ControlState::default()));
                return Err("gap in the stream".to_owned());
            }
            next
        }
    };
    state.send_replace(Arc::new(next));
    Ok(())
}
