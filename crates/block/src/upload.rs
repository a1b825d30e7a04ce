//! Puts a finished block into the object store, and takes it out again. Both may be repeated at any time by anybody.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use model::{BlockMeta, ErrorKind, ObjectMeta};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};

use crate::build::BuiltBlock;
use crate::error::BlockError;

/// How often an operation is tried before its error is returned; the S3 client retries single requests below this.
const ATTEMPTS_MAX: u32 = 4;
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

/// Deletes both objects of a block; what is already gone counts as deleted.
///
/// # Errors
/// Kind `Unavailable` when the store does not answer; the other object may be deleted already: repeat.
pub async fn delete(store: &dyn ObjectStore, meta: &BlockMeta) -> Result<(), BlockError> {
    for object in [&meta.series_object, &meta.chunks_object] {
        let path = Path::from(object.key.as_str());
        with_retries(|| async {
            match store.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(e) => Err(BlockError::store("deleting", &object.key, e)),
            }
        })
        .await?;
    }
    Ok(())
}
