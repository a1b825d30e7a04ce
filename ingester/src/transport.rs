//! Carries Raft's messages between ingesters over gRPC.

use std::collections::BTreeMap;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use consensus::{GroupId, Transport, TransportError};
use model::{ErrorKind, NodeId};
use proto::connect::{Connector, MESSAGE_BYTES_MAX};
use proto::error::kind_of_status;
use proto::raft::CallRequest;
use proto::raft::raft_client::RaftClient;

/// Where the nodes are: from the configuration at first, from the control state as soon as it says so.
pub(crate) struct Addresses {
    nodes: ArcSwap<BTreeMap<NodeId, String>>,
}

impl Addresses {
    pub(crate) fn new(first: impl IntoIterator<Item = (NodeId, String)>) -> Self {
        Self { nodes: ArcSwap::from_pointee(first.into_iter().collect()) }
    }

    /// Takes over addresses that changed; empty ones are passed over.
    pub(crate) fn update(&self, news: impl IntoIterator<Item = (NodeId, String)>) {
        let mut nodes = (**self.nodes.load()).clone();
        nodes.extend(news.into_iter().filter(|(_, address)| !address.is_empty()));
        if nodes != **self.nodes.load() {
            self.nodes.store(nodes.into());
        }
    }

    pub(crate) fn get(&self, node: NodeId) -> Option<String> {
        self.nodes.load().get(&node).cloned()
    }
}

/// The consensus crate's way to the other nodes.
pub(crate) struct GrpcTransport {
    pub(crate) cluster_hash: u64,
    pub(crate) connector: Connector,
    pub(crate) addresses: std::sync::Arc<Addresses>,
}

#[async_trait]
impl Transport for GrpcTransport {
    async fn call(
        &self,
        to: NodeId,
        group: GroupId,
        kind: u32,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, TransportError> {
        let unreachable = |reason: String| TransportError::Unreachable { node: to, reason };
        let address =
            self.addresses.get(to).ok_or_else(|| unreachable("its address is not known".to_owned()))?;
        let channel = self.connector.channel(&address).map_err(unreachable)?;
        let mut client = RaftClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let request =
            CallRequest { cluster_hash: self.cluster_hash, to_node: to.0, group: group.0, kind, body };
        match tokio::time::timeout(timeout, client.call(request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner().body),
            Ok(Err(status)) if kind_of_status(&status) == ErrorKind::Unavailable => {
                Err(unreachable(format!("{address}: {}", status.message())))
            }
            Ok(Err(status)) => Err(TransportError::Refused { node: to, reason: status.message().to_owned() }),
            Err(_) => Err(TransportError::Timeout { node: to }),
        }
    }
}
