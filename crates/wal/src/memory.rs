//! A disk in memory that can fail like a real one: lose power, refuse to sync, be slow, be full.
//!
//! Names and file lengths are durable at once; contents only after a sync. For simulation and tests.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::disk::{Disk, DiskFile};

/// What a power failure keeps or loses as a whole.
const SECTOR_BYTES: usize = 512;

#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    sync_delay: Duration,
    sync_fails: bool,
    full: bool,
}

/// Files in memory; clones share them.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<String, Arc<MemoryFile>>>>,
    faults: Arc<Mutex<Faults>>,
    /// Whether there is power. Held shared by whatever changes something, and alone by a power failure, which is one
    /// moment for all files.
    power: Arc<RwLock<Power>>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Power {
    #[default]
    On,
    Failed,
}

struct MemoryFile {
    contents: Mutex<Contents>,
    faults: Arc<Mutex<Faults>>,
    power: Arc<RwLock<Power>>,
}

/// The bytes as readers see them, the bytes that would survive, and the sectors in which they differ.
struct Contents {
    seen: Vec<u8>,
    durable: Vec<u8>,
    dirty: Vec<bool>,
}

impl MemoryDisk {
    /// Makes every sync take that long.
    pub fn set_sync_delay(&self, delay: Duration) {
        self.faults.lock().sync_delay = delay;
    }

    /// Makes every sync fail from now on.
    pub fn fail_syncs(&self) {
        self.faults.lock().sync_fails = true;
    }

    /// Refuses new files, or takes them again.
    pub fn set_full(&self, full: bool) {
        self.faults.lock().full = full;
    }

    /// Returns the disk as it would be found after a power failure now, with the faults gone.
    ///
    /// Each sector that was not synced is kept when `keep` says so. On the old disk, for whoever still runs on it, no
    /// sync succeeds any more.
    pub fn after_power_failure(&self, mut keep: impl FnMut() -> bool) -> Self {
        let disk = Self::default();
        let mut power = self.power.write();
        *power = Power::Failed;
        for (name, file) in self.files.lock().iter() {
            let contents = file.contents.lock();
            let mut bytes = contents.durable.clone();
            for sector in (0..contents.dirty.len()).filter(|sector| contents.dirty[*sector]) {
                let range = sector * SECTOR_BYTES..((sector + 1) * SECTOR_BYTES).min(bytes.len());
                if keep() {
                    bytes[range.clone()].copy_from_slice(&contents.seen[range]);
                }
            }
            disk.insert(name, bytes);
        }
        disk
    }

    /// Returns a copy of a file's bytes as readers see them.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.files.lock().get(name).map(|file| file.contents.lock().seen.clone())
    }

    /// Puts a file of those bytes, all durable, in place of whatever had the name.
    pub fn insert(&self, name: &str, bytes: Vec<u8>) {
        self.files.lock().insert(name.to_owned(), Arc::new(MemoryFile::new(self, bytes)));
    }
}

impl MemoryFile {
    fn new(disk: &MemoryDisk, bytes: Vec<u8>) -> Self {
        let dirty = vec![false; bytes.len().div_ceil(SECTOR_BYTES)];
        Self {
            contents: Mutex::new(Contents { seen: bytes.clone(), durable: bytes, dirty }),
            faults: Arc::clone(&disk.faults),
            power: Arc::clone(&disk.power),
        }
    }
}

fn not_found() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl Disk for MemoryDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.lock().keys().cloned().collect())
    }

    fn create(&self, name: &str, length: u64) -> io::Result<Arc<dyn DiskFile>> {
        if self.faults.lock().full {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.insert(name, vec![0; length]);
        self.open(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file: Arc<MemoryFile> = self.files.lock().get(name).cloned().ok_or_else(not_found)?;
        Ok(file)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let _power = self.power.read();
        let mut files = self.files.lock();
        let file = files.remove(from).ok_or_else(not_found)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.lock().remove(name).map(|_| ()).ok_or_else(not_found)
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let contents = self.contents.lock();
        let start = usize::try_from(offset).map_err(io::Error::other)?.min(contents.seen.len());
        let count = buffer.len().min(contents.seen.len() - start);
        buffer[..count].copy_from_slice(&contents.seen[start..start + count]);
        Ok(count)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let _power = self.power.read();
        let mut contents = self.contents.lock();
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start + data.len();
        if end > contents.seen.len() {
            return Err(io::Error::other("write beyond the end of a file of fixed length"));
        }
        contents.seen[start..end].copy_from_slice(data);
        contents.dirty[start / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES)].fill(true);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let faults = *self.faults.lock();
        if faults.sync_fails {
            return Err(io::Error::other("injected sync failure"));
        }
        if !faults.sync_delay.is_zero() {
            std::thread::sleep(faults.sync_delay);
        }
        let power = self.power.read();
        if *power == Power::Failed {
            return Err(io::Error::other("the power has failed"));
        }
        let contents = &mut *self.contents.lock();
        for sector in 0..contents.dirty.len() {
            if std::mem::take(&mut contents.dirty[sector]) {
                let range = sector * SECTOR_BYTES..((sector + 1) * SECTOR_BYTES).min(contents.seen.len());
                contents.durable[range.clone()].copy_from_slice(&contents.seen[range]);
            }
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.contents.lock().seen.len() as u64)
    }
}
