//! Pushing: parts of a query are evaluated by those who hold the data, and only what they make of it travels.
//!
//! 1. [`mark`] chooses the nodes: those whose result can be put together from results over divisions of the series.
//! 2. [`runs`] cuts the steps of each node, division by division, at the seam: what one evaluator holds alone, it
//!    evaluates; what lies across is evaluated here, from raw samples, by the same operators.
//! 3. A [`fragment`] goes to each evaluator, with all of its nodes; the answers are tables (`exec::partial`).
//! 4. The engine merges the tables and evaluates the rest.
//!
//! Invariants: for each node, every series is evaluated at every step exactly once, whoever does it; an evaluator that
//! does not answer, or not in this version's language, is replaced by evaluation from raw samples; an error reaches the
//! user only where central evaluation would have one too.

pub(crate) mod fragment;
mod mark;
mod matched;
mod report;
mod runs;
mod serve;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use futures::future::try_join_all;
use model::{ErrorKind, TimeRange};
use storage::{Division, Evaluated, Evaluator, MemoryError, Queryable, StorageError};

use self::fragment::Fragment;
pub(crate) use self::mark::pushable;
use self::matched::{Matched, matched};
pub use self::report::{PushReport, PushedRun};
use self::runs::{Cuts, Run};
use crate::ast::{Expr, NodeId};
use crate::engine::{Engine, on_pool};
use crate::error::QueryError;
use crate::exec::{Budget, FrameError, Part, Piece, Pushed, decode, heeds_order};
use crate::plan::{Plan, Task};

/// How much may be cut where the caller runs, as pushed nodes times nodes of the query times seams; more would hold up
/// an async thread.
const INLINE_CUT_WORK_MAX: usize = 300;
/// Before the seam, across it, after it.
const PARTS_OF_DIVISION: usize = 3;

/// One query on its way to the evaluators.
pub(crate) struct Push<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) expr: &'a Arc<Expr>,
    pub(crate) plan: &'a Arc<Plan>,
    pub(crate) budget: &'a Arc<Budget>,
    /// How many series a selector may match, all parts together.
    pub(crate) series_max: usize,
    /// What all fragments have in common.
    pub(crate) fragment: Fragment,
}

/// What the evaluators made of the query's nodes.
#[derive(Default)]
pub(crate) struct Answers {
    pub(crate) nodes: Vec<Pushed>,
    /// Everything but the tables, one an evaluation.
    pub(crate) parts: Vec<Part>,
    pub(crate) report: PushReport,
}

/// What one evaluator was asked, and its answer.
struct Answer {
    tasks: Vec<Task>,
    parts: Vec<Part>,
    /// By node: how many series a selector matched.
    selected: Vec<u64>,
    run: PushedRun,
}

