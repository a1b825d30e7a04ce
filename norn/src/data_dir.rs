//! The data directory: made when missing, tried for writing, held by one process at a time.
//!
//! The lock is the operating system's (`flock`) on the file `lock`, so it ends with the process, however that ends.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::fault::Fault;

/// The file that is locked; it holds the pid of the process that locked it last.
const LOCK_FILE: &str = "lock";

/// A data directory that this process may write and no other process holds.
#[derive(Debug)]
pub(crate) struct DataDir {
    _lock: File,
}

impl DataDir {
    /// Makes the directory when it is missing, and locks it.
    ///
    /// # Errors
    /// One line that says what to do: not writable, or held by another process.
    pub(crate) fn open(path: &Path) -> Result<Self, Fault> {
        let refused = |error: io::Error| {
            Fault::usage(format!(
                "data directory {}: {}: make it writable for this user or choose another --data.dir",
                path.display(),
                plain(&error)
            ))
        };
        fs::create_dir_all(path).map_err(refused)?;
        let file = path.join(LOCK_FILE);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(file)
            .map_err(refused)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            lock.read_to_string(&mut holder).map_err(refused)?;
            return Err(Fault::usage(format!(
                "data directory {}: held by another norn (pid {}): stop it or choose another --data.dir",
                path.display(),
                holder.trim()
            )));
        }
        let pid = std::process::id().to_string();
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| lock.write_all(pid.as_bytes()))
            .map_err(refused)?;
        Ok(Self { _lock: lock })
    }
}

/// Returns the error without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" (os error").unwrap_or(text.len());
    text[..end].to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_at_a_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a/b");
        let held = DataDir::open(&path).expect("it is made");
        let fault = DataDir::open(&path).expect_err("it is held").to_string();
        let expected = format!(
            "data directory {}: held by another norn (pid {}): stop it or choose another --data.dir",
            path.display(),
            std::process::id()
        );
        assert_eq!(fault, expected);
        drop(held);
        DataDir::open(&path).expect("it is free again");
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_one_line() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("file");
        fs::write(&file, "x").expect("a file");
        let fault = DataDir::open(&file.join("data")).expect_err("a file is in the way").to_string();
        assert!(fault.contains("not a directory: make it writable"), "{fault}");
        assert!(!fault.contains('\n'), "{fault}");
    }
}
