//! The writer thread: takes commands, writes them as batches, syncs once, tells everyone, and keeps segments coming
//! and going.
//!
//! One cycle:
//! 1. Take what is queued, up to the batch limit. Encode it; roll to a spare segment when the present one is full.
//! 2. Sync once, if anyone waits for durability.
//! 3. Note where the entries stand; call back; drop the oldest cached payloads beyond the limit.
//! 4. Keep segments coming and going (`upkeep`).
//!
//! Each segment begins with the state (vote, committed, purged) of every group, so only entries ever hold an old
//! segment back.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::disk::Disk;
use crate::error::WalError;
use crate::format::{
    BATCH_HEADER_BYTES, BatchHeader, Kind, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader,
    add_header_checksum, record_bytes, seed_of,
};
use crate::group::Group;
use crate::mark::{MARK_NAME, Mark};
use crate::queue::{Admission, Command, Op, Queue};
use crate::segment::{Place, Segment, segment_name};
use crate::spares::Spares;
use crate::types::{LogId, Vote};
use crate::wal::{Groups, StatCounters};
use crate::{WalConfig, WalHealth};

/// How long the mark, and writes nobody waits for, may stay without a sync.
pub(crate) const IDLE_SYNC: Duration = Duration::from_secs(1);

/// How many entries the cache holds at most. Entries that are purged leave the cache but not its queue, so bytes
/// alone would not bound that.
const CACHED_ENTRIES_MAX: usize = 1 << 16;

/// What the writer last wrote about a group that is not an entry.
#[derive(Clone, Copy, Default)]
pub(crate) struct Meta {
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
}

/// An entry that was written: its group, index and command, and where.
pub(crate) struct Placed {
    pub(crate) group: Arc<Group>,
    pub(crate) index: u64,
    pub(crate) command: u64,
    /// Of the payload, when it goes into the cache.
    pub(crate) bytes: u64,
    pub(crate) place: Place,
}

/// The state of the writer thread.
pub(crate) struct Writer {
    pub(crate) config: WalConfig,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) groups: Arc<Groups>,
    pub(crate) stats: Arc<StatCounters>,
    pub(crate) spares: Spares,
    pub(crate) mark: Mark,
    /// Oldest first; the last is written to. Never empty.
    pub(crate) segments: VecDeque<Arc<Segment>>,
    pub(crate) head_first_lsn: u64,
    pub(crate) offset: u64,
    pub(crate) next_lsn: u64,
    pub(crate) metas: BTreeMap<u32, Meta>,
    pub(crate) batch: Vec<u8>,
    pub(crate) batch_records: u32,
    pub(crate) batch_headers_crc: u32,
    /// Every batch up to this LSN is durable.
    pub(crate) durable_lsn: u64,
    /// The last command written, and the last one durable.
    pub(crate) written_command: u64,
    pub(crate) durable_command: u64,
    /// Set when nothing points into the oldest segment: it goes once this command is durable.
    pub(crate) free_after: Option<u64>,
    pub(crate) cached: VecDeque<(Arc<Group>, u64, u64)>,
    pub(crate) mark_is_dirty: bool,
    pub(crate) mark_synced: Instant,
    /// When the disk was last found full.
    pub(crate) full_since: Option<Instant>,
}

/// Returns a number that nobody outside can guess.
fn random_salt() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Makes a spare file the segment of an epoch: its header is durable before it gets its name.
pub(crate) fn start_segment(
    disk: &dyn Disk,
    spares: &mut Spares,
    header: SegmentHeader,
) -> io::Result<Arc<Segment>> {
    if spares.len() == 0 {
        spares.create()?;
    }
    let (spare_name, file) = spares.take()?.expect("one was just created");
    file.write_at(&header.encode(), 0)?;
    file.sync()?;
    disk.rename(&spare_name, &segment_name(header.epoch))?;
    let capacity = file.length()?;
    Ok(Arc::new(Segment { epoch: header.epoch, seed: seed_of(header.epoch, header.salt), capacity, file }))
}

/// Returns the header of the first segment of a new log.
pub(crate) fn first_header() -> SegmentHeader {
    SegmentHeader { epoch: 1, salt: random_salt(), first_lsn: 1, previous_end: 0 }
}

impl Writer {
    /// Runs until the queue is closed and empty, or the disk fails.
    pub(crate) fn run(mut self) {
        if let Err(error) = self.finish_roll() {
            self.fail(Vec::new(), &error);
            return;
        }
        let end = loop {
            if let Err(error) = self.keep_up() {
                break Err((Vec::new(), error));
            }
            let wait = self.needs_attention().then_some(IDLE_SYNC);
            let Some(commands) = self.queue.take(self.config.batch_bytes_max, wait) else {
                break self.sync().and_then(|()| self.sync_mark()).map_err(|error| (Vec::new(), error));
            };
            if let Err(failure) = self.cycle(commands) {
                break Err(failure);
            }
        };
        if let Err((commands, error)) = end {
            self.fail(commands, &error);
        }
    }

