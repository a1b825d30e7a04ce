//! The directory that holds the entries. All of it blocks: call it from a blocking thread.
//!
//! Life cycle: [`CacheDir::open`] makes the directory; [`CacheDir::take_over`] finds the entries of an earlier run, oldest use
//! first, and removes files that were not finished: that takes seconds for a full cache, and until then those entries are
//! as if they were not there. The process that opens a directory must be its only user.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;

use super::entry::{EntryKey, EntryName};
use crate::lru::Lru;
use crate::metrics::CacheMetrics;

/// Files that are being written end so.
const UNFINISHED_SUFFIX: &str = ".tmp";
/// The time of an entry's last use is written to disk when what stands there is older than this.
const USE_TIME_PRECISION: Duration = Duration::from_secs(600);

/// When the disk is full, this part of the entries goes: one in so many bytes.
const FULL_DISK_SHARE: u64 = 16;

/// Entries on disk, bounded by their bytes.
pub(crate) struct CacheDir {
    root: PathBuf,
    size_bytes_max: u64,
    index: Mutex<Lru<EntryName, ()>>,
    metrics: CacheMetrics,
    /// Whether the last use of the disk failed, so that a broken disk is logged once.
    is_failing: AtomicBool,
    /// Whether the disk was full once.
    was_full: AtomicBool,
    /// Whether the index has what an earlier run left.
    is_complete: AtomicBool,
    next_unfinished: AtomicU64,
    /// What is not finished and older than this is of an earlier run.
    opened: SystemTime,
}

impl CacheDir {
    /// Opens a directory, and makes it when it does not exist.
    ///
    /// # Errors
    /// Those of the file system, when it cannot be made.
    pub(crate) fn open(root: &Path, size_bytes_max: u64, metrics: CacheMetrics) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        Ok(Self {
            root: root.to_owned(),
            size_bytes_max,
            index: Mutex::new(Lru::new(size_bytes_max)),
            metrics,
            is_failing: AtomicBool::new(false),
            was_full: AtomicBool::new(false),
            is_complete: AtomicBool::new(false),
            next_unfinished: AtomicU64::new(0),
            opened: SystemTime::now(),
        })
    }

    /// Takes over what an earlier run left; entries that were written meanwhile stay the newest.
    pub(crate) fn take_over(&self) {
        match self.find() {
            Ok(found) => {
                let gone = self.index.lock().insert_oldest(found);
                self.metrics.evictions.inc_by(gone.len() as u64);
                gone.into_iter().for_each(|name| self.remove_file(name));
            }
            Err(error) => self.failed("listing", &error),
        }
        self.is_complete.store(true, Ordering::Relaxed);
        self.update_gauges();
    }

    /// Returns all entries, newest use first.
    fn find(&self) -> io::Result<Vec<(EntryName, (), u64)>> {
        let mut found = Vec::new();
        for folder in fs::read_dir(&self.root)? {
            let folder = folder?;
            if folder.file_type()?.is_dir() {
                self.collect(&folder.path(), &mut found)?;
            }
        }
        found.sort_unstable_by_key(|(used, ..)| std::cmp::Reverse(*used));
        Ok(found.into_iter().map(|(_, name, size)| (name, (), size)).collect())
    }

    /// Collects the entries of one folder and removes unfinished files of an earlier run; other files are left alone.
    fn collect(&self, folder: &Path, found: &mut Vec<(SystemTime, EntryName, u64)>) -> io::Result<()> {
        for file in fs::read_dir(folder)? {
            let file = file?;
            let Some(text) = file.file_name().to_str().map(str::to_owned) else { continue };
            let facts = match file.metadata() {
                // Evicted or finished since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                facts => facts?,
            };
            if text.ends_with(UNFINISHED_SUFFIX) {
                if facts.modified()? < self.opened {
                    fs::remove_file(file.path())?;
                }
            } else if let Some(name) = EntryName::parse(&text) {
                found.push((facts.modified()?, name, facts.len()));
            }
        }
        Ok(())
    }

    /// Returns how many bytes entries may take.
    pub(crate) fn size_bytes_max(&self) -> u64 {
        self.size_bytes_max
    }

    /// Tells whether an entry is there, without using it.
    pub(crate) fn contains(&self, key: &EntryKey) -> bool {
        self.index.lock().contains(&key.name())
    }

    /// Returns the bytes of an entry that is there and whole; a damaged one is removed.
    pub(crate) fn load(&self, key: &EntryKey) -> Option<Bytes> {
        let name = key.name();
        self.index.lock().get(&name)?;
        let path = self.path(name);
        let file = match read(&path) {
            Ok(file) => file,
            Err(error) => {
                self.remove(name);
                if error.kind() != io::ErrorKind::NotFound {
                    self.failed("reading", &error);
                }
                return None;
            }
        };
        let payload = key.payload(&file);
        if payload.is_none() {
            tracing::warn!(path = %path.display(), object = %key.object, "cache entry is damaged, it is fetched anew");
            self.metrics.corrupt.inc();
            self.remove(name);
        }
        payload
    }

    /// Writes an entry and removes what was not used for longest; a failure is counted, not returned.
    pub(crate) fn store(&self, key: &EntryKey, payload: &[u8]) {
        let name = key.name();
        let (header, crc) = key.frame(payload);
        let size = (header.len() + payload.len() + crc.len()) as u64;
        if size > self.size_bytes_max {
            return;
        }
        let parts = [&header, payload, &crc];
        let written = match self.write(name, &parts) {
            Err(error) if error.kind() == io::ErrorKind::StorageFull && self.give_way(&error) => {
                self.write(name, &parts)
            }
            written => written,
        };
        match written {
            Ok(()) => {
                if self.is_failing.swap(false, Ordering::Relaxed) {
                    tracing::info!(path = %self.root.display(), "the cache can be written again");
                }
                self.insert(name, size);
            }
            Err(error) => {
                self.metrics.write_failures.inc();
                self.failed("writing", &error);
            }
        }
    }

    /// Removes an entry, if it is there.
    pub(crate) fn forget(&self, name: EntryName) {
        self.remove(name);
    }

    /// Makes room on a disk that is full though the cache is smaller than it may be: from now on it is a part smaller than it
    /// is. Tells whether there was anything to remove: never before the entries of an earlier run are known, or what it is
    /// would be next to nothing, and so would it stay.
    fn give_way(&self, error: &io::Error) -> bool {
        if !self.is_complete.load(Ordering::Relaxed) {
            return false;
        }
        let (gone, limit) = {
            let mut index = self.index.lock();
            let limit = index.weight() - index.weight() / FULL_DISK_SHARE;
            (index.set_weight_max(limit), limit)
        };
        if !self.was_full.swap(true, Ordering::Relaxed) {
            let path = self.root.display();
            tracing::warn!(%path, limit, %error, "the disk of the cache is full, the cache gives way and stays smaller than it may be");
        }
        self.metrics.evictions.inc_by(gone.len() as u64);
        gone.iter().for_each(|(name, ())| self.remove_file(*name));
        self.update_gauges();
        !gone.is_empty()
    }

    /// Tells whether the disk was full, or does not work now: nothing should be brought here ahead of its use.
    pub(crate) fn is_short_of_room(&self) -> bool {
        self.was_full.load(Ordering::Relaxed) || self.is_failing.load(Ordering::Relaxed)
    }

    fn path(&self, name: EntryName) -> PathBuf {
        let (folder, file) = name.path();
        self.root.join(folder).join(file)
    }

    /// Writes a file under another name first: what has its own name is complete unless the machine crashed.
    fn write(&self, name: EntryName, parts: &[&[u8]]) -> io::Result<()> {
        let (folder, file) = name.path();
        let folder = self.root.join(folder);
        let number = self.next_unfinished.fetch_add(1, Ordering::Relaxed);
        let unfinished = folder.join(format!("{file}.{number}{UNFINISHED_SUFFIX}"));
        let write = || {
            fs::create_dir_all(&folder)?;
            let mut out = File::create(&unfinished)?;
            parts.iter().try_for_each(|part| out.write_all(part))?;
            fs::rename(&unfinished, folder.join(&file))
        };
        write().inspect_err(|_| {
            // On a full disk the unfinished file must not stay; where there is none, nothing is to be done.
            let _ = fs::remove_file(&unfinished);
        })
    }

    fn insert(&self, name: EntryName, size: u64) {
        let gone = self.index.lock().insert(name, (), size);
        for (evicted, ()) in gone.into_iter().filter(|(evicted, ())| *evicted != name) {
            self.metrics.evictions.inc();
            self.remove_file(evicted);
        }
        self.update_gauges();
    }

    fn remove(&self, name: EntryName) {
        self.index.lock().remove(&name);
        self.remove_file(name);
        self.update_gauges();
    }

    fn remove_file(&self, name: EntryName) {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => self.failed("removing", &error),
            _ => {}
        }
    }

    fn failed(&self, operation: &'static str, error: &io::Error) {
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            let path = self.root.display();
            tracing::warn!(%path, operation, %error, "the cache fails, reads go on without it");
        }
    }

    fn update_gauges(&self) {
        let index = self.index.lock();
        self.metrics.entries.set(index.len() as i64);
        self.metrics.bytes.set(index.weight() as i64);
    }
}

