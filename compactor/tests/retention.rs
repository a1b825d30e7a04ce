//! The compactor against a real control state and a local directory of objects.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cluster::{BlockState, Command, ControlState, Fence, Response, Role};
use compactor::plan::RetentionRules;
use compactor::{Compactor, CompactorConfig, CompactorError};
use model::{BlockId, BlockMeta, BlockRange, NodeId, ObjectMeta, ShardId};
use object_store::local::LocalFileSystem;
use proto::connect::Connector;
use service::Context;
use session::{Session, SessionConfig};
use tests::control::{CLUSTER, CONTROL_ADDRESS, MemControl};

const LEASE: &str = "compactor/retention";
const HOUR: Duration = Duration::from_secs(3600);

/// One cluster with a directory as object store.
struct Bench {
    dir: tempfile::TempDir,
    connector: Connector,
    control: MemControl,
}

impl Bench {
    fn new() -> Self {
        let connector = Connector::default();
        let control = MemControl::start(&connector);
        Self { dir: tempfile::tempdir().expect("a folder for the test"), connector, control }
    }

    fn config(&self, retention: Option<Duration>) -> CompactorConfig {
        let objects = Arc::new(LocalFileSystem::new_with_prefix(self.dir.path()).expect("it exists"));
        let rules = RetentionRules::of_time(retention.map(|retention| retention.as_millis() as i64));
        CompactorConfig {
            interval: Duration::from_millis(5),
            ..CompactorConfig::new(objects, rules, self.path("spool"))
        }
    }

    /// Starts a compactor; the context stops it.
    async fn start(&self, name: &str, config: CompactorConfig) -> Context {
        let context = Context::new("compactor");
        let session = SessionConfig {
            cluster: CLUSTER.into(),
            seeds: vec![CONTROL_ADDRESS.into()],
            role: Role::Compactor,
            name: name.into(),
            zone: String::new(),
            grpc_address: String::new(),
            http_address: String::new(),
            disk_id: None,
        };
        let session = Session::new(session, self.connector.clone());
        context.spawn("session", Arc::clone(&session).run(context.shutdown()));
        let compactor = Compactor::build(config, &context, session).await.expect("a valid configuration");
        compactor.start();
        context
    }

    /// Publishes a block that ended `age` ago, with objects in the directory.
    fn publish(&self, id: u128, age: Duration) -> BlockMeta {
        let end_ms = now_ms() - age.as_millis() as i64;
        let object = |name: &str| {
            let key = format!("b/{id}/{name}");
            std::fs::create_dir_all(self.path(&format!("b/{id}"))).expect("the folder is writable");
            std::fs::write(self.path(&key), b"bytes").expect("the folder is writable");
            ObjectMeta { key, size_bytes: 5, tail_bytes: 1, crc32c: 0 }
        };
        let meta = BlockMeta {
            id: BlockId(id),
            shard: ShardId(id as u32),
            range: BlockRange::new(end_ms - 1000, end_ms),
            level: 0,
            cut_index: 1,
            series: 1,
            samples: 1,
            external_labels: BTreeMap::new(),
            parents: Vec::new(),
            resolution_ms: 0,
            sort_range: model::SortRange::ALL,
            series_object: object("series.parquet"),
            chunks_object: object("chunks.parquet"),
        };
        let published = self.control.apply(Command::PublishBlock { meta: Box::new(meta.clone()) });
        assert_eq!(published, Response::Done);
        meta
    }

    /// Tombstones a block under a lease of another name, `age` ago.
    fn tombstone(&self, id: u128, age: Duration) {
        let node = self.control.add_member(Role::Compactor, "another", "");
        let member_epoch = self.control.state().members[&node].epoch;
        let lease = "another".to_owned();
        let command = Command::AcquireLease { lease: lease.clone(), node, member_epoch };
        let Response::Leased { epoch } = self.control.apply(command) else { panic!("the lease is free") };
        let done = self.control.apply(Command::TombstoneBlocks {
            ids: vec![BlockId(id)],
            at_ms: now_ms() - age.as_millis() as i64,
            reason: "test".into(),
            fence: Fence { lease, epoch },
        });
        assert_eq!(done, Response::Done);
    }

    fn path(&self, key: &str) -> std::path::PathBuf {
        self.dir.path().join(key)
    }

