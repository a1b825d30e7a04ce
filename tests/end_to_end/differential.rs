//! Norn against a live Prometheus 3 that holds the same samples: thousands of generated queries, each with one answer.
//!
//! 1. Both get the samples of [`data`] by remote write.
//! 2. [`grammar`] makes queries from a seed: instant and over a range, on and off the grid of the samples.
//! 3. Both are asked over HTTP. What is compared ([`answer`]): status, error texts, the type of the result, labels, times,
//!    values (to the last digit, or within 1e-9 of the larger one or 1e-12, which is counted apart), warnings, infos, and the
//!    order where it means something.
//! 4. A difference must be on the list of [`allowed`] ones; a single other one fails the test.
//!
//! Native histograms are not here: see `histograms`.
//!
//! `NORN_TEST_PROMETHEUS` names the binary of a Prometheus 3.5 or newer. Without it the test says loudly that it checks
//! nothing. `NORN_TEST_SEED` tries another seed.

mod allowed;
mod answer;
pub(crate) mod data;
mod grammar;
mod random;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use self::answer::{Answer, Case, Verdict, When};
use self::grammar::Grammar;
use crate::harness::{Api, Norn, free_ports, until};
use crate::real_programs::Guard;

pub(crate) const BINARY: &str = "NORN_TEST_PROMETHEUS";
const SEED: u64 = 3;
const CASES: usize = 4000;
/// Of 100 queries, so many at least must yield something: errors and empty answers show little.
const TELLING_PERCENT_MIN: usize = 50;
/// How many queries are under way at a time: fewer than either server takes.
const TOGETHER: usize = 8;
/// How many unexplained differences are printed.
const PRINTED_MAX: usize = 25;
const FEATURES: &str = "--enable-feature=promql-experimental-functions,promql-duration-expr";

fn cases(seed: u64) -> Vec<Case> {
    let mut grammar = Grammar::new(seed);
    let mut cases = Vec::new();
    for _ in 0..CASES {
        let query = if grammar.random.percent(4) { grammar.broken() } else { grammar.query() };
        cases.push(Case { query, when: when(&mut grammar) });
    }
    cases
}

fn when(grammar: &mut Grammar) -> When {
    let random = &mut grammar.random;
    // On the grid of the samples, or not.
    let grid = if random.percent(60) { 15_000 } else { 1 };
    let mut time = |before: i64, after: i64| {
        let ms = data::START_MS + random.between(-before, data::LENGTH_MS + after);
        ms / grid * grid
    };
    if time(0, 0) % 5 < 2 {
        return When::At(time(300_000, 600_000));
    }
    let start = time(600_000, 0);
    let step = [15_000, 60_000, 30_000, 7_123, 61_500, 300_000, 780_000][random.below(7)];
    let end = start + step * random.between(0, 30) + random.between(0, step);
    When::Steps { start, end, step }
}

/// Starts a Prometheus with [`FEATURES`] and more, each behind a comma, and waits until it is ready.
pub(crate) async fn prometheus(binary: &str, more_features: &str, dir: &Path) -> Option<(Guard, String)> {
    prometheus_with(binary, "global: {}\n", more_features, dir).await
}

/// The same, with a configuration of one's own.
pub(crate) async fn prometheus_with(
    binary: &str,
    config: &str,
    more_features: &str,
    dir: &Path,
) -> Option<(Guard, String)> {
    let address = format!("127.0.0.1:{}", free_ports(1));
    fs::write(dir.join("prometheus.yml"), config).expect("a file");
    let listen = format!("--web.listen-address={address}");
    let features = &format!("{FEATURES}{more_features}");
    let arguments = [
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=prometheus-data",
        "--storage.tsdb.retention.time=50y",
        "--web.enable-remote-write-receiver",
        "--web.enable-admin-api",
        features,
        &listen,
    ];
    let guard = Guard::start(binary, &arguments, dir)?;
    let api = Api::new(&address);
    until("Prometheus to be ready", async || api.ready().await).await;
    Some((guard, address))
}

/// What came of all queries.
#[derive(Default)]
struct Tally {
    equal: usize,
    close: usize,
    telling: usize,
    errors: usize,
    allowed: BTreeMap<&'static str, usize>,
    unexplained: Vec<String>,
}

