//! The receiving end of Raft's messages.

use std::sync::Arc;

use consensus::{GroupId, RaftHost};
use model::{ErrorKind, NodeId};
use proto::error::status;
use proto::raft::raft_server::Raft;
use proto::raft::{CallRequest, CallResponse};
use tonic::{Request, Response, Status};

/// Hands messages to the groups of this node.
pub(crate) struct RaftService {
    pub(crate) cluster_hash: u64,
    pub(crate) node: NodeId,
    pub(crate) host: Arc<RaftHost>,
}

#[tonic::async_trait]
impl Raft for RaftService {
    async fn call(&self, request: Request<CallRequest>) -> Result<Response<CallResponse>, Status> {
        let CallRequest { cluster_hash, to_node, group, kind, body } = request.into_inner();
        if cluster_hash != self.cluster_hash {
            return Err(status(ErrorKind::Invalid, "this node belongs to another cluster"));
        }
        if to_node != self.node.0 {
            let message = format!("this is node {}, not node {to_node}: an address changed hands", self.node);
            return Err(status(ErrorKind::Invalid, message));
        }
        let answer = self.host.handle(GroupId(group), kind, body).await;
        let body = answer.map_err(|error| status(error.kind(), error.to_string()))?;
        Ok(Response::new(CallResponse { body }))
    }
}
