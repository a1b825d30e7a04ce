//! Where foreign blocks are: a directory of them, one of them, or a bucket in Thanos's layout.
//!
//! Blocks of a bucket are fetched into a directory that goes away afterwards, one at a time.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tsdb::{META_FILE, Meta, TOMBSTONES_FILE};

use crate::fault::Fault;

/// What Thanos puts beside a block that is to be deleted.
const DELETION_MARK: &str = "deletion-mark.json";
/// How many blocks' facts are read at the same time.
const METAS_IN_FLIGHT: usize = 16;

/// Foreign blocks.
pub(super) enum Source {
    /// Directories, by the name of the block.
    Dirs(Vec<PathBuf>),
    /// A bucket.
    Bucket(Arc<dyn ObjectStore>),
}

/// One foreign block that was found.
pub(super) struct Found {
    pub(super) meta: Meta,
    /// `None` in a bucket.
    dir: Option<PathBuf>,
}

/// A block's directory, for as long as it is needed.
pub(super) struct Opened {
    pub(super) dir: PathBuf,
    _fetched: Option<TempDir>,
}

impl Source {
    /// Opens what the command line names: a directory, or the file that configures a bucket.
    pub(super) fn open(place: &Path) -> Result<Self, Fault> {
        let cannot =
            |error: std::io::Error| Fault::usage(format!("cannot read {}: {error}", place.display()));
        if fs::metadata(place).map_err(cannot)?.is_file() {
            let text = fs::read_to_string(place).map_err(cannot)?;
            let config = block::ObjectStoreConfig::from_thanos_yaml(&text);
            let fault = |error: block::BlockError| Fault::usage(format!("{}: {error}", place.display()));
            return Ok(Self::Bucket(block::open_store(&config.map_err(fault)?).map_err(fault)?));
        }
        if place.join(META_FILE).is_file() {
            return Ok(Self::Dirs(vec![place.to_owned()]));
        }
        let entries = fs::read_dir(place).map_err(cannot)?.collect::<Result<Vec<_>, _>>().map_err(cannot)?;
        let mut dirs: Vec<PathBuf> =
            entries.iter().map(fs::DirEntry::path).filter(|dir| dir.join(META_FILE).is_file()).collect();
        dirs.sort();
        Ok(Self::Dirs(dirs))
    }

    /// Reads what all blocks say of themselves, the oldest first; of each one that cannot be read, why.
    pub(super) async fn list(&self) -> Result<(Vec<Found>, Vec<String>), Fault> {
        let mut refused = Vec::new();
        let mut found = Vec::new();
        match self {
            Self::Dirs(dirs) => {
                for dir in dirs {
                    match Meta::read(dir) {
                        Ok(meta) => found.push(Found { meta, dir: Some(dir.clone()) }),
                        Err(error) => refused.push(service::chain(&error)),
                    }
                }
            }
            Self::Bucket(store) => {
                let fault = |error: object_store::Error| Fault::of("the source's bucket", &error);
                let listed = store.list_with_delimiter(None).await.map_err(fault)?;
                let read = listed.common_prefixes.into_iter().map(|prefix| read_meta(store.as_ref(), prefix));
                let read: Vec<Option<Result<Meta, String>>> = futures::stream::iter(read)
                    .buffered(METAS_IN_FLIGHT)
                    .try_collect()
                    .await
                    .map_err(fault)?;
                for meta in read.into_iter().flatten() {
                    match meta {
                        Ok(meta) => found.push(Found { meta, dir: None }),
                        Err(error) => refused.push(error),
                    }
                }
            }
        }
        found.sort_by(|a, b| (a.meta.min_time, &a.meta.ulid).cmp(&(b.meta.min_time, &b.meta.ulid)));
        Ok((found, refused))
    }

    /// Returns a block's directory, fetching it when it is in a bucket.
    pub(super) async fn open_block(&self, found: &Found) -> Result<Opened, String> {
        match (self, &found.dir) {
            (Self::Bucket(store), _) => fetch(store.as_ref(), &found.meta.ulid).await,
            (_, Some(dir)) => Ok(Opened { dir: dir.clone(), _fetched: None }),
            (Self::Dirs(_), None) => unreachable!("blocks of directories have one"),
        }
    }
}