    /// Gives an empty segment the state it must begin with, when a crash came between its creation and that.
    fn finish_roll(&mut self) -> Result<(), WalError> {
        if self.offset == SEGMENT_HEADER_BYTES as u64 {
            self.put_state()?;
            self.flush_batch()?;
        }
        Ok(())
    }

    fn needs_attention(&self) -> bool {
        self.mark_is_dirty
            || self.durable_command < self.written_command
            || self.queue.admission() == Admission::DiskFull
    }

    fn cycle(&mut self, commands: Vec<Command>) -> Result<(), (Vec<Command>, WalError)> {
        let mut placed = Vec::new();
        let must_sync = commands.is_empty() || commands.iter().any(|command| command.done.is_some());
        let outcome =
            self.write(&commands, &mut placed).and_then(|()| if must_sync { self.sync() } else { Ok(()) });
        if let Err(error) = outcome {
            return Err((commands, error));
        }
        let bytes = commands.iter().map(|command| command.bytes).sum();
        self.publish(placed);
        for done in commands.into_iter().filter_map(|command| command.done) {
            done(Ok(()));
        }
        self.queue.finished(bytes);
        Ok(())
    }

    /// Writes the commands in order, without the final sync.
    fn write(&mut self, commands: &[Command], placed: &mut Vec<Placed>) -> Result<(), WalError> {
        for command in commands {
            self.encode(command, placed)?;
            self.written_command = command.number;
        }
        self.flush_batch()
    }

    fn encode(&mut self, command: &Command, placed: &mut Vec<Placed>) -> Result<(), WalError> {
        let group = command.group.id.0;
        let at = |kind, flag: bool, id| RecordHeader { kind, flag: u8::from(flag), group, id };
        let none = LogId { term: 0, node: 0, index: 0 };
        match &command.op {
            Op::Append(entries) => {
                for entry in entries {
                    let place = self.put(&at(Kind::Entry, false, entry.id), &entry.payload)?;
                    placed.push(Placed {
                        group: Arc::clone(&command.group),
                        index: entry.id.index,
                        command: command.number,
                        bytes: entry.payload.len() as u64,
                        place,
                    });
                }
            }
            Op::Vote(vote) => {
                let id = LogId { term: vote.term, node: vote.node, index: 0 };
                self.put(&at(Kind::Vote, vote.committed, id), &[])?;
                self.meta(group).vote = Some(*vote);
            }
            Op::Committed(id) => {
                self.put(&at(Kind::Committed, id.is_some(), id.unwrap_or(none)), &[])?;
                self.meta(group).committed = *id;
            }
            Op::Truncate(last_kept) => {
                let id = LogId { index: last_kept.unwrap_or(0), ..none };
                self.put(&at(Kind::Truncate, last_kept.is_some(), id), &[])?;
            }
            Op::Purge(id) => {
                self.put(&at(Kind::Purge, true, *id), &[])?;
                let meta = self.meta(group);
                if meta.purged.is_none_or(|purged| purged.index < id.index) {
                    meta.purged = Some(*id);
                }
            }
            Op::Create => {
                self.put(&at(Kind::Create, false, none), &[])?;
                self.meta(group);
            }
            Op::Destroy => {
                self.put(&at(Kind::Destroy, false, none), &[])?;
                self.metas.remove(&group);
            }
        }
        Ok(())
    }

    fn meta(&mut self, group: u32) -> &mut Meta {
        self.metas.entry(group).or_default()
    }

    fn head(&self) -> &Arc<Segment> {
        self.segments.back().expect("there is always a segment to write to")
    }

    /// Adds a record to the batch, going on to the next segment when it does not fit; returns where it will stand.
    pub(crate) fn put(&mut self, header: &RecordHeader, payload: &[u8]) -> Result<Place, WalError> {
        let needed = record_bytes(payload.len()) as u64;
        let batch_bytes = self.batch.len().max(BATCH_HEADER_BYTES) as u64;
        if self.offset + batch_bytes + needed > self.head().capacity {
            self.flush_batch()?;
            self.roll()?;
        }
        if self.batch.is_empty() {
            self.batch.resize(BATCH_HEADER_BYTES, 0);
        }
        let place = Place { segment: Arc::clone(self.head()), offset: self.offset + self.batch.len() as u64 };
        let start = self.batch.len();
        header.encode(payload, place.segment.seed, &mut self.batch);
        self.batch_headers_crc = add_header_checksum(self.batch_headers_crc, &self.batch[start..]);
        self.batch_records += 1;
        Ok(place)
    }

    /// Hands the batch to the disk, without a sync.
    pub(crate) fn flush_batch(&mut self) -> Result<(), WalError> {
        if self.batch_records == 0 {
            return Ok(());
        }
        let body_bytes = u32::try_from(self.batch.len() - BATCH_HEADER_BYTES)
            .expect("a batch fits into a segment, which is below 4 GiB");
        let head = self.head();
        let header = BatchHeader {
            epoch: head.epoch,
            lsn: self.next_lsn,
            durable_upto: self.durable_lsn,
            body_bytes,
            records: self.batch_records,
            headers_crc: self.batch_headers_crc,
        };
        let encoded = header.encode(head.seed);
        self.batch[..BATCH_HEADER_BYTES].copy_from_slice(&encoded);
        let head = self.head();
        head.file.write_at(&self.batch, self.offset).map_err(WalError::io("write", &head.name()))?;
        self.stats.batches.fetch_add(1, Ordering::Relaxed);
        self.stats.written_bytes.fetch_add(self.batch.len() as u64, Ordering::Relaxed);
        self.offset += self.batch.len() as u64;
        self.next_lsn += 1;
        self.batch.clear();
        self.batch_records = 0;
        self.batch_headers_crc = 0;
        Ok(())
    }

