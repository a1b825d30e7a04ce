//! The snapshot file of a group.
//!
//! ```text
//! file = magic 8, meta_bytes u32, meta (postcard), body, body_bytes u64, crc32c u32 over all before; little-endian
//! ```
//! A file is written under a temporary name, synced, and only then given its own; it is checked as a whole before
//! anything of it is believed. The name sorts by index. One file is kept: the newest.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::types::SnapshotMeta;

/// The last byte is the version of the format.
const MAGIC: [u8; 8] = *b"NORNSNP\x01";
const HEAD_BYTES: u64 = 12;
const TAIL_BYTES: u64 = 12;
const SUFFIX: &str = "snapshot";
const TEMPORARY: &str = "building.tmp";
/// The name of a snapshot that is being received.
pub(crate) const INCOMING: &str = "incoming.tmp";
/// A membership is small; a larger number is damage.
const META_BYTES_MAX: u32 = 1 << 20;
const COPY_BYTES: usize = 64 << 10;

/// A snapshot that is whole, in an open file. The file may lose its name meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotFile {
    pub(crate) meta: SnapshotMeta,
    pub(crate) file: Arc<File>,
    path: PathBuf,
    body: (u64, u64),
}

/// Counts and sums up what is written through it.
struct Summing<W> {
    inner: W,
    crc: u32,
    bytes: u64,
}

impl<W: Write> Write for Summing<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(data)?;
        self.crc = crc32c::crc32c_append(self.crc, &data[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn damaged(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the snapshot is damaged: {reason}"))
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn name_of(meta: &SnapshotMeta) -> String {
    let (index, term, node) =
        meta.last_log_id.map_or((0, 0, 0), |id| (id.index, id.leader_id.term, id.leader_id.node_id));
    format!("{index:020}-{term}-{node}.{SUFFIX}")
}

/// Reads a part of a file without moving anybody's position in it.
struct PartOf {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for PartOf {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let part = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..part], self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// Writes a snapshot, makes it durable and the only one of its directory.
pub(crate) fn write(
    directory: &Path,
    meta: SnapshotMeta,
    body: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<SnapshotFile> {
    let temporary = directory.join(TEMPORARY);
    let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&temporary)?;
    let mut out = Summing { inner: BufWriter::with_capacity(COPY_BYTES, &file), crc: 0, bytes: 0 };
    let encoded = postcard::to_stdvec(&meta).map_err(io::Error::other)?;
    let meta_bytes = u32::try_from(encoded.len()).map_err(io::Error::other)?;
    out.write_all(&MAGIC)?;
    out.write_all(&meta_bytes.to_le_bytes())?;
    out.write_all(&encoded)?;
    let start = out.bytes;
    body(&mut out)?;
    let length = out.bytes - start;
    out.write_all(&length.to_le_bytes())?;
    let crc = out.crc;
    out.write_all(&crc.to_le_bytes())?;
    out.flush()?;
    drop(out);
    let snapshot = SnapshotFile { meta, file: Arc::new(file), path: temporary, body: (start, length) };
    snapshot.keep(directory)
}

impl SnapshotFile {
    /// Returns how long the state machine's part is.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body.1
    }

    /// Checks the file under a path as a whole.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when it is damaged.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let total = file.metadata()?.len();
        let mut input = BufReader::with_capacity(COPY_BYTES, &file);
        let mut head = [0; HEAD_BYTES as usize];
        input.read_exact(&mut head).map_err(|_| damaged("it is too short"))?;
        let meta_bytes = u32::from_le_bytes(head[8..].try_into().expect("four bytes remain"));
        if head[..8] != MAGIC {
            return Err(damaged("it is of another format"));
        }
        let start = HEAD_BYTES + u64::from(meta_bytes);
        if meta_bytes > META_BYTES_MAX || total < start + TAIL_BYTES {
            return Err(damaged("it is too short"));
        }
        let mut encoded = vec![0; meta_bytes as usize];
        input.read_exact(&mut encoded)?;
        let mut crc = crc32c::crc32c_append(crc32c::crc32c(&head), &encoded);
        let length = total - start - TAIL_BYTES;
        crc = sum(&mut input, length, crc)?;
        let mut tail = [0; TAIL_BYTES as usize];
        input.read_exact(&mut tail)?;
        crc = crc32c::crc32c_append(crc, &tail[..8]);
        let stored_length = u64::from_le_bytes(tail[..8].try_into().expect("eight bytes"));
        let stored_crc = u32::from_le_bytes(tail[8..].try_into().expect("four bytes"));
        if stored_length != length || stored_crc != crc {
            return Err(damaged("the checksum does not match"));
        }
        let meta = postcard::from_bytes(&encoded).map_err(|_| damaged("its description is malformed"))?;
        drop(input);
        Ok(Self { meta, file: Arc::new(file), path: path.to_owned(), body: (start, length) })
    }

    /// Makes the file durable under its own name, and removes all others.
    pub(crate) fn keep(mut self, directory: &Path) -> io::Result<Self> {
        let path = directory.join(name_of(&self.meta));
        self.file.sync_all()?;
        if self.path != path {
            std::fs::rename(&self.path, &path)?;
            self.path = path;
        }
        sync_directory(directory)?;
        for entry in std::fs::read_dir(directory)? {
            let other = entry?.path();
            if other != self.path && other.extension().is_some_and(|extension| extension == SUFFIX) {
                std::fs::remove_file(&other)?;
            }
        }
        Ok(self)
    }

    /// Returns a reader of what the state machine wrote.
    pub(crate) fn body(&self) -> impl Read {
        let part = PartOf { file: Arc::clone(&self.file), at: self.body.0, left: self.body.1 };
        BufReader::with_capacity(COPY_BYTES, part)
    }

    /// Returns where the file was when it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the length of the whole file.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.body.0 + self.body.1 + TAIL_BYTES
    }
}

fn sum(input: &mut impl Read, length: u64, mut crc: u32) -> io::Result<u32> {
    let mut buffer = vec![0; COPY_BYTES];
    let mut left = length;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(COPY_BYTES);
        input.read_exact(&mut buffer[..part])?;
        crc = crc32c::crc32c_append(crc, &buffer[..part]);
        left -= part as u64;
    }
    Ok(crc)
}

