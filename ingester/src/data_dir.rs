//! The data directory: locked by one process, and marked with the identity of its disk.
//!
//! `identity.json` is written once, by rename after fsync. A node whose identity is gone is a new disk: it must not vote
//! under the old node id (a quorum could intersect in a disk that forgot), and the control state refuses it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::IngesterError;

const IDENTITY_FILE: &str = "identity.json";
const LOCK_FILE: &str = "lock";
const CHUNKS_DIR: &str = "chunks";

#[derive(Debug, Serialize, Deserialize)]
struct Identity {
    format: u32,
    disk_id: String,
    cluster: Option<String>,
    name: Option<String>,
}

/// An open data directory. The lock is held until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    identity: Identity,
    disk_id: [u8; 16],
    _lock: File,
}

impl DataDir {
    /// Opens a directory, creating it when it is not there, and takes its lock.
    ///
    /// # Errors
    /// [`IngesterError::DataDir`] when it cannot be created, written or locked, or the identity is damaged.
    pub fn open(path: &Path) -> Result<Self, IngesterError> {
        let fail = |what: &str, source: Option<io::Error>| {
            let what = match &source {
                Some(error) => format!("{what}: {error}"),
                None => what.to_owned(),
            };
            IngesterError::DataDir { path: path.to_owned(), what, source }
        };
        fs::create_dir_all(path)
            .map_err(|e| fail("cannot be created; choose another with --data.dir", Some(e)))?;
        let lock = File::options().create(true).truncate(false).write(true).open(path.join(LOCK_FILE));
        let lock = lock.map_err(|e| fail("cannot be written; choose another with --data.dir", Some(e)))?;
        lock.try_lock().map_err(|_| fail("is locked by another running norn", None))?;
        let identity = match read_identity(path) {
            Ok(Some(identity)) => identity,
            Ok(None) => {
                let disk_id = random_id().map_err(|e| fail("no random bytes", Some(e)))?;
                let identity = Identity { format: 1, disk_id: hex(&disk_id), cluster: None, name: None };
                write_identity(path, &identity).map_err(|e| fail("cannot be written", Some(e)))?;
                identity
            }
            Err(error) => return Err(fail("identity.json is damaged", Some(error))),
        };
        let disk_id =
            unhex(&identity.disk_id).ok_or_else(|| fail("identity.json has no valid disk_id", None))?;
        Ok(Self { path: path.to_owned(), identity, disk_id, _lock: lock })
    }

    /// Returns the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the directory for files that go with the process, made if need be.
    ///
    /// # Errors
    /// [`IngesterError::DataDir`] when it cannot be made.
    pub(crate) fn chunks_dir(&self) -> Result<PathBuf, IngesterError> {
        let path = self.path.join(CHUNKS_DIR);
        match fs::create_dir_all(&path) {
            Ok(()) => Ok(path),
            Err(error) => {
                let what = format!("cannot be created: {error}");
                Err(IngesterError::DataDir { path, what, source: Some(error) })
            }
        }
    }

    /// Returns the id of this disk.
    pub fn disk_id(&self) -> [u8; 16] {
        self.disk_id
    }

    /// Tells whether no node was ever started on this disk.
    pub(crate) fn is_fresh(&self) -> bool {
        self.identity.name.is_none()
    }

    /// Binds a fresh directory to a node, or checks that it is bound to this one.
    pub(crate) fn bind(&mut self, cluster: &str, name: &str) -> Result<(), IngesterError> {
        let expected = format!("ingester {name:?} of cluster {cluster:?}");
        match (&self.identity.cluster, &self.identity.name) {
            (Some(c), Some(n)) if c == cluster && n == name => Ok(()),
            (Some(c), Some(n)) => {
                let found = format!("ingester {n:?} of cluster {c:?}");
                Err(IngesterError::WrongIdentity { path: self.path.clone(), found, expected })
            }
            _ => {
                self.identity.cluster = Some(cluster.to_owned());
                self.identity.name = Some(name.to_owned());
                write_identity(&self.path, &self.identity).map_err(|e| IngesterError::DataDir {
                    path: self.path.clone(),
                    what: format!("identity.json cannot be written: {e}"),
                    source: Some(e),
                })
            }
        }
    }
}

fn read_identity(dir: &Path) -> io::Result<Option<Identity>> {
    match fs::read(dir.join(IDENTITY_FILE)) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_identity(dir: &Path, identity: &Identity) -> io::Result<()> {
    let (temporary, target) = (dir.join("identity.json.tmp"), dir.join(IDENTITY_FILE));
    let mut file = File::create(&temporary)?;
    file.write_all(&serde_json::to_vec_pretty(identity).map_err(io::Error::other)?)?;
    file.sync_all()?;
    fs::rename(&temporary, &target)?;
    File::open(dir)?.sync_all()
}

/// Reads 16 bytes from the operating system's generator.
pub(crate) fn random_id() -> io::Result<[u8; 16]> {
    let mut id = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut id)?;
    Ok(id)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_survives_and_binds_once() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut data = DataDir::open(dir.path()).expect("fresh");
        let disk_id = data.disk_id();
        assert!(data.is_fresh());
        assert!(DataDir::open(dir.path()).is_err(), "locked while open");
        data.bind("c", "i-0").expect("fresh");
        drop(data);
        let mut data = DataDir::open(dir.path()).expect("unlocked by drop");
        assert_eq!(data.disk_id(), disk_id);
        assert!(!data.is_fresh());
        data.bind("c", "i-0").expect("the same node");
        assert!(matches!(data.bind("c", "i-1"), Err(IngesterError::WrongIdentity { .. })));
        assert!(matches!(data.bind("d", "i-0"), Err(IngesterError::WrongIdentity { .. })));
    }

    #[test]
    fn a_damaged_identity_is_an_error_and_not_a_new_disk() {
        let dir = tempfile::tempdir().expect("temporary directory");
        fs::write(dir.path().join(IDENTITY_FILE), "{").expect("write");
        let error = DataDir::open(dir.path()).expect_err("damaged");
        assert!(error.to_string().contains("identity.json is damaged"), "{error}");
    }
}
