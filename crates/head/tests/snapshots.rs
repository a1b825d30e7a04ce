//! Snapshots: golden bytes, and that nothing damaged is taken for one.

mod support;

use batch::{Batch, BatchBuilder};
use head::{Head, HeadError};
use model::{Exemplar, LabelSet, Matcher, MetricMetadata, MetricType, TimeRange};
use proptest::prelude::*;
use support::{KnownRefs, config, op, perform, restored, snapshot};

fn small_head() -> Head {
    let head = Head::new(config(1000));
    let mut builder = BatchBuilder::new();
    for (name, times) in [("gone", &[10][..]), ("up", &[1000, 1015, 1030, 1020])] {
        let index = builder.declare(&LabelSet::from_pairs([("__name__", name), ("job", "x")]));
        times.iter().for_each(|time_ms| builder.push_declared(index, *time_ms, 1.0));
    }
    builder.push_metadata(&MetricMetadata {
        family: "up".into(),
        metric_type: MetricType::Gauge,
        help: "h".into(),
        unit: String::new(),
    });
    for (name, time_ms) in [("up", 1010), ("unknown", 1010)] {
        let exemplar = Exemplar { labels: LabelSet::from_pairs([("t", "1")]), value: 0.5, time_ms };
        builder.push_exemplar(&LabelSet::from_pairs([("__name__", name), ("job", "x")]), &exemplar);
    }
    head.apply(2000, &Batch::decode(&builder.finish()).expect("a builder writes batches"));
    head.drop_before(500);
    let up = [vec![Matcher::equal("__name__", "up")]];
    head.delete(&up, None, TimeRange::new(1010, 1020)).expect("one range");
    head.cut(1012);
    head
}

#[test]
fn golden_bytes() {
    let golden = "4e4f524e48454144040000000118000000f403000000000000f401000000000000060400000000000083ffe40f0218000000020000007570050000006761756765010000006800000000e59cd54b031a0000000c000000085f5f6e616d655f5f02757006000000036a6f620178beee1a8c045e0000000100000000000000000102000000000000000100000018000000010300000000000003e83ff0000000000000ce80a09185a10000000020000000fc03000000000000fc030000000000000d0001020104f80f010402003ce3958400000000c6f7d2f5052c0000000100000010000000f203000000000000fc0300000000000010000000f203000000000000f30300000000000028bce4ae062e00000012000000085f5f6e616d655f5f027570036a6f6201780400000001740131000000000000e03ff203000000000000d026ca160704000000020000005507ffe2";
    let bytes = snapshot(&small_head());
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, golden);
    let head = restored(&small_head(), config(1000));
    assert_eq!(snapshot(&head), bytes);
}

#[test]
fn other_versions_and_other_files_are_refused() {
    let read = |bytes: &[u8]| Head::read_snapshot(config(0), &mut &*bytes).expect_err("not a snapshot");
    let mut later = snapshot(&small_head());
    later[8] = 5;
    assert!(matches!(read(&later), HeadError::UnknownSnapshotVersion { version: 5, known: 4 }));
    assert!(matches!(read(b"something else entirely"), HeadError::DamagedSnapshot { offset: 0, .. }));
    assert!(matches!(read(b"NORN"), HeadError::ReadSnapshot { offset: 0, .. }));
}

/// Changes bytes of one frame's payload and gives the frame a valid checksum again.
fn damage(snapshot: &mut [u8], frame: usize, changes: &[(prop::sample::Index, u8)]) {
    let mut begins = vec![12];
    while let Some(length) = snapshot.get(begins[begins.len() - 1] + 1..begins[begins.len() - 1] + 5) {
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        begins.push(begins[begins.len() - 1] + 9 + length);
    }
    let frame = frame % (begins.len() - 1);
    let (begin, end) = (begins[frame], begins[frame + 1] - 4);
    for (index, byte) in changes {
        snapshot[begin + 5 + index.index(end - begin - 5)] = *byte;
    }
    let checksum = crc32c::crc32c(&snapshot[begin..end]);
    snapshot[end..end + 4].copy_from_slice(&checksum.to_le_bytes());
}

proptest! {
    #[test]
    fn damage_is_refused_or_harmless(
        ops in prop::collection::vec(op(), 1..10),
        flipped in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        frame in any::<usize>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let head = Head::new(config(1000));
        let mut known = KnownRefs::new();
        ops.iter().for_each(|op| { perform(&head, op, &mut known); });
        let bytes = snapshot(&head);
        prop_assert!(Head::read_snapshot(config(0), &mut &bytes[..cut.index(bytes.len())]).is_err());
        let mut flipped_bytes = bytes.clone();
        flipped_bytes[flipped.index(bytes.len())] ^= 1;
        prop_assert!(Head::read_snapshot(config(0), &mut flipped_bytes.as_slice()).is_err());

        let mut damaged = bytes;
        damage(&mut damaged, frame, &changes);
        if let Ok(head) = Head::read_snapshot(config(0), &mut damaged.as_slice()) {
            let series = head.select(&[], TimeRange::ALL, head.dropped_until_ms(), 1000).expect("chunks are checked");
            prop_assert!(series.len() as u64 <= head.stats().series);
            head.drop_before(i64::MAX);
        }
    }
}
