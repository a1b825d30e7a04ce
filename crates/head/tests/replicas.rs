//! Replicas that apply the same entries are equal, whenever one of them is restored from a snapshot.

mod support;

use head::Head;
use model::{BlockRange, TimeRange};
use proptest::prelude::*;
use support::{KnownRefs, config, op, perform, restored, snapshot};

fn check_equal(a: &Head, b: &Head) -> Result<(), TestCaseError> {
    let from_ms = a.dropped_until_ms();
    let all = |head: &Head| head.select(&[], TimeRange::ALL, from_ms, 100).expect("few series");
    prop_assert_eq!(all(a), all(b), "the very bytes of all chunks are the same");
    let window = |head: &Head| head.window(BlockRange::new(500, 2000)).collect::<Vec<_>>();
    prop_assert_eq!(window(a), window(b), "down to the bytes of the chunks and the order");
    prop_assert_eq!(a.metadata(None), b.metadata(None));
    let exemplars = |head: &Head| head.exemplars(&[Vec::new()], TimeRange::ALL);
    prop_assert_eq!(exemplars(a), exemplars(b));
    let mut stats = (a.stats(), b.stats());
    (stats.0.bytes, stats.1.bytes) = (0, 0);
    prop_assert_eq!(stats.0, stats.1);
    prop_assert_eq!(snapshot(a), snapshot(b));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_restored_replica_goes_on_like_the_others(
        ops in prop::collection::vec((op(), any::<bool>()), 1..30),
        window_ms in prop::sample::select(vec![0i64, 300, 100_000]),
    ) {
        let (steady, mut restarted) = (Head::new(config(window_ms)), Head::new(config(window_ms)));
        let (mut known, mut known_restarted) = (KnownRefs::new(), KnownRefs::new());
        for (op, restart) in &ops {
            let outcome = perform(&steady, op, &mut known);
            prop_assert_eq!(outcome, perform(&restarted, op, &mut known_restarted));
            prop_assert_eq!(&known, &known_restarted, "refs are the same and survive a restart");
            if *restart {
                restarted = restored(&restarted, config(window_ms));
            }
            check_equal(&steady, &restarted)?;
        }
    }
}
