//! The samples that both servers hold: what makes the difference between two readings of PromQL.
//!
//! Counters with resets, gauges with NaN, infinities and negative zero, staleness markers, gaps, sparse series, classic
//! histograms good and broken, info series, names and labels in UTF-8; scraped on a grid of 15 s, and beside it.

use super::random::Random;
use crate::harness::{Remote, Series, series};

/// The first sample: 2023-11-14T22:00:00Z, so that the data goes over midnight.
pub(crate) const START_MS: i64 = 1_699_999_200_000;
/// How long the data goes on.
pub(crate) const LENGTH_MS: i64 = 9_000_000;

/// How much time one request carries: all series advance together, or a server would refuse what is behind.
const SLICE_MS: i64 = 600_000;
const INTERVAL_MS: i64 = 15_000;

type Points = Vec<(i64, f64)>;

/// When a series has samples.
#[derive(Clone, Copy)]
enum Times {
    /// At each multiple of the interval.
    Grid(i64),
    /// Near each multiple of the interval, some of them missing.
    Beside(i64),
}

fn times(times: Times, random: &mut Random) -> Vec<i64> {
    let (interval, jitter) = match times {
        Times::Grid(interval) => (interval, 1),
        Times::Beside(interval) => (interval, interval / 3),
    };
    let grid = (0..LENGTH_MS / interval).map(|index| index * interval);
    let grid = grid.filter(|_| jitter == 1 || !random.percent(4)).collect::<Vec<_>>();
    grid.into_iter().map(|time| START_MS + time + random.between(0, jitter)).collect()
}

fn points(at: Times, random: &mut Random, mut value: impl FnMut(&mut Random) -> f64) -> Points {
    let times = times(at, random);
    times.into_iter().map(|time| (time, value(random))).collect()
}

fn counter(at: Times, random: &mut Random, increment: i64, reset_percent: usize) -> Points {
    let mut total = 0.0;
    points(at, random, |random| {
        total = if random.percent(reset_percent) { 0.0 } else { total };
        total += random.between(0, increment) as f64;
        total
    })
}

/// Removes a part and ends what is before it with a staleness marker.
fn interrupted(mut points: Points, from: usize, to: usize) -> Points {
    points[from].1 = model::stale_nan();
    points.drain(from + 1..to);
    points
}

/// Returns everything, sorted by labels.
pub(super) fn all() -> Vec<Series> {
    let mut random = Random::new(20_231_114);
    let mut all = Vec::new();
    counters(&mut all, &mut random);
    gauges(&mut all, &mut random);
    histograms(&mut all, &mut random);
    infos(&mut all, &mut random);
    names(&mut all, &mut random);
    all.sort_by(|a, b| a.labels.cmp(&b.labels));
    all
}

fn counters(all: &mut Vec<Series>, random: &mut Random) {
    for (job, instance) in [("api", "a:1"), ("api", "b:2"), ("web", "a:1"), ("web", "c:3")] {
        for (path, code) in [("/", "200"), ("/", "500"), ("/login", "200")] {
            let labels = [("code", code), ("instance", instance), ("job", job), ("path", path)];
            let points = counter(Times::Beside(INTERVAL_MS), random, 50, 1);
            all.push(series("requests_total", &labels, points));
        }
        let points = counter(Times::Grid(60_000), random, 9, 3);
        all.push(series("errors_total", &[("instance", instance), ("job", job)], points));
    }
    let points = counter(Times::Grid(INTERVAL_MS), random, 1000, 0);
    all.push(series("bytes_sum", &[("job", "api")], interrupted(points, 200, 300)));
}

fn gauges(all: &mut Vec<Series>, random: &mut Random) {
    for room in ["hall", "kitchen", "attic", "cellar"] {
        let mut level = 20.0;
        let walk = points(Times::Beside(30_000), random, |random| {
            level += random.fraction() - 0.5;
            level
        });
        all.push(series("temperature", &[("job", "home"), ("room", room)], walk));
    }
    // No subnormal ones: Go's logarithm, in assembly, takes them for normal.
    let specials = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 1e300, -1e300, 3e-308, -2.5, 3.0];
    for kind in ["mixed", "other"] {
        let points =
            points(Times::Grid(INTERVAL_MS), random, |random| specials[random.below(specials.len())]);
        all.push(series("special", &[("kind", kind)], points));
    }
    for kind in ["1", "2", "10"] {
        let points = points(Times::Grid(60_000), random, |random| random.between(-3, 4) as f64);
        all.push(series("small", &[("kind", kind)], points));
    }
    for (index, instance) in ["a:1", "b:2", "c:3"].into_iter().enumerate() {
        let points = points(Times::Beside(INTERVAL_MS), random, |random| random.fraction() * 100.0);
        let from = 100 + index * 130;
        let points = interrupted(points, from, from + 20 + index * 25);
        all.push(series("flapping", &[("instance", instance)], points));
        let sparse = counter(Times::Beside(420_000 + index as i64 * 100_000), random, 7, 10);
        all.push(series("sparse", &[("instance", instance)], sparse));
    }
    let points = vec![(START_MS + 4_000_000, 1.5)];
    all.push(series("lonely", &[("job", "api")], points));
}

