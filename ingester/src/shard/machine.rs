//! A shard's state machine: log entries in, head and outcomes out. Deterministic: no clock, no randomness.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use batch::{Batch, BatchOutcome};
use bytes::Bytes;
use consensus::StateMachine;
use head::{Head, HeadConfig};
use model::{BlockRange, TimestampMs};
use selection::External;
use tokio::sync::watch;

use super::command::{ShardCommand, encode_outcomes};
use super::deletes::{Deletes, TakenDelete};

/// The version of the snapshot's own header.
const SNAPSHOT_FORMAT: u8 = 2;

/// A window that was frozen and waits to become a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SealedWindow {
    /// What it covers.
    pub(crate) range: BlockRange,
    /// The log index of its cut: with the shard it names the block.
    pub(crate) cut_index: u64,
}

/// What apply shares with the rest of the replica.
pub(crate) struct Shared {
    /// The head; replaced as a whole when a snapshot is installed.
    pub(crate) head: ArcSwap<Head>,
    /// The frozen window, if there is one.
    pub(crate) sealed: watch::Sender<Option<SealedWindow>>,
    /// How many windows were dropped: the log may be shortened after each.
    pub(crate) drops: watch::Sender<u64>,
}

/// Applies a shard's log.
pub(crate) struct ShardMachine {
    config: HeadConfig,
    /// Where the head keeps sealed chunks; nothing in it outlives the process.
    chunks_dir: PathBuf,
    block_duration_ms: i64,
    shared: Arc<Shared>,
    sealed: Option<SealedWindow>,
    deletes: Deletes,
}

impl ShardMachine {
    pub(crate) fn new(
        config: HeadConfig,
        block_duration_ms: i64,
        chunks_dir: PathBuf,
        external: External,
    ) -> (Self, Arc<Shared>) {
        let shared = Arc::new(Shared {
            head: ArcSwap::from_pointee(Head::in_directory(config, &chunks_dir)),
            sealed: watch::Sender::new(None),
            drops: watch::Sender::new(0),
        });
        let machine = Self {
            config,
            chunks_dir,
            block_duration_ms,
            shared: shared.clone(),
            sealed: None,
            deletes: Deletes::new(external),
        };
        (machine, shared)
    }

    fn append(&self, stamp_ms: i64, batches: &[Bytes]) -> Bytes {
        let head = self.shared.head.load();
        let apply = |bytes: &Bytes| match Batch::decode(bytes) {
            Ok(batch) => head.apply(stamp_ms, &batch).encode(),
            // The leader decodes each batch before it proposes it; a batch of a newer version changes nothing here.
            Err(_) => BatchOutcome::default().encode(),
        };
        let outcomes: Vec<Bytes> = batches.iter().map(apply).collect();
        encode_outcomes(&outcomes)
    }

    fn cut(&mut self, index: u64, end_ms: i64) {
        let head = self.shared.head.load();
        // One window at a time: the next cut is proposed again when this one is published.
        if self.sealed.is_some() || end_ms <= head.sealed_until_ms() {
            return;
        }
        if let Some(first_ms) = head.stats().min_ms.filter(|first| *first < end_ms) {
            // A window that was cut before its end begins anew there.
            let start = BlockRange::window_of(first_ms, self.block_duration_ms).start;
            let start = start.max(TimestampMs(head.sealed_until_ms()));
            let range = BlockRange { start, end: TimestampMs(end_ms) };
            self.sealed = Some(SealedWindow { range, cut_index: index });
        }
        head.cut(end_ms);
        self.shared.sealed.send_replace(self.sealed);
    }

    fn forget(&mut self, end_ms: i64) {
        self.shared.head.load().drop_before(end_ms);
        self.sealed = self.sealed.filter(|sealed| sealed.range.end.0 > end_ms);
        self.shared.sealed.send_replace(self.sealed);
        self.shared.drops.send_modify(|drops| *drops += 1);
    }
}

