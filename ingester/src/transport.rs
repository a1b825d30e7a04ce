//! Carries Raft's messages between ingesters over gRPC.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use consensus::{GroupId, Transport, TransportError};
use model::{ErrorKind, NodeId};
use parking_lot::Mutex;
use proto::connect::{Connector, MESSAGE_BYTES_MAX};
use proto::error::kind_of_status;
use proto::raft::CallRequest;
use proto::raft::raft_client::RaftClient;

/// Where the nodes are: as configured, or as the control state last said.
///
/// What the state says is newer as a rule. A replica that just replayed its log may however know addresses that are older
/// than its configuration, and cannot hear of newer ones before it reaches somebody. So a node that cannot be reached at
/// the one address is tried at the other.
pub(crate) struct Addresses {
    configured: BTreeMap<NodeId, String>,
    learned: ArcSwap<BTreeMap<NodeId, String>>,
    /// Nodes to be tried at the configured address.
    doubted: Mutex<BTreeSet<NodeId>>,
}

impl Addresses {
    pub(crate) fn new(configured: impl IntoIterator<Item = (NodeId, String)>) -> Self {
        let configured = configured.into_iter().collect();
        Self { configured, learned: ArcSwap::default(), doubted: Mutex::default() }
    }

    /// Takes over what the control state says; empty addresses are passed over.
    pub(crate) fn update(&self, news: impl IntoIterator<Item = (NodeId, String)>) {
        let news: BTreeMap<NodeId, String> =
            news.into_iter().filter(|(_, address)| !address.is_empty()).collect();
        let known = self.learned.load();
        self.doubted.lock().retain(|node| known.get(node) == news.get(node));
        if news != **known {
            self.learned.store(news.into());
        }
    }

    pub(crate) fn get(&self, node: NodeId) -> Option<String> {
        let learned = self.learned.load().get(&node).cloned();
        let configured = self.configured.get(&node).cloned();
        if self.doubted.lock().contains(&node) { configured.or(learned) } else { learned.or(configured) }
    }

    /// Notes that a node could not be reached at the address that [`Addresses::get`] gave: the other is next.
    pub(crate) fn failed(&self, node: NodeId) {
        let mut doubted = self.doubted.lock();
        if !doubted.remove(&node) {
            doubted.insert(node);
        }
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
        let answer = tokio::time::timeout(timeout, client.call(request)).await;
        match answer {
            Ok(Ok(answer)) => Ok(answer.into_inner().body),
            Ok(Err(status)) if kind_of_status(&status) == ErrorKind::Unavailable => {
                self.addresses.failed(to);
                Err(unreachable(format!("{address}: {}", status.message())))
            }
            Ok(Err(status)) => {
                // Another node, or another cluster, lives at this address by now.
                if kind_of_status(&status) == ErrorKind::Invalid {
                    self.addresses.failed(to);
                }
                Err(TransportError::Refused { node: to, reason: status.message().to_owned() })
            }
            Err(_) => {
                self.addresses.failed(to);
                Err(TransportError::Timeout { node: to })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_moved_is_found_at_either_address() {
        let node = NodeId(1);
        let addresses = Addresses::new([(node, "new:1".to_owned())]);
        assert_eq!(addresses.get(node).as_deref(), Some("new:1"));
        addresses.update([(node, "old:1".to_owned()), (NodeId(2), String::new())]);
        assert_eq!(addresses.get(node).as_deref(), Some("old:1"));
        addresses.failed(node);
        assert_eq!(addresses.get(node).as_deref(), Some("new:1"));
        addresses.update([(node, "old:1".to_owned())]);
        assert_eq!(addresses.get(node).as_deref(), Some("new:1"), "the same news again changes nothing");
        addresses.failed(node);
        assert_eq!(addresses.get(node).as_deref(), Some("old:1"));
        addresses.failed(node);
        addresses.update([(node, "newer:1".to_owned())]);
        assert_eq!(addresses.get(node).as_deref(), Some("newer:1"), "news clear the doubt");
        assert_eq!(addresses.get(NodeId(2)), None);
    }
}
