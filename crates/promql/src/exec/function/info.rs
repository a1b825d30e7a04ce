//! `info()`: series with the data labels of the info series that tell about them.
//!
//! 1. The info series are read as times: of each, when the sample that a step sees was taken.
//! 2. Info series of one metric and equal identifying labels compete at each step; the newest sample wins.
//! 3. A base series meets one winner a metric. Where the winners change, the result goes on under other labels.
//!
//! Series that are info series themselves, by the conditions on the name, pass as they are.

use std::collections::{BTreeMap, HashMap, HashSet};

use model::labels::METRIC_NAME;
use model::{LabelSet, Matcher};
use storage::{Reservation, Series};

use super::super::vector::{Collisions, SeriesMeta, Vector, is_absent};
use super::super::{Context, Data, SERIES_BLOCK};
use crate::ast::NodeId;
use crate::error::QueryError;
use crate::plan::Grid;
use crate::plan::info::{IDENTIFYING, data_matchers, name_matchers};

/// At a step, the row of the info series that won.
type Winner = Option<u32>;

/// What base series are joined with.
struct Join<'a> {
    infos: &'a Vector,
    /// By identifying labels: for each metric, in order of names, the winner at each step.
    winners: HashMap<LabelSet, Vec<Vec<Winner>>>,
    data: Vec<&'a Matcher>,
    steps: usize,
}

impl Context<'_> {
    pub(in super::super) fn info_call(
        &self,
        id: NodeId,
        args: &[NodeId],
        grid: Grid,
        results: &mut [Option<Data>],
    ) -> Result<Vector, QueryError> {
        let base = self.take_vector(args[0], grid, results);
        let names = name_matchers(self.expr, args);
        let is_info = |labels: &LabelSet| names.iter().all(|matcher| matcher.matches(labels.metric_name()));
        let enriched: Vec<bool> = base.series.iter().map(|series| !is_info(&series.labels)).collect();
        let infos = self.info_times(id, grid, &base, &enriched)?;
        let asked = data_matchers(self.expr, args).iter();
        let join = Join {
            infos: &infos,
            winners: winners(&infos, &base)?,
            data: asked.filter(|matcher| *matcher.name != *METRIC_NAME).collect(),
            steps: grid.steps,
        };
        let parts = self.blocks(base.series.len(), SERIES_BLOCK, |block| {
            let (mut part, mut kept) = (Vector::new(grid.steps), self.block_memory());
            for row in block {
                self.budget.check()?;
                if enriched[row] {
                    join.row(&base, row, &mut part, &mut kept)?;
                } else {
                    kept.make_room(&mut part.values, grid.steps)?;
                    part.push_cells(base.series[row].clone(), &base, row, |_| true);
                }
            }
            self.keep_block(kept);
            Ok(part)
        })?;
        self.charge(parts.iter().map(|part| part.values.len()).sum::<usize>() * size_of::<f64>())?;
        let mut vector = Vector::new(grid.steps);
        parts.into_iter().for_each(|part| vector.extend(part));
        vector.join_equal(Collisions::Merge)?;
        Ok(vector)
    }

    /// Returns the times, in seconds, of the samples of all info series that may meet a base series.
    fn info_times(
        &self,
        id: NodeId,
        grid: Grid,
        base: &Vector,
        enriched: &[bool],
    ) -> Result<Vector, QueryError> {
        let wanted = IDENTIFYING.map(|name| {
            let rows = base.series.iter().zip(enriched).filter(|(_, enriched)| **enriched);
            let values = rows.map(|(series, _)| series.labels.get(name));
            values.filter(|value| !value.is_empty()).collect::<HashSet<&str>>()
        });
        if wanted.iter().all(HashSet::is_empty) {
            return Ok(Vector::new(grid.steps));
        }
        let may_meet = |series: &&Series| {
            let mut conditions = IDENTIFYING.iter().zip(&wanted);
            conditions.all(|(name, values)| values.is_empty() || values.contains(series.labels.get(name)))
        };
        let series: Vec<&Series> = self.set_of(id).series.iter().filter(may_meet).collect();
        self.rows(
            series.len(),
            grid.steps,
            |index| SeriesMeta::new(series[index].labels.clone()),
            |index, buffer, row| self.info_row(id, series[index], buffer, row),
        )
    }
}