fn histograms(all: &mut Vec<Series>, random: &mut Random) {
    let bounds = ["0.1", "0.25", "0.5", "1", "2.5", "+Inf"];
    for (job, instance) in [("api", "a:1"), ("api", "b:2"), ("web", "a:1")] {
        let times = times(Times::Grid(INTERVAL_MS), random);
        let (mut counts, mut sum) = ([0.0; 6], 0.0);
        let (mut rows, mut sums) = (Vec::new(), Vec::new());
        for _ in &times {
            let hit = random.below(bounds.len());
            counts.iter_mut().skip(hit).for_each(|count| *count += 1.0);
            sum += random.fraction() * 3.0;
            rows.push(counts);
            sums.push(sum);
        }
        let column = |index: usize| -> Points {
            times.iter().copied().zip(rows.iter().map(|counts| counts[index])).collect()
        };
        let labels = [("instance", instance), ("job", job)];
        for (index, bound) in bounds.into_iter().enumerate() {
            let labels = [("instance", instance), ("job", job), ("le", bound)];
            all.push(series("latency_seconds_bucket", &labels, column(index)));
        }
        all.push(series("latency_seconds_count", &labels, column(5)));
        all.push(series("latency_seconds_sum", &labels, times.into_iter().zip(sums).collect()));
    }
    // Not monotonic, without the last bound, with one that is no number.
    for (kind, bound, value) in [
        ("falling", "1", 10.0),
        ("falling", "2", 7.0),
        ("falling", "3", 12.0),
        ("falling", "+Inf", 12.0),
        ("open", "1", 3.0),
        ("open", "2", 5.0),
        ("named", "1", 3.0),
        ("named", "many", 4.0),
        ("named", "+Inf", 5.0),
        ("empty", "1", 0.0),
        ("empty", "+Inf", 0.0),
    ] {
        let points = points(Times::Grid(60_000), random, |_| value);
        all.push(series("odd_bucket", &[("kind", kind), ("le", bound)], points));
    }
}

fn infos(all: &mut Vec<Series>, random: &mut Random) {
    for (job, instance, version) in
        [("api", "a:1", "1.0"), ("api", "b:2", "1.1"), ("web", "a:1", "2.0"), ("web", "c:3", "2.0")]
    {
        let labels = [("instance", instance), ("job", job), ("version", version)];
        all.push(series("build_info", &labels, points(Times::Grid(INTERVAL_MS), random, |_| 1.0)));
        let labels = [("instance", instance), ("job", job), ("zone", &version[..1])];
        all.push(series("target_info", &labels, points(Times::Grid(60_000), random, |_| 1.0)));
    }
}

fn names(all: &mut Vec<Series>, random: &mut Random) {
    for (size, value) in [("groß", 1.0), ("klein", 2.0), ("a\"b\\c\n", 3.0)] {
        let labels = [("größe", size), ("job", "api")];
        let points = points(Times::Grid(INTERVAL_MS), random, |random| value * random.fraction());
        all.push(series("http.größe", &labels, points));
    }
}

/// Sends everything to a server, in the order of time.
pub(crate) async fn send(address: &str) {
    let (remote, all) = (Remote::new(address), all());
    let mut from = START_MS;
    while from < START_MS + LENGTH_MS {
        let slice = |series: &Series| {
            let inside = |(time, _): &&(i64, f64)| (from..from + SLICE_MS).contains(time);
            let samples: Vec<_> = series.samples.iter().filter(inside).copied().collect();
            (!samples.is_empty()).then(|| Series { labels: series.labels.clone(), samples })
        };
        let part: Vec<Series> = all.iter().filter_map(slice).collect();
        remote.write(&part).await.unwrap_or_else(|problem| panic!("{address} at {from}: {problem}"));
        from += SLICE_MS;
    }
}
