//! The ruler against a real control state, scripted queriers and a recording appender.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cluster::Role;
use model::{ErrorKind, LabelSet, is_stale};
use proto::connect::Connector;
use proto::error::status;
use proto::query::query_server::{Query, QueryServer};
use proto::query::{InstantRequest, InstantResponse, ReachRequest, ReachResponse, Sample};
use ruler::{GroupStatus, RuleHealth, RuleKind, Ruler, RulerConfig, RulerError};
use service::Context;
use session::{Session, SessionConfig};
use storage::{AppendOutcome, Appender, StorageError, WriteRequest};
use tests::control::{CLUSTER, CONTROL_ADDRESS, MemControl};
use tokio::sync::mpsc;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// What the ruler did, in order.
#[derive(Clone, Debug, PartialEq)]
enum Event {
    /// `(querier, query, time)`.
    Asked(&'static str, String, i64),
    /// `(ruler, series as text, time, value)`; the value of a staleness marker is `None`.
    Wrote(&'static str, String, i64, Option<f64>),
}

type Answer = Result<Vec<(LabelSet, f64)>, Status>;
type Script = Arc<dyn Fn(&str, i64) -> Answer + Send + Sync>;

struct Querier {
    name: &'static str,
    script: Script,
    events: mpsc::UnboundedSender<Event>,
}

#[tonic::async_trait]
impl Query for Querier {
    async fn instant(&self, request: Request<InstantRequest>) -> Result<Response<InstantResponse>, Status> {
        let InstantRequest { query, time_ms } = request.into_inner();
        drop(self.events.send(Event::Asked(self.name, query.clone(), time_ms)));
        let sample = |(labels, value): (LabelSet, f64)| Sample {
            labels: labels.as_bytes().to_vec().into(),
            time_ms,
            value,
            ..Sample::default()
        };
        let samples = (self.script)(&query, time_ms)?.into_iter().map(sample).collect();
        Ok(Response::new(InstantResponse { samples, warnings: Vec::new() }))
    }

    async fn reach(&self, _: Request<ReachRequest>) -> Result<Response<ReachResponse>, Status> {
        Ok(Response::new(ReachResponse {}))
    }
}

struct Recorder {
    ruler: &'static str,
    events: mpsc::UnboundedSender<Event>,
}

#[async_trait]
impl Appender for Recorder {
    async fn append(&self, request: WriteRequest) -> Result<AppendOutcome, StorageError> {
        let mut accepted = 0;
        for series in request.series {
            let labels = series.labels.decode().expect("a rule's labels are a set");
            for (time_ms, value) in series.samples {
                let value = Some(value).filter(|value| !is_stale(*value));
                drop(self.events.send(Event::Wrote(self.ruler, labels.to_string(), time_ms, value)));
                accepted += 1;
            }
        }
        Ok(AppendOutcome { accepted, ..AppendOutcome::default() })
    }
}

struct Bench {
    dir: tempfile::TempDir,
    connector: Connector,
    control: MemControl,
    sender: mpsc::UnboundedSender<Event>,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Bench {
    fn new(rules: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder for the test");
        std::fs::write(dir.path().join("rules.yml"), rules).expect("the folder is writable");
        let connector = Connector::default();
        let control = MemControl::start(&connector);
        let (sender, events) = mpsc::unbounded_channel();
        Self { dir, connector, control, sender, events }
    }

    fn add_querier(&self, name: &'static str, script: impl Fn(&str, i64) -> Answer + Send + Sync + 'static) {
        let address = format!("{name}.test:1");
        let querier = Querier { name, script: Arc::new(script), events: self.sender.clone() };
        self.connector.serve_in_process(&address, Routes::new(QueryServer::new(querier)));
        self.control.add_member(Role::Querier, name, &address);
    }

    fn config(&self) -> RulerConfig {
        RulerConfig {
            rule_files: vec![self.dir.path().join("*.yml")],
            evaluation_interval: Duration::from_millis(20),
            query_offset: Duration::ZERO,
            query_timeout: RulerConfig::QUERY_TIMEOUT,
        }
    }

    async fn build(&self, name: &'static str, context: &Context) -> Result<Ruler, RulerError> {
        let config = SessionConfig {
            cluster: CLUSTER.into(),
            seeds: vec![CONTROL_ADDRESS.into()],
            role: Role::Ruler,
            name: name.into(),
            zone: String::new(),
            grpc_address: String::new(),
            http_address: String::new(),
            disk_id: None,
        };
        let session = Session::new(config, self.connector.clone());
        context.spawn("session", Arc::clone(&session).run(context.shutdown()));
        let recorder = Arc::new(Recorder { ruler: name, events: self.sender.clone() });
        Ruler::build(self.config(), context, session, recorder).await
    }

    /// Starts a ruler; the context stops it.
    async fn start(&self, name: &'static str) -> (Context, Ruler) {
        let context = Context::new("ruler");
        let ruler = self.build(name, &context).await.expect("valid rules");
        ruler.start();
        (context, ruler)
    }

    async fn next(&mut self) -> Event {
        self.events.recv().await.expect("the bench keeps a sender")
    }

    /// Returns the next event that a closure picks.
    async fn find<T>(&mut self, pick: impl Fn(&Event) -> Option<T>) -> T {
        loop {
            if let Some(found) = pick(&self.next().await) {
                return found;
            }
        }
    }
}

fn set(pairs: &[(&str, &str)]) -> LabelSet {
    LabelSet::from_pairs(pairs.iter().copied())
}

async fn stop(context: Context) {
    assert_eq!(context.ready(), Ok(()));
    assert_eq!(context.stop(Duration::from_secs(60)).await, Vec::<String>::new());
}

/// So many that both of two rulers have some, whatever the names of the test's folder.
const GROUPS: usize = 32;

const TWO_RULES: &str = "groups:\n- name: g\n  labels: {team: a}\n  rules:\n  - record: one\n    expr: sum(up)\n  \
                         - record: two\n    expr: one * 2\n    labels: {team: b}\n";

#[tokio::test]
async fn rules_of_a_group_run_one_after_another_on_aligned_times() {
    let mut bench = Bench::new(TWO_RULES);
    bench.add_querier("q", |query, _| {
        Ok(vec![(set(&[("__name__", "x")]), if query == "sum(up)" { 3.0 } else { 6.0 })])
    });
    let (context, ruler) = bench.start("r").await;
    let mut times = Vec::new();
    for _ in 0..3 {
        let Event::Asked("q", query, time) = bench.next().await else { panic!("a query comes first") };
        assert_eq!(query, "sum(up)");
        assert_eq!(bench.next().await, Event::Wrote("r", "one{team=\"a\"}".into(), time, Some(3.0)));
        assert_eq!(bench.next().await, Event::Asked("q", "one * 2".into(), time));
        assert_eq!(bench.next().await, Event::Wrote("r", "two{team=\"b\"}".into(), time, Some(6.0)));
        times.push(time);
    }
    assert!(times.iter().all(|time| (time - times[0]) % 20 == 0), "{times:?}");
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    let [GroupStatus { name, held: true, last_evaluation_ms: Some(_), rules, .. }] = &ruler.groups()[..]
    else {
        panic!("{:?}", ruler.groups())
    };
    assert_eq!(name, "g");
    let found: Vec<_> = rules.iter().map(|rule| (rule.name.as_str(), rule.kind, rule.health)).collect();
    assert_eq!(
        found,
        [("one", RuleKind::Recording, RuleHealth::Good), ("two", RuleKind::Recording, RuleHealth::Good)]
    );
    assert_eq!(rules[1].labels, BTreeMap::from([("team".into(), "b".into())]));
    let metrics = context.metrics().encode();
    for name in [
        "prometheus_rule_evaluations_total{rule_group=\"",
        "prometheus_rule_group_last_duration_seconds{rule_group=\"",
        "prometheus_rule_group_iterations_missed_total{rule_group=\"",
        "prometheus_rule_group_rules{rule_group=\"",
    ] {
        assert!(metrics.contains(name), "{name} in {metrics}");
    }
    stop(context).await;
}

#[tokio::test]
async fn a_series_that_vanishes_gets_one_staleness_marker() {
    let mut bench = Bench::new("groups:\n- name: g\n  rules:\n  - record: r\n    expr: up\n");
    let times = Mutex::new(Vec::new());
    // The second evaluation fails, the third has no `b` any more.
    bench.add_querier("q", move |_, time| {
        let mut times = times.lock().expect("no code panics under this lock");
        times.push(time);
        match times.len() {
            1 => Ok(vec![(set(&[("i", "a")]), 1.0), (set(&[("i", "b")]), 2.0)]),
            2 => Err(status(ErrorKind::Invalid, "broken")),
            _ => Ok(vec![(set(&[("i", "a")]), 3.0)]),
        }
    });
    let (context, _ruler) = bench.start("r").await;
    let mut wrote = Vec::new();
    while wrote.len() < 5 {
        wrote.push(
            bench
                .find(|event| match event {
                    Event::Wrote(_, series, _, value) => Some((series.clone(), *value)),
                    Event::Asked(..) => None,
                })
                .await,
        );
    }
    let (a, b) = ("r{i=\"a\"}".to_owned(), "r{i=\"b\"}".to_owned());
    assert_eq!(
        wrote,
        [(a.clone(), Some(1.0)), (b.clone(), Some(2.0)), (a.clone(), Some(3.0)), (b, None), (a, Some(3.0))]
    );
    stop(context).await;
}

#[tokio::test]
async fn a_failed_rule_writes_nothing_and_says_why() {
    let mut bench = Bench::new(
        "groups:\n- name: g\n  limit: 1\n  rules:\n  - record: many\n    expr: up\n  - record: same\n    expr: same\n    \
         labels: {i: \"\"}\n  - record: wrong\n    expr: wrong\n  - record: good\n    expr: good\n  - alert: A\n    expr: up\n",
    );
    bench.add_querier("q", |query, _| match query {
        "wrong" => Err(status(ErrorKind::Invalid, "the query yields a string, not samples")),
        "good" => Ok(vec![(set(&[]), 1.0)]),
        _ => Ok(vec![(set(&[("i", "a")]), 1.0), (set(&[("i", "b")]), 2.0)]),
    });
    let (context, ruler) = bench.start("r").await;
    for _ in 0..2 {
        let wrote = bench.find(|event| matches!(event, Event::Wrote(..)).then(|| event.clone())).await;
        assert!(matches!(&wrote, Event::Wrote("r", series, _, Some(1.0)) if series == "good"), "{wrote:?}");
    }
    let rules = &ruler.groups()[0].rules;
    let found: Vec<_> = rules.iter().map(|rule| (rule.health.as_str(), rule.last_error.as_str())).collect();
    assert_eq!(
        found,
        [
            ("err", "exceeded limit of 1 with 2 series"),
            ("err", "vector contains metrics with the same labelset after applying rule labels"),
            ("err", "the query yields a string, not samples"),
            ("ok", ""),
            ("unknown", "alerting rules are not evaluated yet"),
        ]
    );
    stop(context).await;
}

#[tokio::test]
async fn another_querier_is_asked_when_one_does_not_answer() {
    let mut bench =
        Bench::new("groups:\n- name: g\n  query_offset: 7s\n  rules:\n  - record: r\n    expr: up\n");
    for name in ["q0", "q1", "q2"] {
        bench.add_querier(name, move |_, _| match name {
            "q1" => Ok(vec![(set(&[]), 1.0)]),
            _ => Err(status(ErrorKind::Unavailable, "shard 1 has no leader")),
        });
    }
    let before = now_ms();
    let (context, _ruler) = bench.start("r").await;
    let mut asked = Vec::new();
    let time = loop {
        match bench.next().await {
            Event::Asked(name, _, time) => asked.push((name, time)),
            Event::Wrote("r", series, time, Some(_)) if series == "r" => break time,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(asked.last(), Some(&("q1", time)));
    assert!(asked.iter().all(|(_, asked)| *asked == time), "{asked:?}");
    assert!((before - 7000..=now_ms() - 7000).contains(&time), "the offset lies in the past");
    stop(context).await;
}

#[tokio::test]
async fn each_group_has_one_ruler_and_a_group_of_a_dead_one_gets_another() {
    let rules: String = (0..GROUPS)
        .map(|i| format!("- name: g{i}\n  interval: 200ms\n  rules:\n  - record: r{i}\n    expr: up\n"))
        .collect();
    let mut bench = Bench::new(&format!("groups:\n{rules}"));
    bench.add_querier("q", |_, _| Ok(vec![(set(&[]), 1.0)]));
    let (first, first_ruler) = bench.start("r0").await;
    let (second, second_ruler) = bench.start("r1").await;
    let is_spread = |state: &cluster::ControlState| {
        let rulers: Vec<_> = state.live(Role::Ruler).map(|member| member.node).collect();
        let owner = |lease: &str| cluster::rendezvous::owner(lease.as_bytes(), rulers.iter().copied());
        rulers.len() == 2
            && state.leases.len() == GROUPS
            && state.leases.iter().all(|(name, lease)| Some(lease.holder) == owner(name))
    };
    let state = bench.control.wait(is_spread).await;
    let holders: std::collections::BTreeSet<_> = state.leases.values().map(|lease| lease.holder).collect();
    assert_eq!(holders.len(), 2, "groups fall to both rulers");
    stop(first).await;
    assert!(first_ruler.groups().iter().all(|group| !group.held));
    bench.control.wait(|state| state.leases.len() == GROUPS && state.live(Role::Ruler).count() == 1).await;
    let mut written = std::collections::BTreeSet::new();
    while written.len() < GROUPS {
        let series = bench.find(|event| match event {
            Event::Wrote("r1", series, ..) => Some(series.clone()),
            _ => None,
        });
        written.insert(series.await);
    }
    assert_eq!(second_ruler.groups().len(), GROUPS);
    stop(second).await;
}

#[tokio::test]
async fn nothing_is_written_without_a_membership() {
    let mut bench = Bench::new("groups:\n- name: g\n  rules:\n  - record: r\n    expr: up\n");
    bench.add_querier("q", |_, _| Ok(vec![(set(&[]), 1.0)]));
    let (context, _ruler) = bench.start("r").await;
    bench.find(|event| matches!(event, Event::Wrote(..)).then_some(())).await;
    let state = bench.control.state();
    let (lease, held) = state.leases.iter().next().expect("the group is held");
    bench.control.expire(held.holder);
    // The membership is taken again by itself, and the lease with a new epoch; then writing goes on.
    let (lease, epoch) = (lease.clone(), held.epoch);
    bench.control.wait(|state| state.leases.get(&lease).is_some_and(|held| held.epoch > epoch)).await;
    while bench.events.try_recv().is_ok() {}
    bench.find(|event| matches!(event, Event::Wrote(..)).then_some(())).await;
    stop(context).await;
}

#[tokio::test]
async fn rules_that_are_wrong_stop_the_start() {
    let bench = Bench::new("groups:\n- name: g\n  rules:\n  - record: r\n    expr: sum(\n");
    let context = Context::new("ruler");
    let error = bench.build("r", &context).await.err().expect("the expression is wrong");
    assert!(error.to_string().contains("rules.yml: line 5, column 11: group \"g\", rule \"r\""), "{error}");
    context.stop(Duration::from_secs(60)).await;
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("it is after 1970").as_millis() as i64
}