/// Finds the newest snapshot that is whole, and removes what was left half written.
///
/// A damaged one is left where it is, for whoever wants to look at it, until the next is kept.
pub(crate) fn newest(directory: &Path) -> io::Result<Option<SnapshotFile>> {
    std::fs::create_dir_all(directory)?;
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        match path.extension() {
            Some(extension) if extension == SUFFIX => paths.push(path),
            Some(extension) if extension == "tmp" => std::fs::remove_file(&path)?,
            _ => {}
        }
    }
    paths.sort();
    for path in paths.iter().rev() {
        match SnapshotFile::open(path) {
            Ok(snapshot) => return Ok(Some(snapshot)),
            Err(error) => tracing::error!(path = %path.display(), %error, "a snapshot cannot be used"),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{StoredMembership, from_wal_id};

    fn meta(index: u64) -> SnapshotMeta {
        let last_log_id = Some(from_wal_id(wal::LogId { term: 2, node: 1, index }));
        SnapshotMeta { last_log_id, last_membership: StoredMembership::default() }
    }

    fn state(file: &SnapshotFile) -> Vec<u8> {
        let mut bytes = Vec::new();
        file.body().read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_snapshot_is_read_back_and_replaces_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        for index in [7, 12] {
            let body = format!("state at {index}");
            write(directory.path(), meta(index), |out| out.write_all(body.as_bytes())).unwrap();
        }
        let found = newest(directory.path()).unwrap().unwrap();
        assert_eq!((found.meta.clone(), state(&found)), (meta(12), b"state at 12".to_vec()));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), meta(7), |out| out.write_all(b"good")).unwrap();
        let failed = write(directory.path(), meta(12), |_| Err(io::Error::other("no space")));
        assert!(failed.is_err());
        assert_eq!(state(&newest(directory.path()).unwrap().unwrap()), b"good");
    }

    #[test]
    fn no_damage_goes_unnoticed() {
        let directory = tempfile::tempdir().unwrap();
        let file = write(directory.path(), meta(7), |out| out.write_all(b"the state")).unwrap();
        let good = std::fs::read(file.path()).unwrap();
        for bit in 0..good.len() * 8 {
            let mut damaged = good.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(file.path(), &damaged).unwrap();
            assert!(newest(directory.path()).unwrap().is_none(), "bit {bit}");
        }
        for length in 0..good.len() {
            std::fs::write(file.path(), &good[..length]).unwrap();
            assert!(newest(directory.path()).unwrap().is_none(), "length {length}");
        }
        std::fs::write(file.path(), &good).unwrap();
        assert_eq!(state(&newest(directory.path()).unwrap().unwrap()), b"the state");
    }
}
