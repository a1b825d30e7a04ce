//! A runner of scripts in Prometheus's promqltest format: `clear`, `load`, `eval instant`, `eval range`.
//!
//! [`script`] reads a script, [`starts`] its start timestamps, [`literal`] its histograms; [`storage`] holds what it loads,
//! with the [`hints`] that a database gives and the [`nhcb`] twins of classic histograms; [`check`] holds results against
//! expectations by the rules of [`same`], [`rerun`] says which other queries must yield the same. A script is evaluated
//! case by case: a case that fails does not stop those after it.

pub(crate) mod check;
mod hints;
pub(crate) mod literal;
mod nhcb;
mod rerun;
pub(crate) mod same;
pub(crate) mod script;
mod starts;
pub(crate) mod storage;
pub(crate) mod values;

use std::sync::Arc;

use ::storage::Queryable;
use promql::{Engine, EngineConfig, ParserOptions, QueryOptions};

use self::script::{Command, Eval, EvalKind};
use self::storage::Memory;

/// What became of a script.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Cases that passed.
    pub(crate) passed: usize,
    /// `line: query: what was wrong` of the others.
    pub(crate) failures: Vec<String>,
}

impl Report {
    pub(crate) fn total(&self) -> usize {
        self.passed + self.failures.len()
    }
}

/// Returns the settings that Prometheus's own scripts assume.
pub(crate) fn settings(delayed_name_removal: bool) -> EngineConfig {
    EngineConfig {
        delayed_name_removal,
        use_start_timestamps: true,
        samples_max: 10_000,
        parser: ParserOptions::everything(),
        annotations_max: usize::MAX,
        ..EngineConfig::default()
    }
}

/// What becomes of loaded data before it is queried.
pub(crate) type Arrange = fn(Arc<dyn Queryable>, &Engine) -> Arc<dyn Queryable>;

/// Whom queries of a script are put to.
struct Subject<'a> {
    engine: &'a Engine,
    arrange: Arrange,
}

impl Subject<'_> {
    fn data(&self, memory: &Memory) -> Arc<dyn Queryable> {
        (self.arrange)(memory.snapshot(), self.engine)
    }
}

/// Runs a script.
pub(crate) async fn run(text: &str, engine: &Engine, arrange: Arrange) -> Report {
    let subject = Subject { engine, arrange };
    let mut report = Report::default();
    let mut memory = Memory::default();
    for command in script::parse(text).expect("the script is well formed") {
        match command {
            Command::Clear => memory = Memory::default(),
            Command::Load(series) => memory.load(series),
            Command::Eval(eval) => match run_eval(&eval, &memory, &subject).await {
                Ok(()) => report.passed += 1,
                Err(problem) => {
                    report.failures.push(format!("line {}: {}: {problem}", eval.line, eval.query));
                }
            },
        }
    }
    report
}

async fn run_eval(eval: &Eval, memory: &Memory, subject: &Subject<'_>) -> Result<(), String> {
    let options = QueryOptions::default();
    match eval.kind {
        EvalKind::Instant { time_ms } => {
            instant(eval, &eval.query, time_ms, memory, subject).await?;
            let Some((query, times)) = rerun::pinned(&eval.query, time_ms)? else {
                return Ok(());
            };
            for time_ms in times {
                let outcome = instant(eval, &query, time_ms, memory, subject).await;
                outcome.map_err(|problem| format!("as {query} at {time_ms} ms: {problem}"))?;
            }
            Ok(())
        }
        EvalKind::Range { start_ms, end_ms, step_ms } => {
            let data = subject.data(memory);
            let result = subject.engine.range(data, &eval.query, start_ms, end_ms, step_ms, &options).await;
            check::eval(eval, result)
        }
    }
}

/// Evaluates an instant query, and again as the middle of a range query.
async fn instant(
    eval: &Eval,
    query: &str,
    time_ms: i64,
    memory: &Memory,
    subject: &Subject<'_>,
) -> Result<(), String> {
    let options = QueryOptions::default();
    check::eval(eval, subject.engine.instant(subject.data(memory), query, time_ms, &options).await)?;
    if !eval.repeats_as_range() {
        return Ok(());
    }
    let around = 60_000;
    let (start_ms, end_ms) = (time_ms - around, time_ms + around);
    match subject.engine.range(subject.data(memory), query, start_ms, end_ms, around, &options).await {
        Ok(result) => check::middle_of_range(eval, time_ms, &result.value),
        Err(error) => Err(format!("as a range query: {error}")),
    }
}