impl StateMachine for ShardMachine {
    fn apply(&mut self, index: u64, command: &[u8]) -> Bytes {
        match ShardCommand::decode(command) {
            Some(ShardCommand::Append { stamp_ms, batches }) => self.append(stamp_ms, &batches),
            Some(ShardCommand::Cut { end_ms }) => {
                self.cut(index, end_ms);
                Bytes::new()
            }
            Some(ShardCommand::Drop { end_ms }) => {
                self.forget(end_ms);
                Bytes::new()
            }
            Some(ShardCommand::Delete { order, .. }) => {
                let frozen_until_ms = self.sealed.map(|sealed| sealed.range.end.0);
                let here = TakenDelete { index, frozen_until_ms };
                self.deletes.apply(&self.shared.head.load(), &order, here)
            }
            None => panic!(
                "log entry {index} is not of a version that this binary knows: run the version that wrote it"
            ),
        }
    }

    fn snapshot(&self, out: &mut dyn Write) -> io::Result<()> {
        let (start, end, index) = self
            .sealed
            .map_or((0, 0, 0), |sealed| (sealed.range.start.0, sealed.range.end.0, sealed.cut_index));
        out.write_all(&[SNAPSHOT_FORMAT, u8::from(self.sealed.is_some())])?;
        out.write_all(&start.to_le_bytes())?;
        out.write_all(&end.to_le_bytes())?;
        out.write_all(&index.to_le_bytes())?;
        self.deletes.write(out)?;
        self.shared.head.load().write_snapshot(out)
    }

    fn restore(&mut self, input: &mut dyn Read) -> io::Result<()> {
        let mut header = [0; 26];
        input.read_exact(&mut header)?;
        if header[0] != SNAPSHOT_FORMAT || header[1] > 1 {
            return Err(io::Error::other(format!("shard snapshot of an unknown format {}", header[0])));
        }
        let number = |at: usize| i64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
        let sealed =
            SealedWindow { range: BlockRange::new(number(2), number(10)), cut_index: number(18) as u64 };
        self.deletes.restore(input)?;
        let head = Head::read_snapshot_in(self.config, &self.chunks_dir, input).map_err(io::Error::other)?;
        self.sealed = (header[1] == 1).then_some(sealed);
        self.shared.head.store(Arc::new(head));
        self.shared.sealed.send_replace(self.sealed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use batch::BatchBuilder;
    use model::LabelSet;

    use super::*;

    /// Applies entries, one a call, and knows the log's index.
    struct Log(ShardMachine, u64);

    impl Log {
        fn apply(&mut self, command: &ShardCommand) -> Bytes {
            self.1 += 1;
            self.0.apply(self.1, &command.encode())
        }

        /// Appends a sample; tells whether it was accepted.
        fn append(&mut self, time_ms: i64) -> bool {
            let mut builder = BatchBuilder::new();
            let index = builder.declare(&LabelSet::from_pairs([("__name__", "up")]));
            builder.push_declared(index, time_ms, 1.0);
            let batches = vec![builder.finish()];
            let answer = self.apply(&ShardCommand::Append { stamp_ms: 10_000, batches });
            let outcomes = super::super::command::decode_outcomes(answer).expect("outcomes");
            BatchOutcome::decode(&outcomes[0]).expect("an outcome").accepted == 1
        }

        fn cut(&mut self, end_ms: i64) -> Option<BlockRange> {
            self.apply(&ShardCommand::Cut { end_ms });
            self.0.sealed.map(|sealed| sealed.range)
        }
    }

    #[test]
    fn a_window_that_was_abandoned_goes_on_where_it_was_cut() {
        let dir = tempfile::tempdir().expect("a directory");
        let config =
            HeadConfig { out_of_order_window_ms: 300, future_ms_max: 0, series_max: 9, exemplars_max: 0 };
        let (machine, _shared) = ShardMachine::new(config, 1000, dir.path().to_owned(), External::default());
        let mut log = Log(machine, 0);
        assert!(log.append(100) && log.append(200));
        assert_eq!(log.cut(201), Some(BlockRange::new(0, 201)));
        assert!(log.append(300), "its writer goes on, while the block is built or later");
        assert!(!log.append(150), "what is cut is cut");
        log.apply(&ShardCommand::Drop { end_ms: 201 });
        assert_eq!(log.cut(1000), Some(BlockRange::new(201, 1000)), "blocks do not overlap");
        log.apply(&ShardCommand::Drop { end_ms: 1000 });
        assert!(log.append(1500));
        assert_eq!(log.cut(2000), Some(BlockRange::new(1000, 2000)));
    }
}
