//! Puts a finished block into the object store, and takes it out again. Both may be repeated at any time by anybody.

use std::future::Future;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use model::{BlockId, BlockMeta, ErrorKind, ObjectMeta};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};

use crate::build::BuiltBlock;
use crate::error::BlockError;
use crate::layout::object_keys;
use crate::merge::MergedBlock;

/// How often an operation is tried before its error is returned; the S3 client retries single requests below this.
const ATTEMPTS_MAX: u32 = 4;
/// Up to this size an object is sent as one request, only if there is none of its name yet.
const SINGLE_PUT_BYTES_MAX: u64 = 16 << 20;
/// The size of one part of a larger object, of which one is in memory; a store takes 10,000 parts.
const PART_BYTES: usize = 8 << 20;
/// The pause after the first failure; it doubles with each.
const BACKOFF_FIRST: Duration = Duration::from_millis(200);

/// Tries an operation again while it fails with kind `Unavailable`, up to [`ATTEMPTS_MAX`] times.
pub(crate) async fn with_retries<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, BlockError>
where
    F: Future<Output = Result<T, BlockError>>,
{
    let mut backoff = BACKOFF_FIRST;
    for _ in 1..ATTEMPTS_MAX {
        match attempt().await {
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                tracing::debug!(%error, ?backoff, "object store: trying again");
                tokio::time::sleep(backoff).await;
                backoff *= 2;
            }
            done => return done,
        }
    }
    attempt().await
}

/// Uploads both objects, chunks first, each only if there is none of its name yet.
///
/// An object that is there with the same bytes counts as uploaded, so an upload may be repeated, also by another replica at
/// the same time. Not atomic over both objects: the catalogue publishes a block after this returned.
///
/// # Errors
/// [`BlockError::Conflict`] when an object of that name holds other bytes; kind `Unavailable` when the store does not
/// answer: try again later.
pub async fn upload(store: &dyn ObjectStore, built: &BuiltBlock) -> Result<(), BlockError> {
    upload_object(store, &built.meta.chunks_object, &built.chunks_bytes).await?;
    upload_object(store, &built.meta.series_object, &built.series_bytes).await
}

/// Uploads both objects of a block in files, chunks first; large ones in parts.
///
/// As [`upload`], an object that is there with the same bytes counts as uploaded. A large one that comes to be there during
/// the upload is replaced: a merged block's name is given to one attempt only, and whoever else cuts the block of a name
/// writes the same bytes. The catalogue publishes it after this returned.
///
/// # Errors
/// As [`upload`].
pub async fn upload_merged(store: &dyn ObjectStore, merged: &MergedBlock) -> Result<(), BlockError> {
    let object = &merged.meta.chunks_object;
    if object.size_bytes <= SINGLE_PUT_BYTES_MAX {
        let bytes = read_part(merged, 0..object.size_bytes).await?;
        upload_object(store, object, &bytes).await?;
    } else {
        with_retries(|| upload_large(store, merged, PART_BYTES)).await?;
    }
    upload_object(store, &merged.meta.series_object, &merged.series_bytes).await
}

async fn read_part(merged: &MergedBlock, range: Range<u64>) -> Result<Bytes, BlockError> {
    let object = &merged.meta.chunks_object.key;
    let read = tokio::task::spawn_blocking(merged.read_chunks(range)).await;
    let read = read.map_err(|e| BlockError::Task { object: object.clone(), reason: e.to_string() })?;
    read.map_err(|source| BlockError::Io { operation: "reading the merged", object: object.clone(), source })
}

/// Uploads the chunks of a block in parts, unless they are there.
async fn upload_large(
    store: &dyn ObjectStore,
    merged: &MergedBlock,
    part_bytes: usize,
) -> Result<(), BlockError> {
    let object = &merged.meta.chunks_object;
    let path = Path::from(object.key.as_str());
    let there = match store.head(&path).await {
        Ok(there) => there,
        Err(object_store::Error::NotFound { .. }) => return upload_parts(store, merged, part_bytes).await,
        Err(e) => return Err(BlockError::store("comparing", &object.key, e)),
    };
    let conflict = |reason: String| BlockError::Conflict { object: object.key.clone(), reason };
    if there.size != object.size_bytes {
        return Err(conflict(format!("{} bytes, expected {}", there.size, object.size_bytes)));
    }
    for start in (0..object.size_bytes).step_by(part_bytes) {
        let range = start..object.size_bytes.min(start + part_bytes as u64);
        let stored = store.get_range(&path, range.clone()).await;
        let stored = stored.map_err(|e| BlockError::store("comparing", &object.key, e))?;
        if stored != read_part(merged, range).await? {
            return Err(conflict(format!("other bytes behind {start}")));
        }
    }
    Ok(())
}

async fn upload_parts(
    store: &dyn ObjectStore,
    merged: &MergedBlock,
    part_bytes: usize,
) -> Result<(), BlockError> {
    let object = &merged.meta.chunks_object;
    let fail = |source| BlockError::Store { operation: "uploading", object: object.key.clone(), source };
    let mut upload = store.put_multipart(&Path::from(object.key.as_str())).await.map_err(fail)?;
    let sent = async {
        for start in (0..object.size_bytes).step_by(part_bytes) {
            let end = object.size_bytes.min(start + part_bytes as u64);
            let part = read_part(merged, start..end).await?;
            upload.put_part(PutPayload::from(part)).await.map_err(fail)?;
        }
        upload.complete().await.map(drop).map_err(fail)
    }
    .await;
    if sent.is_err() {
        // Parts of an upload that is not completed take room until the bucket's own rule removes them.
        let _ = upload.abort().await;
    }
    sent
}