impl Tally {
    fn count(&mut self, case: &Case, ours: &Answer, theirs: &Answer) {
        self.telling += usize::from(!theirs.series.is_empty());
        self.errors += usize::from(theirs.status != 200);
        match ours.compare(theirs, case) {
            Verdict::Equal => self.equal += 1,
            Verdict::Close => self.close += 1,
            Verdict::Different(what) => {
                match allowed::ALL.iter().find(|allowed| (allowed.covers)(case, ours, theirs)) {
                    Some(allowed) => *self.allowed.entry(allowed.reason).or_default() += 1,
                    None => self.unexplained.push(format!("{what:?} {}", show(case, ours, theirs))),
                }
            }
        }
    }
}

/// Shows a case and what differs in its answers.
fn show(case: &Case, ours: &Answer, theirs: &Answer) -> String {
    let head = |answer: &Answer, other: &Answer| {
        let status = format!("{} {} {}", answer.status, answer.error_type, answer.error);
        let notes: Vec<&String> = answer.warnings.difference(&other.warnings).collect();
        let infos: Vec<&String> = answer.infos.difference(&other.infos).collect();
        let series = answer.by_labels();
        let others = other.by_labels();
        let only: Vec<_> = series
            .into_iter()
            .filter(|(labels, points)| others.get(labels) != Some(points))
            .take(2)
            .collect();
        format!("{status} {} {notes:?} {infos:?} {only:?}", answer.result_type)
    };
    let order = |answer: &Answer| {
        answer.series.iter().take(4).map(|(labels, _)| format!("{labels:?}")).collect::<Vec<_>>().join(" ")
    };
    if ours.by_labels() == theirs.by_labels() && ours.infos == theirs.infos && !ours.series.is_empty() {
        return format!("{case:?}\n    norn:       {}\n    prometheus: {}", order(ours), order(theirs));
    }
    format!("{case:?}\n    norn:       {}\n    prometheus: {}", head(ours, theirs), head(theirs, ours))
}

#[tokio::test]
async fn generated_queries_have_one_answer() {
    let Ok(binary) = std::env::var(BINARY) else {
        eprintln!("\n==== SKIPPED: {BINARY} does not name a Prometheus 3 ====\n");
        return;
    };
    let dir = tempfile::tempdir().expect("a directory");
    let Some((_guard, theirs)) = prometheus(&binary, "", dir.path()).await else {
        panic!("{BINARY}={binary} cannot be started");
    };
    fs::write(dir.path().join("norn.yml"), "global: {}\n").expect("a file");
    let flags = ["--config.file=norn.yml", "--storage.tsdb.retention.time=50y", FEATURES];
    let norn = Norn::standalone(dir.path(), free_ports(1), &flags).await;
    data::send(&theirs).await;
    data::send(&norn.address).await;
    let seed = std::env::var("NORN_TEST_SEED").map_or(SEED, |seed| seed.parse().expect("a number"));
    let tally = run(cases(seed), norn.api(), Api::new(&theirs)).await;
    let (equal, close, telling) = (tally.equal, tally.close, tally.telling);
    println!(
        "differential (seed {seed}): {CASES} queries, {telling} with a result, {} refused; {equal} equal, {close} within 1e-9, {} allowed {:?}, {} unexplained",
        tally.errors,
        tally.allowed.values().sum::<usize>(),
        tally.allowed,
        tally.unexplained.len()
    );
    let shown: Vec<_> = tally.unexplained.iter().take(PRINTED_MAX).cloned().collect();
    assert!(shown.is_empty(), "{} differences:\n{}", tally.unexplained.len(), shown.join("\n"));
    assert!(telling * 100 >= CASES * TELLING_PERCENT_MIN, "only {telling} of {CASES} answers hold anything");
    norn.api().ready().await.expect("it lives on");
}

async fn run(cases: Vec<Case>, ours: Api, theirs: Api) -> Tally {
    let cases = Arc::new(cases);
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..TOGETHER {
        let (cases, ours, theirs) = (Arc::clone(&cases), ours.clone(), theirs.clone());
        workers.spawn(async move {
            let mut tally = Tally::default();
            for case in cases.iter().skip(worker).step_by(TOGETHER) {
                let (our, their) = (case.ask(&ours).await, case.ask(&theirs).await);
                tally.count(case, &our.expect("an answer"), &their.expect("an answer"));
            }
            tally
        });
    }
    let mut all = Tally::default();
    while let Some(tally) = workers.join_next().await {
        let tally = tally.expect("no worker panics");
        all.equal += tally.equal;
        all.close += tally.close;
        all.telling += tally.telling;
        all.errors += tally.errors;
        all.unexplained.extend(tally.unexplained);
        for (name, count) in tally.allowed {
            *all.allowed.entry(name).or_default() += count;
        }
    }
    all
}