/// Reads what a prefix of a bucket says of itself; `None` when it is no block, or one that is to be deleted.
async fn read_meta(
    store: &dyn ObjectStore,
    prefix: Key,
) -> Result<Option<Result<Meta, String>>, object_store::Error> {
    let key = prefix.clone().join(META_FILE);
    let bytes = match store.get(&key).await {
        Ok(object) => object.bytes().await?,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    match store.head(&prefix.join(DELETION_MARK)).await {
        Ok(_) => return Ok(None),
        Err(object_store::Error::NotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(Some(Meta::parse(Path::new(key.as_ref()), &bytes).map_err(|error| service::chain(&error))))
}

/// Copies a block of a bucket into a directory.
async fn fetch(store: &dyn ObjectStore, ulid: &str) -> Result<Opened, String> {
    let fault =
        |error: &dyn std::error::Error| format!("cannot fetch block {ulid}: {}", service::chain(error));
    let dir = tempfile::tempdir().map_err(|error| fault(&error))?;
    let prefix = Key::from(ulid);
    let objects: Vec<_> = store.list(Some(&prefix)).try_collect().await.map_err(|error| fault(&error))?;
    for object in objects {
        let name = object.location.as_ref().strip_prefix(&format!("{ulid}/")).unwrap_or_default().to_owned();
        let is_segment = name.strip_prefix("chunks/").is_some_and(|rest| !rest.contains('/'));
        if !is_segment && ![META_FILE, "index", TOMBSTONES_FILE].contains(&name.as_str()) {
            continue;
        }
        let path = dir.path().join(&name);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        made.map_err(|error| fault(&error))?;
        let got = store.get(&object.location).await.map_err(|error| fault(&error))?;
        let mut stream = got.into_stream();
        let mut file = tokio::fs::File::create(&path).await.map_err(|error| fault(&error))?;
        while let Some(part) = stream.try_next().await.map_err(|error| fault(&error))? {
            file.write_all(&part).await.map_err(|error| fault(&error))?;
        }
        file.flush().await.map_err(|error| fault(&error))?;
    }
    Ok(Opened { dir: dir.path().to_owned(), _fetched: Some(dir) })
}

#[cfg(test)]
mod tests {
    use model::{BlockId, BlockRange, LabelSet, Samples};
    use tsdb::{Block, BlockWriter};

    use super::*;

    /// Writes a block of one sample below a directory; returns its name.
    fn write(parent: &Path, number: u128, end_ms: i64) -> String {
        let range = BlockRange::new(end_ms - 1000, end_ms);
        let mut writer = BlockWriter::create(parent, BlockId(number), range).expect("writable");
        let mut samples = Samples::default();
        samples.push(end_ms - 1, 1.0);
        writer.add(&LabelSet::from_pairs([("__name__", "up")]), &samples).expect("writable");
        writer.finish().expect("writable").meta.ulid
    }

    /// Puts Thanos's section into a block's facts.
    fn edit(dir: &Path, thanos: &str) {
        let path = dir.join(META_FILE);
        let mut meta: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).expect("written")).expect("JSON");
        meta["thanos"] = serde_json::from_str(thanos).expect("JSON");
        fs::write(&path, meta.to_string()).expect("writable");
    }

    async fn check(source: &Source, expected: &[&str], refused: usize) {
        let (found, bad) = source.list().await.unwrap_or_else(|fault| panic!("{fault}"));
        let ulids: Vec<&str> = found.iter().map(|found| found.meta.ulid.as_str()).collect();
        assert_eq!((ulids.as_slice(), bad.len()), (expected, refused), "{bad:?}");
        for found in &found {
            let opened = source.open_block(found).await.expect("it is there");
            let block = Block::open(&opened.dir).expect("undamaged");
            let mut cursor = block.series();
            let entry = cursor.next_series().expect("undamaged").expect("a series");
            let mut samples = Samples::default();
            cursor.read(&entry, model::TimeRange::ALL, &mut samples).expect("undamaged");
            assert_eq!(samples.len(), 1);
        }
    }

    #[tokio::test]
    async fn blocks_are_found_in_directories_and_buckets() {
        let dir = tempfile::tempdir().expect("a directory");
        let bucket = dir.path().join("bucket");
        let (late, early) = (write(&bucket, 1, 9000), write(&bucket, 2, 5000));
        let marked = write(&bucket, 3, 7000);
        fs::write(bucket.join(&marked).join(DELETION_MARK), "{}").expect("writable");
        edit(
            &bucket.join(&late),
            r#"{"labels": {"site": "x"}, "downsample": {"resolution": 0}, "source": "sidecar"}"#,
        );
        let broken = write(&bucket, 4, 8000);
        fs::write(bucket.join(&broken).join(META_FILE), "{").expect("writable");
        fs::create_dir_all(bucket.join("debug/metas")).expect("writable");
        let config = dir.path().join("bucket.yml");
        let text = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", bucket.display());
        fs::write(&config, text).expect("writable");
        let open = |place: &Path| Source::open(place).unwrap_or_else(|fault| panic!("{fault}"));
        check(&open(&config), &[&early, &late], 1).await;
        // A directory is taken as it is: marks are Thanos's.
        check(&open(&bucket), &[&early, &marked, &late], 1).await;
        check(&open(&bucket.join(&late)), &[&late], 0).await;
        assert!(Source::open(&dir.path().join("nothing")).is_err());
    }
}