/// Decides, where there is a base series at all, which info series counts.
fn winners(infos: &Vector, base: &Vector) -> Result<HashMap<LabelSet, Vec<Vec<Winner>>>, QueryError> {
    let mut matters = vec![false; infos.steps];
    for row in 0..base.series.len() {
        matters.iter_mut().enumerate().for_each(|(step, matters)| *matters |= base.has(row, step));
    }
    let mut by_metric: HashMap<LabelSet, BTreeMap<&str, Vec<Winner>>> = HashMap::new();
    for (row, series) in infos.series.iter().enumerate() {
        let metrics = by_metric.entry(series.labels.only(&IDENTIFYING)).or_default();
        let winners = metrics.entry(series.labels.metric_name()).or_insert_with(|| vec![None; infos.steps]);
        let times = infos.row(row);
        for step in (0..infos.steps).filter(|step| matters[*step] && !is_absent(times[*step])) {
            let time = times[step];
            match winners[step].map(|winner| (winner, infos.row(winner as usize)[step])) {
                Some((_, known)) if known > time => {}
                Some((winner, known)) if known == time => {
                    return Err(duplicate(&infos.series[winner as usize].labels, &series.labels, time));
                }
                _ => winners[step] = Some(row as u32),
            }
        }
    }
    Ok(by_metric.into_iter().map(|(key, metrics)| (key, metrics.into_values().collect())).collect())
}

fn duplicate(existing: &LabelSet, new: &LabelSet, time: f64) -> QueryError {
    let time_ms = (time * 1000.0).round() as i64;
    QueryError::Execution(format!(
        "found duplicate series for info metric: existing {existing} @ {time_ms}, new {new} @ {time_ms}"
    ))
}

impl Join<'_> {
    /// Appends the rows that a base series becomes, one for each set of winners that it meets, after their bytes are
    /// reserved in `kept`.
    fn row(
        &self,
        base: &Vector,
        row: usize,
        out: &mut Vector,
        kept: &mut Reservation,
    ) -> Result<(), QueryError> {
        let series = &base.series[row];
        let metrics = self.winners.get(&series.labels.only(&IDENTIFYING)).map_or(&[][..], Vec::as_slice);
        let mut met: HashMap<Vec<u32>, usize> = HashMap::new();
        let mut of_step: Vec<Option<usize>> = vec![None; self.steps];
        for step in (0..self.steps).filter(|step| base.has(row, *step)) {
            let key: Vec<u32> = metrics.iter().filter_map(|winners| winners[step]).collect();
            let next = met.len();
            of_step[step] = Some(*met.entry(key).or_insert(next));
        }
        let mut met: Vec<(Vec<u32>, usize)> = met.into_iter().collect();
        met.sort_unstable_by_key(|(_, index)| *index);
        for (winners, index) in met {
            if winners.is_empty() && !self.data.iter().all(|matcher| matcher.matches_empty()) {
                continue;
            }
            let labels = self.labels(&series.labels, &winners)?;
            let meta = SeriesMeta { labels, ..series.clone() };
            kept.make_room(&mut out.values, self.steps)?;
            out.push_cells(meta, base, row, |step| of_step[step] == Some(index));
        }
        Ok(())
    }

    /// Adds the data labels of info series to labels.
    fn labels(&self, base: &LabelSet, winners: &[u32]) -> Result<LabelSet, QueryError> {
        let mut added: BTreeMap<&str, &str> = BTreeMap::new();
        for winner in winners {
            for (name, value) in &self.infos.series[*winner as usize].labels {
                let asked = self.data.is_empty() || self.data.iter().any(|matcher| *matcher.name == *name);
                if name == METRIC_NAME || !asked || !base.get(name).is_empty() {
                    continue;
                }
                if *added.entry(name).or_insert(value) != value {
                    return Err(QueryError::Execution(format!("conflicting label: {name}")));
                }
            }
        }
        if added.is_empty() {
            return Ok(base.clone());
        }
        let mut builder = base.to_builder();
        added.into_iter().for_each(|(name, value)| {
            builder.set(name, value);
        });
        Ok(builder.build())
    }
}