impl Push<'_> {
    /// Has the nodes evaluated over all divisions. `None` when what the parts know is not enough: the query is then to be
    /// evaluated centrally.
    ///
    /// # Errors
    /// Those that central evaluation would have as well.
    pub(crate) async fn run(
        &self,
        divisions: Vec<Division>,
        nodes: &[NodeId],
    ) -> Result<Option<Answers>, QueryError> {
        let seams = divisions.iter().map(|division| division.seam_ms).collect();
        let cuts = self.cuts(seams, nodes).await?;
        let mut asked = Vec::new();
        for division in &divisions {
            let [before, across, after]: &[_; PARTS_OF_DIVISION] = &cuts[&division.seam_ms];
            asked.push(self.ask(Some(&division.before), &division.raw, before));
            asked.push(self.ask(None, &division.raw, across));
            asked.push(self.ask(Some(&division.after), &division.raw, after));
        }
        let answers: Vec<Answer> = try_join_all(asked).await?;
        if answers.iter().flat_map(|answer| &answer.parts).any(|part| part.unmergeable) {
            return Ok(None);
        }
        let series_max = self.series_max as u64;
        let divisions: Vec<Vec<&[u64]>> = answers.chunks(PARTS_OF_DIVISION).map(selected_by).collect();
        match matched(&divisions) {
            Matched { least, .. } if least > series_max => {
                return Err(StorageError::too_many_series(self.series_max).into());
            }
            // Whether it is too many, only those see who see all.
            Matched { most, .. } if most > series_max => return Ok(None),
            _ => {}
        }
        let answers = gather(nodes, answers);
        // Only all parts together know the order that such sums depend on.
        let is_lost = answers.nodes.iter().any(|pushed| heeds_order(&pushed.pieces));
        Ok((!is_lost).then_some(answers))
    }

    /// Cuts the nodes' steps at all seams, on the CPU pool when that may take a while.
    async fn cuts(&self, seams: BTreeSet<i64>, nodes: &[NodeId]) -> Result<Cuts, QueryError> {
        let work = nodes.len().saturating_mul(self.expr.nodes.len()).saturating_mul(seams.len());
        let (expr, plan) = (Arc::clone(self.expr), Arc::clone(self.plan));
        let (config, nodes) = (Arc::clone(&self.engine.config), nodes.to_vec());
        let cut = move || runs::cut(&expr, &plan, &config, seams, &nodes);
        if work <= INLINE_CUT_WORK_MAX { cut() } else { on_pool(cut).await }
    }

    /// Has a run evaluated by an evaluator, or here when there is none that can.
    async fn ask(
        &self,
        evaluator: Option<&Arc<dyn Evaluator>>,
        raw: &Arc<dyn Queryable>,
        Run { tasks, plan }: &Run,
    ) -> Result<Answer, QueryError> {
        let start = Instant::now();
        let mut run = PushedRun { owner: PushedRun::HERE.to_owned(), ..PushedRun::default() };
        let (mut parts, mut selected) = (Vec::new(), Vec::new());
        if !tasks.is_empty() {
            let frames = match evaluator {
                Some(evaluator) => self.frames(evaluator.as_ref(), plan, tasks).await?,
                None => None,
            };
            let read = frames.map(|frames| self.read(&frames, tasks, plan, &mut run)).transpose()?.flatten();
            parts = match read {
                Some(parts) => {
                    run.owner = evaluator.map_or(String::new(), |evaluator| evaluator.name());
                    parts
                }
                None => vec![self.here(raw, plan, tasks).await?],
            };
            selected = plan.select_of.iter().map(|select| series_of(&parts, *select)).collect();
        }
        run.seconds = start.elapsed().as_secs_f64();
        run.take(tasks, &parts);
        Ok(Answer { tasks: tasks.clone(), parts, selected, run })
    }

    /// Asks an evaluator. `None` when somebody else has to do it.
    async fn frames(
        &self,
        evaluator: &dyn Evaluator,
        plan: &Plan,
        tasks: &[Task],
    ) -> Result<Option<Evaluated>, QueryError> {
        let fragment = Fragment { tasks: tasks.to_vec(), ..self.fragment.clone() };
        match evaluator.evaluate(fragment.encode(), needed(plan), &self.budget.memory).await {
            Ok(answer) => Ok(answer),
            Err(error) if is_final(&error) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    /// Reads an answer. `None` when it is none that can be used.
    fn read(
        &self,
        answer: &Evaluated,
        tasks: &[Task],
        plan: &Plan,
        run: &mut PushedRun,
    ) -> Result<Option<Vec<Part>>, QueryError> {
        run.bytes = answer.frames.iter().map(|frame| frame.len() as u64).sum();
        match decode(&answer.frames, self.expr, tasks, &self.budget.memory) {
            Ok(parts) => {
                Ok(parts.iter().all(|part| part.selected.len() == plan.selects.len()).then_some(parts))
            }
            Err(FrameError::Memory(error)) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    /// Evaluates tasks from raw samples.
    async fn here(
        &self,
        raw: &Arc<dyn Queryable>,
        plan: &Arc<Plan>,
        tasks: &[Task],
    ) -> Result<Part, QueryError> {
        let (expr, plan, budget) = (Arc::clone(self.expr), Arc::clone(plan), Arc::clone(self.budget));
        self.engine.evaluate_part(Arc::clone(raw), expr, plan, tasks.to_vec(), budget).await
    }
}

/// Returns the times of all samples that a plan reads.
pub(crate) fn needed(plan: &Plan) -> TimeRange {
    let ranges = plan.selects.iter().map(|select| select.range);
    let union = |a: TimeRange, b: TimeRange| TimeRange { start: a.start.min(b.start), end: a.end.max(b.end) };
    ranges.reduce(union).unwrap_or(TimeRange::new(0, -1))
}

/// Tells whether evaluation here would end in the same way, or must not be tried.
fn is_final(error: &StorageError) -> bool {
    MemoryError::caused(error)
        || matches!(
            error.kind,
            ErrorKind::LimitExceeded | ErrorKind::Conflict | ErrorKind::Cancelled | ErrorKind::Corrupt
        )
}

/// Returns what the selectors of each part matched.
fn selected_by(parts: &[Answer]) -> Vec<&[u64]> {
    parts.iter().map(|part| &*part.selected).collect()
}

/// Returns how many series parts had for a select of their plan; none for a node that is no selector.
fn series_of(parts: &[Part], select: usize) -> u64 {
    parts
        .iter()
        .filter_map(|part| part.selected.get(select))
        .fold(0, |sum, series| sum.saturating_add(*series))
}

/// Sorts the tables of all answers by node.
fn gather(nodes: &[NodeId], answers: Vec<Answer>) -> Answers {
    let pushed = |node: &NodeId| Pushed { node: *node, pieces: Vec::new() };
    let mut gathered = Answers {
        nodes: nodes.iter().map(pushed).collect(),
        parts: Vec::new(),
        report: PushReport::default(),
    };
    for Answer { tasks, parts, run, .. } in answers {
        if !tasks.is_empty() {
            gathered.report.runs.push(run);
        }
        for mut part in parts {
            for (task, table) in tasks.iter().zip(std::mem::take(&mut part.tables)) {
                let node = gathered.nodes.iter_mut().find(|pushed| pushed.node == task.node);
                let node = node.expect("tasks are of the nodes that were asked for");
                node.pieces.push(Piece { first: task.first, table });
            }
            gathered.parts.push(part);
        }
    }
    gathered
}
