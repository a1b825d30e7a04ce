//! What the log engine asks of a disk: files of fixed length in one directory.
//!
//! [`Directory`] is the real one; [`crate::memory::MemoryDisk`] keeps its files in memory and can lose what was not
//! synced. It is not a file system: no nesting, no growing files, no listing order.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::WalError;

/// The name of the file that is locked while a directory is used.
const LOCK_NAME: &str = "lock";

/// How much is zeroed at once when a file is created.
const ZERO_BYTES: usize = 1 << 20;

/// A file of fixed length.
pub trait DiskFile: Send + Sync {
    /// Fills the buffer from the offset; returns how many bytes there were, fewer only at the end of the file.
    ///
    /// # Errors
    /// What the disk answers.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all bytes at the offset. They may be lost, wholly or in part and in any order, until [`Self::sync`].
    ///
    /// # Errors
    /// What the disk answers. The contents are then undefined.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// What the disk answers. What was written is then lost or not, and trying again proves nothing.
    fn sync(&self) -> io::Result<()>;

    /// Returns the length in bytes.
    ///
    /// # Errors
    /// What the disk answers.
    fn length(&self) -> io::Result<u64>;
}

/// A flat directory of files.
pub trait Disk: Send + Sync {
    /// Lists the names of all files, in no order.
    ///
    /// # Errors
    /// What the disk answers.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Creates a file of that many zero bytes, all of them allocated and durable, under a new name.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] when it does not fit; nothing is left behind then.
    fn create(&self, name: &str, length: u64) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file.
    ///
    /// # Errors
    /// What the disk answers.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, in place of a file that has it already. Durable on return.
    ///
    /// # Errors
    /// What the disk answers.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the disk answers.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// A directory of the file system, held by a lock against other processes.
pub struct Directory {
    path: PathBuf,
    handle: File,
    _lock: File,
}

impl Directory {
    /// Opens or creates a directory and locks it.
    ///
    /// # Errors
    /// [`WalError::Locked`] when another process holds it; [`WalError::Io`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, WalError> {
        let path = path.into();
        let shown = path.display().to_string();
        std::fs::create_dir_all(&path).map_err(WalError::io("create", &shown))?;
        let handle = File::open(&path).map_err(WalError::io("open", &shown))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK_NAME))
            .map_err(WalError::io("open the lock of", &shown))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| WalError::Locked { directory: shown })?;
        Ok(Self { path, handle, _lock: lock })
    }
}

impl Disk for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.path)?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn create(&self, name: &str, length: u64) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.path.join(name);
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path)?;
        if let Err(error) = fill_with_zeros(&file, length) {
            drop(file);
            std::fs::remove_file(&path)?;
            return Err(error);
        }
        self.handle.sync_all()?;
        Ok(Arc::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path.join(name))?;
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))?;
        self.handle.sync_all()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }
}

/// Writes real zeros, not a hole: later writes then change no metadata, so a sync of data alone suffices.
fn fill_with_zeros(file: &File, length: u64) -> io::Result<()> {
    let zeros = vec![0; ZERO_BYTES];
    let mut at = 0;
    while at < length {
        let part = usize::try_from(length - at).unwrap_or(usize::MAX).min(ZERO_BYTES);
        file.write_all_at(&zeros[..part], at)?;
        at += part as u64;
    }
    file.sync_all()
}

impl DiskFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match FileExt::read_at(self, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
