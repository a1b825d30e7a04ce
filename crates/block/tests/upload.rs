//! Uploads may be repeated and raced; what is there with other bytes is never overwritten.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use block::{
    BlockError, BlockReader, BuiltBlock, ObjectStoreConfig, ObjectStoreReader, delete, open_store, upload,
};
use futures::stream::BoxStream;
use model::{BlockRange, ErrorKind, TimeRange};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use support::{PlainSeries, build_plain, cluster_series, scan, select_plain, spec};

const RANGE: BlockRange =
    BlockRange { start: model::TimestampMs(7_200_000), end: model::TimestampMs(7_500_000) };

fn block() -> (Vec<PlainSeries>, BuiltBlock) {
    let series = cluster_series(3, 4, RANGE);
    let built = build_plain(&spec(RANGE), &series).expect("valid input");
    (series, built)
}

async fn read_back(store: Arc<dyn ObjectStore>, built: &BuiltBlock) -> Vec<PlainSeries> {
    let reader = Arc::new(ObjectStoreReader::new(store));
    let reader = BlockReader::open(reader, built.meta.clone()).await.expect("uploaded");
    select_plain(&reader, &[], TimeRange::ALL).await.expect("undamaged")
}

#[tokio::test]
async fn a_local_directory_holds_a_block_and_loses_it_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let config = ObjectStoreConfig::Local { dir: dir.path().join("made/for/it") };
    let store = open_store(&config).expect("can be made");
    let (series, built) = block();
    upload(&*store, &built).await.expect("first");
    upload(&*store, &built).await.expect("again, with equal bytes");
    assert_eq!(read_back(Arc::clone(&store), &built).await, scan(&series, &[], TimeRange::ALL));
    delete(&*store, &built.meta).await.expect("there");
    delete(&*store, &built.meta).await.expect("already gone");
    let error =
        BlockReader::open(Arc::new(ObjectStoreReader::new(store)), built.meta).await.err().expect("gone");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let dir = file.path().join("below");
    let error = open_store(&ObjectStoreConfig::Local { dir: dir.clone() }).expect_err("a file is in the way");
    assert!(error.to_string().contains(&dir.display().to_string()), "{error}");
}

#[tokio::test]
async fn racing_uploads_of_equal_bytes_all_succeed() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (series, built) = block();
    let uploads = (0..8).map(|_| upload(&*store, &built));
    for result in futures::future::join_all(uploads).await {
        result.expect("equal bytes");
    }
    assert_eq!(read_back(store, &built).await, scan(&series, &[], TimeRange::ALL));
}

#[tokio::test]
async fn other_bytes_of_the_same_name_are_a_conflict_and_stay() {
    let store = InMemory::new();
    let (_, built) = block();
    let key = &built.meta.series_object.key;
    let mut other = built.series_bytes.to_vec();
    other[10] ^= 1;
    for content in [other, vec![1, 2, 3]] {
        let path = Path::from(key.as_str());
        store.put(&path, content.clone().into()).await.expect("memory");
        let error = upload(&store, &built).await.expect_err("other content");
        assert!(matches!(&error, BlockError::Conflict { object, .. } if object == key), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(store.get(&path).await.expect("there").bytes().await.expect("memory"), content);
    }
}

/// A store whose puts and gets fail so many times before they work; a failing put may have stored its object.
#[derive(Debug)]
struct Flaky {
    inner: InMemory,
    failures_left: AtomicUsize,
    stores_before_failing: bool,
}

impl std::fmt::Display for Flaky {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("flaky")
    }
}

impl Flaky {
    fn new(failures: usize, stores_before_failing: bool) -> Self {
        Self { inner: InMemory::new(), failures_left: AtomicUsize::new(failures), stores_before_failing }
    }

    fn fails(&self) -> bool {
        let left = self.failures_left.load(Ordering::Relaxed);
        self.failures_left.store(left.saturating_sub(1), Ordering::Relaxed);
        left > 0
    }

    fn error() -> object_store::Error {
        object_store::Error::Generic { store: "flaky", source: "connection reset".into() }
    }
}

#[async_trait]
impl ObjectStore for Flaky {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if self.fails() {
            if self.stores_before_failing {
                self.inner.put_opts(path, payload, options).await?;
            }
            return Err(Self::error());
        }
        self.inner.put_opts(path, payload, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        if self.fails() { Err(Self::error()) } else { self.inner.get_opts(path, options).await }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        o: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, o).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test(start_paused = true)]
async fn transient_failures_are_tried_again_also_when_the_put_had_happened() {
    for stores_before_failing in [false, true] {
        let (_, built) = block();
        let store = Flaky::new(3, stores_before_failing);
        upload(&store, &built).await.expect("the fourth attempt works");
        assert_eq!(store.failures_left.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stays_away_is_unavailable_after_some_attempts() {
    let (_, built) = block();
    let store = Flaky::new(1000, false);
    let error = upload(&store, &built).await.expect_err("never works");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(store.failures_left.load(Ordering::Relaxed), 996);
}
