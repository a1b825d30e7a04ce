//! A delete of series in a cluster in this process: who takes it, in which order, and when it is acknowledged.

#[allow(dead_code, reason = "this test uses a part of the cluster")]
mod support;

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use cluster::{DeleteOrder, Role};
use futures::Stream;
use proto::error::not_leader;
use proto::ingest::ingest_server::{Ingest, IngestServer};
use proto::ingest::{AppendRequest, AppendResponse, DeleteRequest, DeleteResponse};
use proto::query::query_server::{Query, QueryServer};
use proto::query::{InstantRequest, InstantResponse, ReachRequest, ReachResponse};
use querier::{AdminApi, QuerierConfig};
use support::{Cluster, block};
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

const DELETE: &str = "admin/tsdb/delete_series?match[]=up&start=1&end=90";

/// Takes deletes, or names another leader.
#[derive(Default)]
struct Ingester {
    taken: Mutex<Vec<(u32, DeleteOrder)>>,
    leader: Option<&'static str>,
}

#[tonic::async_trait]
impl Ingest for Ingester {
    type AppendStream = Pin<Box<dyn Stream<Item = Result<AppendResponse, Status>> + Send>>;

    async fn append(
        &self,
        _: Request<Streaming<AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        Err(Status::unimplemented("nobody writes"))
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        if self.leader.is_some() {
            return Err(not_leader(self.leader));
        }
        let DeleteRequest { shard, order } = request.into_inner();
        let order = DeleteOrder::decode(&order).expect("an order");
        self.taken.lock().expect("not poisoned").push((shard, order));
        Ok(Response::new(DeleteResponse { index: 50, frozen_until_ms: None }))
    }
}

/// Another querier, which has reached every version once it is let go.
struct Other {
    asked: watch::Sender<Option<u64>>,
    lets_go: watch::Receiver<bool>,
}

#[tonic::async_trait]
impl Query for Other {
    async fn instant(&self, _: Request<InstantRequest>) -> Result<Response<InstantResponse>, Status> {
        Err(Status::unimplemented("nobody asks"))
    }

    async fn reach(&self, request: Request<ReachRequest>) -> Result<Response<ReachResponse>, Status> {
        self.asked.send_replace(Some(request.into_inner().version));
        let mut lets_go = self.lets_go.clone();
        lets_go.wait_for(|go| *go).await.expect("the test lives");
        Ok(Response::new(ReachResponse {}))
    }
}

async fn found(admin_api: AdminApi) -> Cluster {
    Cluster::found(QuerierConfig { admin_api, ..QuerierConfig::default() }, &[]).await
}

#[tokio::test]
async fn a_delete_is_acknowledged_when_all_know_of_it() {
    let cluster = found(AdminApi::On).await;
    let leader = Arc::new(Ingester::default());
    let follower = Ingester { leader: Some("ingester-2"), ..Ingester::default() };
    cluster.connector.serve_in_process("ingester-1", Routes::new(IngestServer::new(follower)));
    cluster
        .connector
        .serve_in_process("ingester-2", Routes::new(IngestServer::from_arc(Arc::clone(&leader))));
    let (asked, mut was_asked) = watch::channel(None);
    let (go, lets_go) = watch::channel(false);
    cluster.connector.serve_in_process("querier-1", Routes::new(QueryServer::new(Other { asked, lets_go })));
    cluster.control.join(Role::Querier, "querier-1");
    cluster.control.apply(block(7, 1, 0, 100_000));
    cluster.settle().await;
    let (answer, ()) = tokio::join!(cluster.post(DELETE), async {
        let version = *was_asked.wait_for(Option::is_some).await.expect("it is asked");
        let state = cluster.session.state();
        let noted: Vec<String> =
            state.catalogue.deletes().map(|request| request.order.id.to_string()).collect();
        assert_eq!(noted.len(), 1, "the catalogue has it by then");
        assert!(version >= Some(state.version), "{version:?}");
        go.send_replace(true);
    });
    assert_eq!(answer, (204, String::new()));
    let taken = leader.taken.lock().expect("not poisoned").clone();
    let mut shards: Vec<u32> = taken.iter().map(|(shard, _)| *shard).collect();
    shards.sort_unstable();
    assert_eq!(shards, [1, 2], "every shard took it once");
    assert_eq!(taken[0].1, taken[1].1);
    assert_eq!((taken[0].1.start_ms, taken[0].1.end_ms), (1000, 90_000));
    let state = cluster.session.state();
    assert_eq!(state.catalogue.deletes_of(model::BlockId(7)).collect::<Vec<_>>(), [&taken[0].1]);
}

#[tokio::test(start_paused = true)]
async fn a_shard_without_a_leader_is_named() {
    let cluster = found(AdminApi::On).await;
    let nobody = || Ingester { leader: Some("ingester-1"), ..Ingester::default() };
    for name in ["ingester-1", "ingester-2"] {
        cluster.connector.serve_in_process(name, Routes::new(IngestServer::new(nobody())));
    }
    let (status, text) = cluster.post(DELETE).await;
    assert_eq!(status, 503);
    assert!(text.contains("has no leader that answers"), "{text}");
    assert_eq!(cluster.session.state().catalogue.deletes().count(), 0);
}

#[tokio::test]
async fn nothing_is_deleted_unless_it_is_switched_on() {
    let (status, text) = found(AdminApi::Off).await.post(DELETE).await;
    assert_eq!(status, 500);
    assert!(text.contains("admin APIs disabled"), "{text}");
}