    fn has_objects(&self, meta: &BlockMeta) -> [bool; 2] {
        [&meta.series_object, &meta.chunks_object].map(|object| Path::exists(&self.path(&object.key)))
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis() as i64
}

/// Returns `(id, is active)` of every block.
fn blocks(state: &ControlState) -> Vec<(u128, bool)> {
    state.catalogue.iter().map(|entry| (entry.meta.id.0, entry.state == BlockState::Active)).collect()
}

fn holder(state: &ControlState) -> Option<NodeId> {
    state.leases.get(LEASE).map(|lease| lease.holder)
}

async fn stop(context: Context) {
    assert_eq!(context.ready(), Ok(()));
    assert_eq!(context.stop(Duration::from_secs(60)).await, Vec::<String>::new());
}

#[tokio::test]
async fn old_blocks_are_tombstoned_and_keep_their_objects_for_the_delay() {
    let bench = Bench::new();
    let old = bench.publish(1, 3 * HOUR);
    bench.publish(2, HOUR / 2);
    bench.publish(3, Duration::ZERO);
    let context = bench.start("c-0", bench.config(Some(HOUR))).await;
    let state = bench.control.wait(|state| blocks(state) == [(1, false), (2, true), (3, true)]).await;
    let BlockState::Tombstoned { reason, at_ms, .. } = &state.catalogue.get(BlockId(1)).unwrap().state else {
        panic!("block 1 is tombstoned")
    };
    assert_eq!(reason, "older than the retention of 1h");
    assert!((now_ms() - 60_000..=now_ms()).contains(at_ms));
    assert_eq!(bench.has_objects(&old), [true, true]);
    stop(context).await;
    assert_eq!(bench.has_objects(&old), [true, true]);
}

#[tokio::test]
async fn objects_of_old_tombstones_are_deleted_and_purged() {
    let bench = Bench::new();
    let (gone, fresh, kept) = (bench.publish(1, HOUR), bench.publish(2, HOUR), bench.publish(3, HOUR));
    bench.tombstone(1, 2 * HOUR);
    bench.tombstone(2, HOUR / 2);
    // The other object is gone already, as after a kill in the middle.
    std::fs::remove_file(bench.path(&gone.series_object.key)).unwrap();
    let context = bench.start("c-0", bench.config(None)).await;
    bench.control.wait(|state| blocks(state) == [(2, false), (3, true)]).await;
    assert_eq!(bench.has_objects(&gone), [false, false]);
    assert_eq!(bench.has_objects(&fresh), [true, true]);
    assert_eq!(bench.has_objects(&kept), [true, true]);
    let metrics = context.metrics().encode();
    for line in ["norn_compactor_blocks_deleted_total 1\n", "norn_compactor_block_bytes_deleted_total 10\n"] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    stop(context).await;
}

#[tokio::test]
async fn a_block_that_cannot_be_deleted_hinders_no_other() {
    let bench = Bench::new();
    let (bad, good) = (bench.publish(1, HOUR), bench.publish(2, HOUR));
    // A directory that is not empty cannot be deleted as a file.
    std::fs::remove_file(bench.path(&bad.series_object.key)).unwrap();
    std::fs::create_dir_all(bench.path(&bad.series_object.key).join("inside")).unwrap();
    bench.tombstone(1, 3 * HOUR);
    bench.tombstone(2, 2 * HOUR);
    let context = bench.start("c-0", bench.config(None)).await;
    bench.control.wait(|state| blocks(state) == [(1, false)]).await;
    assert_eq!(bench.has_objects(&good), [false, false]);
    let metrics = context.metrics().encode();
    assert!(!metrics.contains("norn_compactor_block_delete_failures_total 0\n"), "{metrics}");
    std::fs::remove_dir_all(bench.path(&bad.series_object.key)).unwrap();
    bench.control.wait(|state| blocks(state).is_empty()).await;
    stop(context).await;
}

#[tokio::test]
async fn one_compactor_works_and_another_takes_over() {
    let bench = Bench::new();
    let first = bench.start("c-0", bench.config(Some(HOUR))).await;
    let state = bench.control.wait(|state| holder(state).is_some()).await;
    let first_node = holder(&state);
    let second = bench.start("c-1", bench.config(Some(HOUR))).await;
    bench.control.wait(|state| state.live(Role::Compactor).count() == 2).await;
    assert_eq!(holder(&bench.control.state()), first_node);
    stop(first).await;
    let state = bench.control.wait(|state| holder(state).is_some_and(|node| Some(node) != first_node)).await;
    let epoch = state.leases[LEASE].epoch;
    bench.publish(1, 3 * HOUR);
    bench.publish(2, Duration::ZERO);
    let state = bench.control.wait(|state| blocks(state) == [(1, false), (2, true)]).await;
    assert_eq!(state.leases[LEASE].epoch, epoch);
    stop(second).await;
}

#[tokio::test]
async fn a_lost_membership_is_taken_again_with_a_new_epoch() {
    let bench = Bench::new();
    let context = bench.start("c-0", bench.config(Some(HOUR))).await;
    let state = bench.control.wait(|state| holder(state).is_some()).await;
    let lost = state.leases[LEASE].clone();
    bench.control.expire(lost.holder);
    let state = bench.control.wait(|state| holder(state) == Some(lost.holder)).await;
    assert!(state.leases[LEASE].epoch > lost.epoch);
    bench.publish(1, 3 * HOUR);
    bench.publish(2, Duration::ZERO);
    bench.control.wait(|state| blocks(state) == [(1, false), (2, true)]).await;
    stop(context).await;
}

#[tokio::test]
async fn durations_that_cannot_be_meant_are_refused() {
    let bench = Bench::new();
    let session = || {
        let config = SessionConfig {
            cluster: CLUSTER.into(),
            seeds: Vec::new(),
            role: Role::Compactor,
            name: "c".into(),
            zone: String::new(),
            grpc_address: String::new(),
            http_address: String::new(),
            disk_id: None,
        };
        Session::new(config, bench.connector.clone())
    };
    let context = Context::new("compactor");
    let nothing = bench.config(Some(Duration::ZERO));
    assert!(matches!(Compactor::build(nothing, &context, session()).await, Err(CompactorError::Retention)));
    let busy = CompactorConfig { interval: Duration::ZERO, ..bench.config(None) };
    assert!(matches!(Compactor::build(busy, &context, session()).await, Err(CompactorError::Interval)));
}
