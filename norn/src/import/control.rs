//! The importer's part in its cluster: a membership while it works, claims and commits.
//!
//! At most one importer works at a time: it is the member `import`, and who comes later waits until that membership has
//! ended. One that was killed is waited for until its lease lapses.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cluster::{Command, ControlState, ImportUnit, Response, Role};
use model::{BlockId, BlockMeta, Epoch, ErrorKind};
use proto::connect::Connector;
use proto::control::WatchRequest;
use proto::control::control_client::ControlClient;
use proto::control::watch_event::Event;
use session::{Membership, Session, SessionConfig, SessionError};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fault::Fault;

/// The name of whoever imports.
const NAME: &str = "import";
/// What it is a member as: it does what compactors do, writes blocks and commits them.
const ROLE: Role = Role::Compactor;
/// How long the cluster's answers may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long another importer is waited for, and how often it is looked at: longer than a lease.
const OTHER_PATIENCE: Duration = Duration::from_secs(40);
const OTHER_PAUSE: Duration = Duration::from_millis(500);
/// How long joining may take.
const JOIN_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a command is proposed while nobody leads the control group.
const PROPOSALS_MAX: u32 = 5;

/// Which cluster.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) name: String,
    /// `host:port` of ingesters.
    pub(super) addresses: Vec<String>,
}

impl Cluster {
    /// Reads the control state once, from whoever answers first.
    pub(super) async fn state(&self) -> Result<ControlState, Fault> {
        let connector = Connector::default();
        let mut last = "no address is given".to_owned();
        for address in &self.addresses {
            match tokio::time::timeout(ANSWER_TIMEOUT, snapshot(&connector, address)).await {
                Ok(Ok(state)) if state.settings.is_some() => return Ok(state),
                Ok(Ok(_)) => last = format!("{address}: the cluster is not founded yet"),
                Ok(Err(error)) => last = format!("{address}: {error}"),
                Err(_) => last = format!("{address}: no answer in time"),
            }
        }
        Err(Fault::failed(format!(
            "no ingester answered: {last}: correct --cluster.address or start the cluster"
        )))
    }

    /// Becomes the importer.
    pub(super) async fn join(&self) -> Result<Importer, Fault> {
        self.await_other().await?;
        let config = SessionConfig {
            cluster: self.name.clone(),
            seeds: self.addresses.clone(),
            role: ROLE,
            name: NAME.to_owned(),
            zone: String::new(),
            grpc_address: String::new(),
            http_address: String::new(),
            disk_id: None,
        };
        let session = Session::new(config, Connector::default());
        let shutdown = CancellationToken::new();
        let mut run = tokio::spawn(Arc::clone(&session).run(shutdown.clone()));
        let joined = tokio::select! {
            joined = tokio::time::timeout(JOIN_TIMEOUT, session.wait_joined()) => joined.is_ok(),
            ended = &mut run => {
                let reason = match ended {
                    Ok(Err(error)) => error.to_string(),
                    _ => "the session ended".to_owned(),
                };
                return Err(Fault::failed(format!("cannot join the cluster: {reason}")));
            }
        };
        match session.membership().filter(|_| joined) {
            Some(membership) => Ok(Importer { session, membership, shutdown, run }),
            None => Err(Fault::failed("cannot join the cluster: nobody leads its control group")),
        }
    }

    async fn await_other(&self) -> Result<(), Fault> {
        let deadline = tokio::time::Instant::now() + OTHER_PATIENCE;
        let mut told = false;
        loop {
            let state = self.state().await?;
            let is_other = state.live(ROLE).any(|member| member.name == NAME);
            if !is_other {
                return Ok(());
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(Fault::failed(
                    "another import is running: wait for it, it takes what it does not leave",
                ));
            }
            if !told {
                eprintln!(
                    "another import is running, or was killed just now: waiting until its membership ends"
                );
                told = true;
            }
            tokio::time::sleep(OTHER_PAUSE).await;
        }
    }
}

async fn snapshot(connector: &Connector, address: &str) -> Result<ControlState, String> {
    let channel = connector.channel(address)?;
    let mut client = ControlClient::new(channel).max_decoding_message_size(proto::connect::MESSAGE_BYTES_MAX);
    let answer = client.watch(WatchRequest { from_version: 0 }).await;
    let mut stream = answer.map_err(|status| status.message().to_owned())?.into_inner();
    let mut state = ControlState::default();
    // A snapshot comes first, or all commands from the first one on.
    while state.settings.is_none() || state.shard_map.shards.is_empty() {
        let event = stream.message().await.map_err(|status| status.message().to_owned())?;
        match event.ok_or("the stream ended")?.event {
            Some(Event::Snapshot(bytes)) => state = ControlState::decode(&bytes)?,
            Some(Event::Command(bytes)) => drop(state.apply(Command::decode(&bytes)?)),
            None => return Err("the cluster is not founded, or its shards are not placed yet".to_owned()),
        }
    }
    Ok(state)
}

/// The right to import, for as long as it is kept.
pub(super) struct Importer {
    session: Arc<Session>,
    membership: Membership,
    shutdown: CancellationToken,
    run: JoinHandle<Result<(), SessionError>>,
}

/// What a claim came to.
pub(super) enum Claimed {
    /// It was imported before.
    Done,
    /// It is ours: under this epoch, with these names for what is made of it.
    Ours(Epoch, Vec<BlockId>),
}

impl Importer {
    /// Gives the membership back, so that the next importer need not wait for its lease to lapse.
    pub(super) async fn leave(self) {
        self.shutdown.cancel();
        // The session says goodbye within a time of its own; what goes wrong then, the lapse mends.
        let _ = self.run.await;
    }

    /// Returns the control state.
    pub(super) fn state(&self) -> Arc<ControlState> {
        self.session.state()
    }

    /// Takes a part of a block.
    pub(super) async fn claim(&self, unit: &ImportUnit, outputs: u32) -> Result<Claimed, SessionError> {
        let Membership { node, epoch } = self.membership;
        let command = Command::ClaimImport { unit: unit.clone(), outputs, node, member_epoch: epoch };
        match self.propose(&command).await? {
            Response::ImportDone => Ok(Claimed::Done),
            Response::ImportClaimed { epoch, outputs } => Ok(Claimed::Ours(epoch, outputs)),
            other => Err(SessionError::Malformed(format!("an import was answered with {other:?}"))),
        }
    }

    /// Publishes what was made of a part.
    pub(super) async fn commit(
        &self,
        unit: &ImportUnit,
        epoch: Epoch,
        blocks: Vec<BlockMeta>,
    ) -> Result<(), SessionError> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        let command = Command::CommitImport { unit: unit.clone(), epoch, blocks, at_ms };
        self.propose(&command).await.map(drop)
    }

    /// Proposes a command, all of which may be repeated, until the control group has a leader.
    async fn propose(&self, command: &Command) -> Result<Response, SessionError> {
        for _ in 1..PROPOSALS_MAX {
            match self.session.propose(command).await {
                Err(error) if error.kind() == ErrorKind::Unavailable => {}
                answer => return answer,
            }
        }
        self.session.propose(command).await
    }
}
