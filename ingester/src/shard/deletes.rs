//! Deletes of a shard: from a log entry to the head, once for each id.
//!
//! An entry that comes again, however late, is answered as it was the first time and changes nothing: samples that were
//! written since stay.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use cluster::{DeleteId, DeleteOrder};
use head::Head;
use model::{LabelSet, Matcher};
use selection::External;

/// How many of the latest deletes are remembered.
const REMEMBERED_MAX: usize = 1000;

/// What the answers begin with.
const TAKEN: u8 = 0;
const REFUSED: u8 = 1;

/// Where a delete stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TakenDelete {
    /// Its entry's index.
    pub(crate) index: u64,
    /// The end (exclusive, ms) of the window that was frozen then.
    pub(crate) frozen_until_ms: Option<i64>,
}

/// The deletes of a shard that were taken last.
#[derive(Debug, Default)]
pub(crate) struct Deletes {
    external: Arc<External>,
    /// The latest last.
    taken: VecDeque<(DeleteId, TakenDelete)>,
}

impl Deletes {
    pub(crate) fn new(external: External) -> Self {
        Self { external: Arc::new(external), taken: VecDeque::new() }
    }

    /// Applies an entry and returns the answer to it.
    pub(crate) fn apply(&mut self, head: &Head, order: &[u8], here: TakenDelete) -> Bytes {
        match self.delete(head, order, here) {
            Ok(taken) => encode_taken(taken),
            Err(reason) => {
                let mut out = BytesMut::from(&[REFUSED][..]);
                out.extend_from_slice(reason.as_bytes());
                out.freeze()
            }
        }
    }

    fn delete(&mut self, head: &Head, order: &[u8], here: TakenDelete) -> Result<TakenDelete, String> {
        let order = DeleteOrder::decode(order)?;
        if let Some((_, taken)) = self.taken.iter().find(|(id, _)| *id == order.id) {
            return Ok(*taken);
        }
        let selectors = order.compile()?;
        let external = &self.external;
        let localized: Vec<Vec<Matcher>> = selectors.iter().map(|m| external.localize(m)).collect();
        let accepts = |labels: &LabelSet| {
            let attached = external.attach(labels);
            selectors.iter().any(|matchers| External::accepts(matchers, &attached))
        };
        // What is localized may match more than is meant, where it names external labels.
        let concerns = selectors.iter().any(|matchers| external.concerns(matchers));
        let accepts: Option<&dyn Fn(&LabelSet) -> bool> = if concerns { Some(&accepts) } else { None };
        head.delete(&localized, accepts, order.range()).map_err(|error| error.to_string())?;
        if self.taken.len() >= REMEMBERED_MAX {
            self.taken.pop_front();
        }
        self.taken.push_back((order.id, here));
        Ok(here)
    }

    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&(self.taken.len() as u32).to_le_bytes())?;
        for (id, taken) in &self.taken {
            out.write_all(&id.0.to_le_bytes())?;
            out.write_all(&encode_taken(*taken))?;
        }
        Ok(())
    }

    /// Takes up what a snapshot holds.
    pub(crate) fn restore(&mut self, input: &mut dyn Read) -> io::Result<()> {
        let mut count = [0; 4];
        input.read_exact(&mut count)?;
        let count = u32::from_le_bytes(count) as usize;
        if count > REMEMBERED_MAX {
            return Err(io::Error::other(format!("a shard snapshot with {count} deletes")));
        }
        self.taken.clear();
        for _ in 0..count {
            let mut entry = [0; 16 + TAKEN_BYTES];
            input.read_exact(&mut entry)?;
            let id = u128::from_le_bytes(entry[..16].try_into().expect("sixteen bytes"));
            let taken = decode_answer(&entry[16..]);
            let taken =
                taken.and_then(Result::ok).ok_or_else(|| io::Error::other("a delete is malformed"))?;
            self.taken.push_back((DeleteId(id), taken));
        }
        Ok(())
    }
}

/// Length of an answer that a delete was taken.
const TAKEN_BYTES: usize = 18;

fn encode_taken(taken: TakenDelete) -> Bytes {
    let mut out = BytesMut::with_capacity(TAKEN_BYTES);
    out.put_u8(TAKEN);
    out.put_u64_le(taken.index);
    out.put_u8(u8::from(taken.frozen_until_ms.is_some()));
    out.put_i64_le(taken.frozen_until_ms.unwrap_or_default());
    out.freeze()
}

