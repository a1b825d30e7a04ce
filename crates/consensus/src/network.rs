//! The client side of the messages: what openraft calls when it wants another replica to do something.
//!
//! Requests to one replica go out one at a time; a pipelined `stream_append` would go here. Snapshots go out in parts
//! of bounded size, in order, as their own calls, so heartbeats pass between them.

use std::future::Future;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use model::NodeId;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest, VoteRequest,
    VoteResponse,
};
use openraft::storage::Snapshot;
use openraft::{EmptyNode, OptionalSend, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use serde::de::DeserializeOwned;
use wal::GroupId;

use crate::api::{Transport, TransportError};
use crate::mute::Mute;
use crate::snapshot::SnapshotFile;
use crate::types::{TypeConfig, Vote};
use crate::wire::{self, SnapshotAnswer, SnapshotPart};

/// How many bytes of a snapshot go into one message.
const SNAPSHOT_PART_BYTES: u64 = 1 << 20;

type Rpc<T> = Result<T, RPCError<TypeConfig>>;
type RaftSnapshot =
    Snapshot<openraft::impls::leader_id_adv::LeaderId<u64, u64>, u64, EmptyNode, SnapshotFile>;

/// Makes clients for the other replicas of a group.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) group: GroupId,
    pub(crate) me: NodeId,
    pub(crate) mute: Arc<Mute>,
    pub(crate) append_timeout: Duration,
    pub(crate) snapshot_timeout: Duration,
    /// Counts attempts to send a snapshot, so that parts of two are never mixed.
    pub(crate) transfers: Arc<AtomicU64>,
}

/// A client for one replica.
pub(crate) struct Peer {
    network: Network,
    target: NodeId,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _: &EmptyNode) -> Peer {
        Peer { network: self.clone(), target: NodeId(target) }
    }
}

impl Peer {
    async fn call<T: DeserializeOwned>(
        &self,
        action: RPCTypes,
        kind: u32,
        body: Bytes,
        timeout: Duration,
    ) -> Rpc<T> {
        let Network { transport, group, me, .. } = &self.network;
        if matches!(kind, wire::APPEND | wire::SNAPSHOT) && self.network.mute.is_muted() {
            let reason = "this leader hears no majority and holds its tongue";
            return Err(RPCError::Unreachable(Unreachable::from_string(reason)));
        }
        // The transport is asked to give up in time, and not relied on.
        let call = transport.call(self.target, *group, kind, body, timeout);
        let answer = match tokio::time::timeout(timeout, call).await {
            Ok(Ok(answer)) => answer,
            Err(_) | Ok(Err(TransportError::Timeout { .. })) => {
                let (id, target) = (me.0, self.target.0);
                return Err(RPCError::Timeout(Timeout { action, id, target, timeout }));
            }
            // Both wait before the next attempt: a replica that refuses is starting or stopping.
            Ok(Err(error)) => return Err(RPCError::Unreachable(Unreachable::new(&error))),
        };
        match wire::decode(&answer) {
            Ok((answer, _)) => Ok(answer),
            Err(reason) => Err(RPCError::Unreachable(Unreachable::from_string(reason))),
        }
    }

    async fn send_snapshot(&self, vote: Vote, snapshot: &RaftSnapshot) -> Rpc<SnapshotResponse<TypeConfig>> {
        let file = &snapshot.snapshot;
        let total_bytes = file.total_bytes();
        let transfer = self.network.transfers.fetch_add(1, Ordering::Relaxed);
        let mut offset = 0;
        loop {
            let length = (total_bytes - offset).min(SNAPSHOT_PART_BYTES);
            let part = SnapshotPart { vote, meta: snapshot.meta.clone(), transfer, offset, total_bytes };
            let source = Arc::clone(&file.file);
            let read = move || {
                let mut data = vec![0; usize::try_from(length).unwrap_or(0)];
                source.read_exact_at(&mut data, part.offset)?;
                Ok::<_, std::io::Error>(wire::encode_part(&part, &data))
            };
            let body = tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other).flatten();
            let body = body.map_err(|error| RPCError::Unreachable(Unreachable::new(&error)))?;
            let answer =
                self.call(RPCTypes::InstallSnapshot, wire::SNAPSHOT, body, self.network.snapshot_timeout);
            match answer.await? {
                SnapshotAnswer::Installed(vote) => return Ok(SnapshotResponse::new(vote)),
                SnapshotAnswer::Continue if offset + length < total_bytes => offset += length,
                SnapshotAnswer::Continue | SnapshotAnswer::Restart => {
                    let reason = "the receiver wants the snapshot from its beginning";
                    return Err(RPCError::Network(NetworkError::from_string(reason)));
                }
            }
        }
    }
}

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<TypeConfig>> {
        // openraft's time is that of a heartbeat, which says nothing about entries and their sync.
        let timeout =
            if request.entries.is_empty() { option.soft_ttl() } else { self.network.append_timeout };
        let body = wire::encode_append(&request);
        self.call(RPCTypes::AppendEntries, wire::APPEND, body, timeout).await
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<TypeConfig>> {
        self.call(RPCTypes::Vote, wire::VOTE, wire::encode(&request), option.soft_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<TypeConfig>> {
        self.call(RPCTypes::Vote, wire::PRE_VOTE, wire::encode(&request), option.soft_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: RaftSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(vote, &snapshot) => Ok(sent?),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<openraft::raft::TransferLeaderResponse<TypeConfig>> {
        let body = wire::encode(&request);
        self.call(RPCTypes::TransferLeader, wire::TRANSFER_LEADER, body, option.soft_ttl()).await
    }
}
