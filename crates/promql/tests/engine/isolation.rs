//! One query does not harm another: panics stay inside, and work stops when nobody waits for it.

use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use model::{ErrorKind, LabelSet, TimeRange};
use promql::{Engine, EngineConfig, QueryOptions};
use storage::{Queryable, SampleSource, Samples, Series, SeriesSet, StorageError};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::data::answers;
use crate::pushed::elsewhere;

/// Returns data whose series all share one source. It answers once.
fn data(series: usize, source: impl SampleSource + 'static) -> Arc<dyn Queryable> {
    let source: Mutex<Option<Arc<dyn SampleSource>>> = Mutex::new(Some(Arc::new(source)));
    answers(move |_| {
        let source = source.lock().expect("no panic holds it").take().expect("selected once");
        let labels =
            |i: usize| LabelSet::from_pairs([("__name__", "m".to_owned()), ("i", format!("{i:06}"))]);
        let series =
            (0..series).map(|i| Series { labels: labels(i), samples: Arc::clone(&source) }).collect();
        ready(Ok(SeriesSet { series, ..SeriesSet::default() }))
    })
}

#[tokio::test]
async fn a_panic_is_an_error_of_its_query_alone() {
    struct Panicking;
    impl SampleSource for Panicking {
        fn read(&self, _: TimeRange, _: &mut Samples) -> Result<(), StorageError> {
            panic!("the decoder is broken")
        }
        fn sample_count_max(&self) -> usize {
            1
        }
    }
    let engine = Engine::new(EngineConfig::default());
    let options = QueryOptions::default();
    let error = engine.instant(data(1, Panicking), "m", 0, &options).await.expect_err("panics");
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.to_string().contains("the decoder is broken"), "{error}");
    assert!(engine.instant(data(1, Panicking), "vector(1)", 0, &options).await.is_ok());
}

/// Counts reads, tells of the first and of its own end, and lets reads wait until they may go on.
struct Watched {
    reads: Arc<AtomicUsize>,
    events: UnboundedSender<&'static str>,
    go_on: Arc<(Mutex<bool>, Condvar)>,
}

impl SampleSource for Watched {
    fn read(&self, _: TimeRange, out: &mut Samples) -> Result<(), StorageError> {
        if self.reads.fetch_add(1, Ordering::SeqCst) == 0 {
            self.events.send("reading").expect("the test listens");
        }
        let (open, changed) = &*self.go_on;
        let open = open.lock().expect("no panic holds it");
        drop(changed.wait_while(open, |open| !*open).expect("no panic holds it"));
        out.push(0, 1.0);
        Ok(())
    }
    fn sample_count_max(&self) -> usize {
        1
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.events.send("dropped");
    }
}

#[tokio::test]
async fn work_stops_when_the_caller_goes_away() {
    work_stops(|data, _| data).await;
}

#[tokio::test]
async fn a_peers_work_stops_when_the_caller_goes_away() {
    work_stops(elsewhere).await;
}

async fn work_stops(arrange: impl Fn(Arc<dyn Queryable>, &Engine) -> Arc<dyn Queryable>) {
    const SERIES: usize = 200_000;
    let (events, mut happened) = unbounded_channel();
    let (reads, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new((Mutex::new(false), Condvar::new())));
    let source = Watched { reads: Arc::clone(&reads), events, go_on: Arc::clone(&go_on) };
    let engine = Engine::new(EngineConfig::default());
    let data = arrange(data(SERIES, source), &engine);
    let query = tokio::spawn(async move { engine.instant(data, "m", 0, &QueryOptions::default()).await });
    assert_eq!(happened.recv().await, Some("reading"));
    query.abort();
    assert!(query.await.expect_err("aborted").is_cancelled());
    *go_on.0.lock().expect("no panic holds it") = true;
    go_on.1.notify_all();
    assert_eq!(happened.recv().await, Some("dropped"));
    let reads = reads.load(Ordering::SeqCst);
    assert!(reads < SERIES / 2, "{reads} of {SERIES} series were read after the caller was gone");
}

/// Keeps a worker busy for a while at each read, and counts reads.
struct Slow(Arc<AtomicUsize>, UnboundedSender<()>);

impl SampleSource for Slow {
    fn read(&self, _: TimeRange, out: &mut Samples) -> Result<(), StorageError> {
        if self.0.fetch_add(1, Ordering::SeqCst) == 0 {
            self.1.send(()).expect("the test listens");
        }
        for i in 0..10_000 {
            std::hint::black_box(i);
        }
        out.push(0, 1.0);
        Ok(())
    }
    fn sample_count_max(&self) -> usize {
        1
    }
}

#[tokio::test]
async fn a_small_query_takes_turns_with_a_big_one() {
    const SERIES: usize = 200_000;
    let engine = Engine::new(EngineConfig::default());
    let (events, mut happened) = unbounded_channel();
    let reads = Arc::new(AtomicUsize::new(0));
    let (big, of_big) = (engine.clone(), data(SERIES, Slow(Arc::clone(&reads), events)));
    let big = tokio::spawn(async move { big.instant(of_big, "m", 0, &QueryOptions::default()).await });
    happened.recv().await.expect("it reads");
    // Enough series for several workers.
    let (events, _happened) = unbounded_channel();
    let small = data(1000, Slow(Arc::default(), events));
    engine.instant(small, "m", 0, &QueryOptions::default()).await.expect("succeeds");
    let reads = reads.load(Ordering::SeqCst);
    assert!(reads < SERIES / 2, "the small query waited until {reads} of {SERIES} series were read");
    big.abort();
}