/// Reads the answer to a delete: where it was taken, or why not; `None` when the bytes are none.
pub(crate) fn decode_answer(bytes: &[u8]) -> Option<Result<TakenDelete, String>> {
    let (kind, mut rest) = bytes.split_first()?;
    match *kind {
        TAKEN if rest.len() == TAKEN_BYTES - 1 => {
            let (index, is_frozen, end_ms) = (rest.get_u64_le(), rest.get_u8(), rest.get_i64_le());
            Some(Ok(TakenDelete { index, frozen_until_ms: (is_frozen == 1).then_some(end_ms) }))
        }
        REFUSED => Some(Err(String::from_utf8_lossy(rest).into_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use batch::{Batch, BatchBuilder};
    use cluster::MatcherText;
    use head::HeadConfig;
    use model::TimeRange;

    use super::*;

    fn order(id: u128, name: &str, op: &str, value: &str) -> Vec<u8> {
        let matcher = MatcherText { name: name.into(), op: op.into(), value: value.into() };
        let selectors = vec![vec![matcher]];
        DeleteOrder { id: DeleteId(id), selectors, start_ms: 0, end_ms: 100 }.encode()
    }

    fn write(head: &Head, time_ms: i64) {
        let mut builder = BatchBuilder::new();
        for labels in [&[("__name__", "up")][..], &[("__name__", "up"), ("cluster", "b")]] {
            let series = builder.declare(&LabelSet::from_pairs(labels.iter().copied()));
            builder.push_declared(series, time_ms, 1.0);
        }
        head.apply(1000, &Batch::decode(&builder.finish()).expect("a builder writes batches"));
    }

    fn seen(head: &Head) -> Vec<(String, usize)> {
        let series = head.select(&[], TimeRange::ALL, i64::MIN, 10).expect("few series");
        let count =
            |series: &head::HeadSeries| series.chunks.iter().map(|chunk| chunk.samples as usize).sum();
        series.iter().map(|series| (series.labels.get("cluster").to_owned(), count(series))).collect()
    }

    fn bench() -> (Head, Deletes) {
        let config =
            HeadConfig { out_of_order_window_ms: 0, future_ms_max: 0, series_max: 10, exemplars_max: 0 };
        let external = External::new(&[("cluster".to_owned(), "a".to_owned())].into());
        let head = Head::new(config);
        write(&head, 10);
        write(&head, 20);
        (head, Deletes::new(external))
    }

    const HERE: TakenDelete = TakenDelete { index: 7, frozen_until_ms: Some(-5) };

    #[test]
    fn a_delete_is_done_once_also_after_a_restart() {
        let (head, mut deletes) = bench();
        let first = deletes.apply(&head, &order(1, "__name__", "=", "up"), HERE);
        assert_eq!(decode_answer(&first), Some(Ok(HERE)));
        assert_eq!(seen(&head), []);
        write(&head, 30);
        let mut snapshot = Vec::new();
        deletes.write(&mut snapshot).expect("memory");
        let mut restored = Deletes::default();
        restored.restore(&mut snapshot.as_slice()).expect("as written");
        let again = TakenDelete { index: 9, frozen_until_ms: None };
        for deletes in [&mut deletes, &mut restored] {
            assert_eq!(deletes.apply(&head, &order(1, "__name__", "=", "up"), again), first);
        }
        assert_eq!(seen(&head), [(String::new(), 1), ("b".to_owned(), 1)], "what came since stays");
        deletes.apply(&head, &order(2, "__name__", "=", "up"), again);
        assert_eq!(seen(&head), []);
    }

    #[test]
    fn selectors_mean_external_labels_too() {
        for (op, value, left) in [
            ("=", "a", &["b"][..]),
            ("!=", "a", &[""]),
            ("!~", "|b", &["b"]),
            ("=~", ".*", &[]),
            ("=", "", &["", "b"]),
        ] {
            let (head, mut deletes) = bench();
            deletes.apply(&head, &order(1, "cluster", op, value), HERE);
            let seen: Vec<String> = seen(&head).into_iter().map(|(cluster, _)| cluster).collect();
            assert_eq!(seen, left, "{op} {value}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_reason() {
        let (head, mut deletes) = bench();
        for bad in [order(1, "a", "=~", "("), b"{}".to_vec()] {
            let answer = deletes.apply(&head, &bad, HERE);
            assert!(matches!(decode_answer(&answer), Some(Err(_))), "{bad:?}");
        }
        assert_eq!(seen(&head).len(), 2);
    }
}
