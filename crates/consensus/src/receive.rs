//! Receiving a snapshot in parts, into a temporary file.
//!
//! One transfer at a time: a first part starts over, unless a leader with a higher vote is already sending. A part
//! that does not continue the file asks for a restart. The whole file is checked before it counts.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::snapshot::{INCOMING, SnapshotFile};
use crate::types::Vote;
use crate::wire::SnapshotPart;

/// The transfer under way, if there is one.
#[derive(Default)]
pub(crate) struct Incoming {
    current: Option<Transfer>,
}

struct Transfer {
    vote: Vote,
    number: u64,
    received: u64,
    file: Arc<File>,
}

/// What a part led to.
#[derive(Debug)]
pub(crate) enum Received {
    /// The file goes on.
    More,
    /// The part does not fit.
    Misfit,
    /// The file is whole and checked.
    Whole(Box<SnapshotFile>),
}

impl Incoming {
    /// Writes a part. Blocks.
    ///
    /// # Errors
    /// What the disk answers; [`io::ErrorKind::InvalidData`] when the whole file is not what was sent.
    pub(crate) fn receive(
        &mut self,
        directory: &Path,
        part: &SnapshotPart,
        data: &Bytes,
    ) -> io::Result<Received> {
        let path = directory.join(INCOMING);
        if part.offset == 0 {
            if self.current.as_ref().is_some_and(|current| current.vote > part.vote) {
                return Ok(Received::Misfit);
            }
            self.current = Some(Transfer::begin(&path, part)?);
        }
        let Some(transfer) = self.current.as_mut().filter(|transfer| transfer.is_continued_by(part)) else {
            return Ok(Received::Misfit);
        };
        if data.is_empty() || data.len() as u64 > part.total_bytes - part.offset {
            return Ok(Received::Misfit);
        }
        transfer.file.write_all_at(data, part.offset)?;
        transfer.received += data.len() as u64;
        if transfer.received < part.total_bytes {
            return Ok(Received::More);
        }
        // From here on the file is out of reach of the next transfer.
        let whole = directory.join(format!("received-{}-{}.tmp", part.vote.leader_id, part.transfer));
        std::fs::rename(&path, &whole)?;
        self.current = None;
        let snapshot = SnapshotFile::open(&whole)?;
        if snapshot.meta != part.meta {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the snapshot is not the one announced"));
        }
        Ok(Received::Whole(Box::new(snapshot)))
    }
}

impl Transfer {
    fn begin(path: &Path, part: &SnapshotPart) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new().create_new(true).read(true).write(true).open(path)?;
        Ok(Self { vote: part.vote, number: part.transfer, received: 0, file: Arc::new(file) })
    }

    fn is_continued_by(&self, part: &SnapshotPart) -> bool {
        self.vote == part.vote
            && self.number == part.transfer
            && self.received == part.offset
            && part.offset < part.total_bytes
    }
}