/// Reads a file, and notes on disk that it was used.
fn read(path: &Path) -> io::Result<Bytes> {
    let mut file = File::open(path)?;
    let facts = file.metadata()?;
    let mut bytes = Vec::with_capacity(facts.len() as usize + 1);
    file.read_to_end(&mut bytes)?;
    let now = SystemTime::now();
    if now.duration_since(facts.modified()?).is_ok_and(|age| age > USE_TIME_PRECISION) {
        // Only for the order after a restart; that it may fail does not matter.
        let _ = file.set_modified(now);
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_at_the_start_does_not_cost_what_an_earlier_run_left() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let open = || CacheDir::open(root.path(), 1 << 20, CacheMetrics::default()).expect("it can be made");
        let keys: Vec<EntryKey> =
            (0..32).map(|at| EntryKey::new("object", at * 100..at * 100 + 100)).collect();
        let earlier = open();
        keys.iter().for_each(|key| earlier.store(key, &[7; 100]));
        let kept = |cache: &CacheDir| keys.iter().filter(|key| cache.load(key).is_some()).count();
        assert_eq!(kept(&earlier), keys.len());
        drop(earlier);

        let full = io::Error::from(io::ErrorKind::StorageFull);
        let cache = open();
        assert!(!cache.give_way(&full), "nothing is known yet that could go");
        cache.take_over();
        assert_eq!(kept(&cache), keys.len());
        assert!(cache.give_way(&full));
        let left = kept(&cache);
        assert!((keys.len() - 4..keys.len()).contains(&left), "{left} of {}", keys.len());
    }
}