async fn upload_object(
    store: &dyn ObjectStore,
    object: &ObjectMeta,
    bytes: &Bytes,
) -> Result<(), BlockError> {
    let path = Path::from(object.key.as_str());
    with_retries(|| async {
        let options = PutOptions::from(PutMode::Create);
        match store.put_opts(&path, PutPayload::from(bytes.clone()), options).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                compare(store, &path, object, bytes).await
            }
            // Also "not found", which is then the bucket.
            Err(source) => {
                Err(BlockError::Store { operation: "uploading", object: object.key.clone(), source })
            }
        }
    })
    .await
}

/// Compares an object that is there with what should be: size first, then every byte.
async fn compare(
    store: &dyn ObjectStore,
    path: &Path,
    object: &ObjectMeta,
    bytes: &Bytes,
) -> Result<(), BlockError> {
    let conflict = |reason: String| BlockError::Conflict { object: object.key.clone(), reason };
    let fail = |e| BlockError::store("comparing", &object.key, e);
    let there = store.head(path).await.map_err(fail)?;
    if there.size != object.size_bytes {
        return Err(conflict(format!("{} bytes, expected {}", there.size, object.size_bytes)));
    }
    let there = store.get(path).await.map_err(fail)?.bytes().await.map_err(fail)?;
    if there != *bytes {
        let crc = crc32c::crc32c(&there);
        return Err(conflict(format!("checksum {crc:08x}, expected {:08x}", object.crc32c)));
    }
    Ok(())
}

/// Deletes what a job may have written under a name that never became a block; what is not there counts as deleted.
///
/// # Errors
/// As [`delete`].
pub async fn delete_orphan(store: &dyn ObjectStore, id: BlockId) -> Result<(), BlockError> {
    let (series, chunks) = object_keys(id);
    delete_objects(store, [&series, &chunks]).await
}

/// Deletes both objects of a block; what is already gone counts as deleted.
///
/// # Errors
/// Kind `Unavailable` when the store does not answer; the other object may be deleted already: repeat.
pub async fn delete(store: &dyn ObjectStore, meta: &BlockMeta) -> Result<(), BlockError> {
    delete_objects(store, [&meta.series_object.key, &meta.chunks_object.key]).await
}

async fn delete_objects(store: &dyn ObjectStore, keys: [&String; 2]) -> Result<(), BlockError> {
    for key in keys {
        let path = Path::from(key.as_str());
        with_retries(|| async {
            match store.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(e) => Err(BlockError::store("deleting", key, e)),
            }
        })
        .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use model::{BlockRange, LabelSet, Samples, ShardId};
    use object_store::memory::InMemory;

    use super::*;
    use crate::{BlockInput, BlockReader, BlockSpec, ObjectStoreReader, build, merge};

    #[tokio::test]
    async fn a_large_block_is_uploaded_in_parts() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let spec = BlockSpec {
            id: BlockId(1),
            shard: ShardId(1),
            range: BlockRange::new(0, 100_000),
            level: 0,
            cut_index: 1,
            parents: Vec::new(),
            resolution_ms: 0,
            sort_range: model::SortRange::ALL,
            external_labels: BTreeMap::new(),
            metadata: Vec::new(),
        };
        let labels = LabelSet::from_pairs([("__name__", "m")]);
        let mut samples = Samples::default();
        (0..90_000).step_by(150).for_each(|time| samples.push(time, f64::sqrt(time as f64)));
        let built = build(&spec, [BlockInput { labels: &labels, samples: &samples }]).expect("valid");
        upload(&*store, &built).await.expect("an empty store takes it");
        let reader = Arc::new(ObjectStoreReader::new(Arc::clone(&store)));
        let reader = BlockReader::open(reader, built.meta).await.expect("undamaged");
        let output = crate::MergeOutput { id: BlockId(2), level: 1, sort_range: model::SortRange::ALL };
        let merged = merge(&output, vec![reader], Arc::new(crate::EraseNothing), &std::env::temp_dir())
            .await
            .expect("undamaged");
        let object = &merged.meta.chunks_object;
        assert!(object.size_bytes > 1000, "{} bytes", object.size_bytes);
        upload_large(&*store, &merged, 999).await.expect("the store takes it");
        let stored = store.get(&Path::from(object.key.as_str())).await.expect("it is there");
        let stored = stored.bytes().await.expect("readable");
        assert_eq!((stored.len() as u64, crc32c::crc32c(&stored)), (object.size_bytes, object.crc32c));
        upload_large(&*store, &merged, 999).await.expect("the same bytes are there");
        let mut other = stored.to_vec();
        other[2000] ^= 1;
        store.put(&Path::from(object.key.as_str()), other.into()).await.expect("the store takes it");
        let error = upload_large(&*store, &merged, 999).await.expect_err("others are there");
        assert!(matches!(error, BlockError::Conflict { .. }), "{error}");
    }
}