    /// Makes everything written durable.
    pub(crate) fn sync(&mut self) -> Result<(), WalError> {
        if self.durable_lsn + 1 < self.next_lsn {
            let head = self.head();
            head.file.sync().map_err(WalError::io("sync", &head.name()))?;
            self.stats.syncs.fetch_add(1, Ordering::Relaxed);
            self.durable_lsn = self.next_lsn - 1;
            self.stats.durable_lsn.store(self.durable_lsn, Ordering::Relaxed);
            self.mark.durable_upto = self.durable_lsn;
            self.mark.write().map_err(WalError::io("write", MARK_NAME))?;
            self.mark_is_dirty = true;
        }
        self.durable_command = self.written_command;
        if self.mark_is_dirty && self.mark_synced.elapsed() >= IDLE_SYNC {
            self.sync_mark()?;
        }
        Ok(())
    }

    pub(crate) fn sync_mark(&mut self) -> Result<(), WalError> {
        self.mark.sync().map_err(WalError::io("sync", MARK_NAME))?;
        self.mark_is_dirty = false;
        self.mark_synced = Instant::now();
        Ok(())
    }

    /// Goes on to the next segment, which begins with the state of every group.
    fn roll(&mut self) -> Result<(), WalError> {
        self.sync()?;
        let header = SegmentHeader {
            epoch: self.head().epoch + 1,
            salt: random_salt(),
            first_lsn: self.next_lsn,
            previous_end: self.offset,
        };
        let name = segment_name(header.epoch);
        let segment = start_segment(&*self.disk, &mut self.spares, header)
            .map_err(WalError::io("create segment", &name))?;
        self.segments.push_back(segment);
        self.head_first_lsn = self.next_lsn;
        self.offset = SEGMENT_HEADER_BYTES as u64;
        self.put_state()
    }

    fn put_state(&mut self) -> Result<(), WalError> {
        let metas: Vec<(u32, Meta)> = self.metas.iter().map(|(group, meta)| (*group, *meta)).collect();
        if (metas.len() * 4 * record_bytes(0)) as u64 > self.config.segment_bytes / 2 {
            return Err(WalError::Config { reason: "segment_bytes is too small for so many groups" });
        }
        let none = LogId { term: 0, node: 0, index: 0 };
        for (group, meta) in metas {
            let at = |kind, flag: bool, id| RecordHeader { kind, flag: u8::from(flag), group, id };
            self.put(&at(Kind::Create, false, none), &[])?;
            if let Some(vote) = meta.vote {
                let id = LogId { term: vote.term, node: vote.node, index: 0 };
                self.put(&at(Kind::Vote, vote.committed, id), &[])?;
            }
            if let Some(purged) = meta.purged {
                self.put(&at(Kind::Purge, true, purged), &[])?;
            }
            if let Some(committed) = meta.committed {
                self.put(&at(Kind::Committed, true, committed), &[])?;
            }
        }
        Ok(())
    }

    /// Notes where durable entries stand, and drops the oldest payloads that the cache has no room for.
    pub(crate) fn publish(&mut self, placed: Vec<Placed>) {
        for entry in placed {
            entry.group.index.lock().placed(entry.index, entry.command, entry.place);
            if entry.bytes > 0 {
                self.cached.push_back((entry.group, entry.index, entry.command));
            }
        }
        while (self.groups.cached_bytes.load(Ordering::Relaxed) > self.config.cache_bytes_max
            || self.cached.len() > CACHED_ENTRIES_MAX)
            && let Some((group, index, command)) = self.cached.pop_front()
        {
            let released = group.index.lock().evict(index, command);
            group.release(released);
        }
    }

    /// Answers everyone who waits, now and later, with the failure.
    fn fail(&mut self, commands: Vec<Command>, error: &WalError) {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        let reason = format!("{error}{cause}");
        tracing::error!(%reason, "the log has failed");
        self.queue.set_admission(Admission::Failed(reason.clone()));
        let waiting = commands.into_iter().chain(self.queue.take_all());
        for done in waiting.filter_map(|command| command.done) {
            done(Err(WalError::Failed { reason: reason.clone() }));
        }
    }
}

impl From<Admission> for WalHealth {
    fn from(admission: Admission) -> Self {
        match admission {
            Admission::Open | Admission::Preparing => Self::Ready,
            Admission::DiskFull => Self::DiskFull,
            Admission::Failed(reason) => Self::Failed(reason),
            Admission::Closed => Self::Closed,
        }
    }
}
