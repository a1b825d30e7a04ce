//! The in-memory S3 server, asked by the S3 client that Norn itself uses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RetryConfig, UpdateVersion,
};
use tests::s3::{ACCESS_KEY, BUCKET, MemS3, REGION, SECRET_KEY};

fn client_with(server: &MemS3, secret: &str, retries: usize) -> Arc<AmazonS3> {
    let retry = RetryConfig { max_retries: retries, ..RetryConfig::default() };
    let builder = AmazonS3Builder::new()
        .with_bucket_name(BUCKET)
        .with_region(REGION)
        .with_endpoint(server.endpoint())
        .with_access_key_id(ACCESS_KEY)
        .with_secret_access_key(secret)
        .with_allow_http(true)
        .with_retry(retry);
    Arc::new(builder.build().expect("a whole configuration"))
}

fn client(server: &MemS3) -> Arc<AmazonS3> {
    client_with(server, SECRET_KEY, 0)
}

async fn get(store: &AmazonS3, key: &str) -> Bytes {
    let result = store.get(&Path::from(key)).await.expect("the object is there");
    result.bytes().await.expect("the answer is whole")
}

#[tokio::test]
async fn objects_round_trip_and_are_counted() {
    let server = MemS3::start().unwrap();
    let store = client(&server);
    let key = Path::from("b/00/a block/chunks.parquet");
    store.put(&key, PutPayload::from_static(b"hello")).await.unwrap();
    store.put(&Path::from("empty"), PutPayload::new()).await.unwrap();
    assert_eq!(get(&store, key.as_ref()).await, "hello");
    assert_eq!(get(&store, "empty").await, "");
    let head = store.head(&key).await.unwrap();
    assert_eq!((head.location.clone(), head.size), (key.clone(), 5));
    assert_eq!(server.keys(), ["b/00/a block/chunks.parquet", "empty"]);
    assert_eq!(server.object(key.as_ref()).unwrap(), "hello");

    let copy = Path::from("copy");
    store.copy(&key, &copy).await.unwrap();
    store.delete(&key).await.unwrap();
    store.delete(&key).await.unwrap();
    assert!(matches!(store.get(&key).await, Err(Error::NotFound { .. })));
    assert!(matches!(store.head(&key).await, Err(Error::NotFound { .. })));
    assert_eq!(get(&store, "copy").await, "hello");

    let counters = server.counters();
    assert_eq!((counters.put, counters.get, counters.head, counters.copy), (2, 4, 2, 1));
    assert_eq!((counters.delete, counters.list), (2, 0));
    assert_eq!((counters.bytes_in, counters.bytes_out), (5, 10));
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let server = MemS3::start().unwrap();
    let store = client_with(&server, "another secret", 0);
    let error = store.put(&Path::from("a"), PutPayload::from_static(b"x")).await.unwrap_err();
    assert!(error.to_string().contains("SignatureDoesNotMatch"), "{error}");
    assert_eq!(server.keys(), Vec::<String>::new());
    assert_eq!(server.counters().put, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_32_creators_one_wins() {
    let server = MemS3::start().unwrap();
    let store = client(&server);
    let key = Path::from("race");
    let creators = (0..32u8).map(|creator| {
        let (store, key) = (Arc::clone(&store), key.clone());
        let payload = PutPayload::from(vec![creator; 1000]);
        tokio::spawn(async move { (creator, store.put_opts(&key, payload, PutMode::Create.into()).await) })
    });
    let mut winners = Vec::new();
    for result in join_all(creators).await {
        match result.unwrap() {
            (creator, Ok(_)) => winners.push(creator),
            (_, Err(error)) => assert!(matches!(error, Error::AlreadyExists { .. }), "{error}"),
        }
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(get(&store, "race").await, vec![winners[0]; 1000]);
}

#[tokio::test]
async fn an_update_needs_the_present_version() {
    let server = MemS3::start().unwrap();
    let store = client(&server);
    let key = Path::from("manifest");
    let first = store.put(&key, PutPayload::from_static(b"1")).await.unwrap();
    let update = |version: UpdateVersion, text: &'static [u8]| {
        let (store, key) = (Arc::clone(&store), key.clone());
        async move { store.put_opts(&key, PutPayload::from_static(text), PutMode::Update(version).into()).await }
    };
    let first: UpdateVersion = first.into();
    update(first.clone(), b"2").await.unwrap();
    let error = update(first, b"3").await.unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error}");
    assert_eq!(get(&store, "manifest").await, "2");
}

#[tokio::test]
async fn ranges_are_exact() {
    let server = MemS3::start().unwrap();
    let store = client(&server);
    let key = Path::from("a");
    store.put(&key, PutPayload::from_static(b"0123456789")).await.unwrap();
    assert_eq!(store.get_range(&key, 2..5).await.unwrap(), "234");
    assert_eq!(store.get_range(&key, 0..10).await.unwrap(), "0123456789");
    assert_eq!(store.get_ranges(&key, &[0..1, 9..10]).await.unwrap(), ["0", "9"]);
    let read = async |range: GetRange| {
        let options = GetOptions { range: Some(range), ..GetOptions::default() };
        let result = store.get_opts(&key, options).await?;
        let range = result.range.clone();
        Ok::<_, Error>((range, result.bytes().await?))
    };
    assert_eq!(read(GetRange::Suffix(3)).await.unwrap(), (7..10, Bytes::from("789")));
    assert_eq!(read(GetRange::Offset(8)).await.unwrap(), (8..10, Bytes::from("89")));
    assert_eq!(read(GetRange::Bounded(8..20)).await.unwrap(), (8..10, Bytes::from("89")));
    assert!(read(GetRange::Bounded(10..11)).await.is_err());
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let server = MemS3::start().unwrap();
    let store = client(&server);
    let expected: Vec<_> = (0..2345).map(|number| format!("many/{number:05}")).collect();
    for key in &expected {
        server.tamper(key, Some(Bytes::from_static(b"x")));
    }
    server.tamper("other", Some(Bytes::new()));
    let prefix = Path::from("many");
    let keys = async |stream: futures::stream::BoxStream<'static, object_store::Result<_>>| {
        let metas: Vec<object_store::ObjectMeta> = stream.try_collect().await.unwrap();
        metas.into_iter().map(|meta| meta.location.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(keys(store.list(Some(&prefix))).await, expected);
    assert_eq!(server.counters().list, 3);
    let after = keys(store.list_with_offset(Some(&prefix), &Path::from("many/02340"))).await;
    assert_eq!(after, &expected[2341..]);
    let top = store.list_with_delimiter(None).await.unwrap();
    assert_eq!(top.common_prefixes, [prefix]);
    assert_eq!(top.objects.iter().map(|o| o.location.as_ref()).collect::<Vec<_>>(), ["other"]);

    let locations = expected.iter().map(|key| Ok(Path::from(key.as_str()))).collect::<Vec<_>>();
    let deleted = store.delete_stream(futures::stream::iter(locations).boxed()).try_collect::<Vec<_>>().await;
    assert_eq!(deleted.unwrap().len(), expected.len());
    assert_eq!(server.keys(), ["other"]);
}

#[tokio::test]
async fn multipart_uploads_join_their_parts_or_leave_nothing() {
    let server = MemS3::start().unwrap();
    let store = client(&server);
    let part = |byte: u8, size: usize| PutPayload::from(vec![byte; size]);
    let mut upload = store.put_multipart(&Path::from("big")).await.unwrap();
    let parts =
        [upload.put_part(part(1, 5 << 20)), upload.put_part(part(2, 5 << 20)), upload.put_part(part(3, 7))];
    assert!(join_all(parts).await.into_iter().all(|result| result.is_ok()));
    assert_eq!(server.keys(), Vec::<String>::new(), "an open upload is not seen");
    upload.complete().await.unwrap();
    let bytes = server.object("big").unwrap();
    assert_eq!(bytes.len(), (10 << 20) + 7);
    assert_eq!([bytes[0], bytes[5 << 20], bytes[10 << 20]], [1, 2, 3]);

    let mut small = store.put_multipart(&Path::from("small")).await.unwrap();
    small.put_part(part(1, 10)).await.unwrap();
    small.put_part(part(2, 10)).await.unwrap();
    let error = small.complete().await.unwrap_err();
    assert!(error.to_string().contains("EntityTooSmall"), "{error}");

    let mut aborted = store.put_multipart(&Path::from("aborted")).await.unwrap();
    aborted.put_part(part(1, 10)).await.unwrap();
    aborted.abort().await.unwrap();
    assert!(aborted.complete().await.is_err());
    assert_eq!(server.keys(), ["big"]);
    assert_eq!((server.counters().part, server.counters().complete), (6, 3));
}

#[tokio::test]
async fn slow_down_is_answered_until_it_is_over() {
    let server = MemS3::start().unwrap();
    let (patient, hasty) = (client_with(&server, SECRET_KEY, 5), client(&server));
    let key = Path::from("a");
    server.faults().slow_down_next(2);
    patient.put(&key, PutPayload::from_static(b"x")).await.unwrap();
    assert_eq!((server.counters().slowed, server.counters().put), (2, 1));
    server.faults().slow_down();
    let error = hasty.get(&key).await.unwrap_err();
    assert!(error.to_string().contains("503"), "{error}");
    server.faults().clear();
    assert_eq!(get(&hasty, "a").await, "x");
    assert_eq!((server.counters().slowed, server.counters().get), (3, 1));
}

#[tokio::test]
async fn a_dropped_connection_leaves_the_object_written() {
    let server = MemS3::start().unwrap();
    let store = client(&server);
    let key = Path::from("a");
    let create = || store.put_opts(&key, PutPayload::from_static(b"x"), PutMode::Create.into());
    server.faults().drop_after_put_next(1);
    let error = create().await.unwrap_err();
    assert!(matches!(error, Error::Generic { .. }), "{error}");
    assert_eq!(server.object("a").unwrap(), "x");
    assert!(matches!(create().await, Err(Error::AlreadyExists { .. })));
    assert_eq!((server.counters().dropped, server.counters().put), (1, 2));
}

#[tokio::test]
async fn a_delay_is_kept() {
    let server = MemS3::start().unwrap();
    let store = client(&server);
    let delay = Duration::from_millis(50);
    server.faults().delay(delay);
    let began = Instant::now();
    store.put(&Path::from("a"), PutPayload::from_static(b"x")).await.unwrap();
    assert!(began.elapsed() >= delay, "{:?}", began.elapsed());
}

#[tokio::test]
async fn damage_is_seen_and_the_configuration_names_the_server() {
    let server = MemS3::start().unwrap();
    let store = client(&server);
    store.put(&Path::from("a"), PutPayload::from_static(b"good")).await.unwrap();
    server.tamper("a", Some(Bytes::from_static(b"evil")));
    assert_eq!(get(&store, "a").await, "evil");
    server.tamper("a", None);
    assert!(matches!(store.get(&Path::from("a")).await, Err(Error::NotFound { .. })));
    let yaml = server.thanos_yaml("");
    for part in [&server.address().to_string(), BUCKET, ACCESS_KEY, SECRET_KEY, "insecure: true"] {
        assert!(yaml.contains(part), "{part} in {yaml}");
    }
}
