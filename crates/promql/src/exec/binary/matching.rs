//! Arithmetic and comparisons between vectors: which series meet, and what their results are called.
//!
//! Both sides' match groups become dense ids once, from labels. A group is then computed row against row; the checks
//! that only one series of a side is there at a time look at steps, but only where a group has several series.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::OnceLock;

use model::LabelSet;
use model::labels::METRIC_NAME;
use storage::Reservation;

use super::super::Context;
use super::super::label_ids::LabelIds;
use super::super::vector::{
    ABSENT, Cell, Collisions, NAME_LABELS, Row, SeriesMeta, Vector, cells_bytes, is_absent, is_present,
    labels_text,
};
use super::element;
use super::histogram::{Operand, Operator};
use super::set::presence;
use crate::ast::{Binary, Cardinality, Matching, Span};
use crate::error::QueryError;

/// How many match groups a worker takes at a time.
const GROUPS_BLOCK: usize = 64;

/// The rows of both sides that share a match group.
#[derive(Debug, Default)]
pub(super) struct MatchGroup {
    pub(super) labels: LabelSet,
    pub(super) left: Vec<u32>,
    pub(super) right: Vec<u32>,
}

/// Sorts the rows of both sides into match groups, in order of first appearance on the left.
pub(super) fn match_groups(matching: &Matching, left: &Vector, right: &Vector) -> Vec<MatchGroup> {
    let mut ids = LabelIds::default();
    let mut groups: Vec<MatchGroup> = Vec::new();
    let is_signature = |name: &str| {
        let is_listed = matching.labels.iter().any(|label| label == name);
        if matching.on { is_listed } else { name != METRIC_NAME && !is_listed }
    };
    for (is_left, side) in [(true, left), (false, right)] {
        for (row, series) in side.series.iter().enumerate() {
            let id = ids.project(&series.labels, is_signature);
            groups.resize_with(ids.len(), MatchGroup::default);
            let group = &mut groups[id as usize];
            if is_left { group.left.push(row as u32) } else { group.right.push(row as u32) }
        }
    }
    groups.iter_mut().zip(ids.into_sets()).for_each(|(group, labels)| group.labels = labels);
    groups
}

/// One match group being computed: `many` are the rows of the side that may repeat.
struct Matcher<'a> {
    context: &'a Context<'a>,
    binary: &'a Binary,
    operator: &'a Operator<'a>,
    many: &'a Vector,
    one: &'a Vector,
    /// The right side is the many side.
    swapped: bool,
    delayed: bool,
    /// At which steps the many side has anything at all; computed when it matters.
    many_present: OnceLock<Vec<bool>>,
}

/// The rows that stand for missing samples of either side.
struct StandIns {
    many: Option<Vec<f64>>,
    one: Option<Vec<f64>>,
}

/// A row of one side of a match group; what `fill` puts in is not real.
struct SideRow<'a> {
    labels: &'a LabelSet,
    values: &'a [f64],
    cells: Option<&'a [Cell]>,
    drop_name: bool,
    is_real: bool,
}

impl SideRow<'_> {
    fn is_present(&self, step: usize) -> bool {
        is_present(self.values[step], self.cells, step)
    }
}

fn rows_of<'a>(
    side: &'a Vector,
    rows: &[u32],
    group: &'a MatchGroup,
    stand_in: Option<&'a [f64]>,
) -> Vec<SideRow<'a>> {
    let real = rows.iter().map(|row| {
        let meta = &side.series[*row as usize];
        let values = side.row(*row as usize);
        let cells = side.cells(*row as usize);
        SideRow { labels: &meta.labels, values, cells, drop_name: meta.drop_name, is_real: true }
    });
    let labels = &group.labels;
    let stand_in =
        stand_in.map(|values| SideRow { labels, values, cells: None, drop_name: false, is_real: false });
    real.chain(stand_in).collect()
}

impl Context<'_> {
    pub(super) fn matched(
        &self,
        binary: &Binary,
        span: Span,
        left: Vector,
        right: Vector,
    ) -> Result<Vector, QueryError> {
        let groups = match_groups(&binary.matching, &left, &right);
        let swapped = binary.matching.cardinality == Cardinality::OneToMany;
        let (many, one) = if swapped { (&right, &left) } else { (&left, &right) };
        let delayed = self.config.delayed_name_removal;
        let operator = Operator::new(binary);
        let many_present = OnceLock::new();
        let matcher =
            Matcher { context: self, binary, operator: &operator, many, one, swapped, delayed, many_present };
        let parts = self.blocks(groups.len(), GROUPS_BLOCK, |block| {
            let (mut part, mut kept) = (Vector::new(left.steps), self.block_memory());
            for group in &groups[block] {
                matcher.group(group, &mut part, &mut kept)?;
            }
            self.keep_block(kept);
            Ok(part)
        })?;
        self.charge(parts.iter().map(|part| part.values.len()).sum::<usize>() * size_of::<f64>())?;
        let mut vector = Vector::new(left.steps);
        for part in parts {
            vector.extend(part);
        }
        self.notes(span, operator.into_notes(), "");
        vector.join_equal(Collisions::Merge)?;
        Ok(vector)
    }
}

impl Matcher<'_> {
    /// Appends the rows of a match group, after their bytes are reserved in `kept`: a row that meets several rows of the one
    /// side, each at other steps, becomes as many rows.
    fn group(&self, group: &MatchGroup, out: &mut Vector, kept: &mut Reservation) -> Result<(), QueryError> {
        let (many, one) =
            if self.swapped { (&group.right, &group.left) } else { (&group.left, &group.right) };
        // Also without a partner: the one side must be unique all the same.
        self.check_one_side(group, one)?;
        let stand_ins = self.stand_ins(many, one);
        if many.is_empty() && stand_ins.many.is_none() || one.is_empty() && stand_ins.one.is_none() {
            return Ok(());
        }
        let many_rows = rows_of(self.many, many, group, stand_ins.many.as_deref());
        let one_rows = rows_of(self.one, one, group, stand_ins.one.as_deref());
        let steps = self.many.steps;
        let mut taken = vec![false; if many.len() > 1 { steps } else { 0 }];
        let mut taken_by_labels: HashMap<LabelSet, Vec<bool>> = HashMap::new();
        let mut row = Row::new(steps);
        for many_row in &many_rows {
            for one_row in one_rows.iter().filter(|one_row| many_row.is_real || one_row.is_real) {
                self.context.budget.check()?;
                let labels = self.result_labels(many_row.labels, one_row.labels);
                if many.len() > 1 {
                    let taken = match self.binary.matching.cardinality {
                        Cardinality::OneToOne => &mut taken,
                        _ => match taken_by_labels.entry(labels.clone()) {
                            Entry::Occupied(known) => known.into_mut(),
                            Entry::Vacant(new) => {
                                kept.grow(steps as u64)?;
                                new.insert(vec![false; steps])
                            }
                        },
                    };
                    self.take_steps(many_row, one_row, taken)?;
                }
                self.compute(many_row, one_row, &mut row);
                if row.is_empty() {
                    continue;
                }
                kept.make_room(&mut out.values, steps)?;
                kept.grow(cells_bytes(&row.cells))?;
                let drops = self.delayed && (self.binary.op.drops_name() || self.binary.return_bool);
                let meta = SeriesMeta { labels, drop_name: drops || many_row.drop_name };
                out.push_with(meta, &row.values, row.cells.take());
            }
        }
        Ok(())
    }

    fn compute(&self, many: &SideRow<'_>, one: &SideRow<'_>, row: &mut Row) {
        if many.cells.is_some() || one.cells.is_some() || self.binary.op.is_trim() {
            return self.compute_mixed(many, one, row);
        }
        for ((cell, many), one) in row.values.iter_mut().zip(many.values).zip(one.values) {
            *cell = if is_absent(*many) || is_absent(*one) {
                ABSENT
            } else {
                let (left, right) = if self.swapped { (*one, *many) } else { (*many, *one) };
                element(self.binary, left, right, left)
            };
        }
    }

    /// The same where either row has histograms.
    fn compute_mixed(&self, many: &SideRow<'_>, one: &SideRow<'_>, row: &mut Row) {
        row.clear();
        let (left, right) = if self.swapped { (one, many) } else { (many, one) };
        for step in 0..row.values.len() {
            let left = Operand::of(left.values[step], left.cells, step);
            let right = Operand::of(right.values[step], right.cells, step);
            if let (Some(left), Some(right)) = (left, right) {
                self.operator.compute(left, right, step, row);
            }
        }
    }

    /// Returns what `fill` puts where one side is missing and the other is not.
    fn stand_ins(&self, many: &[u32], one: &[u32]) -> StandIns {
        let matching = &self.binary.matching;
        // With `group_right` the sides are the other way round and their stand-ins are not, as in Prometheus.
        let (many_fill, one_fill) = (matching.fill_left, matching.fill_right);
        let fill = |value: Option<f64>, side: &Vector, rows: &[u32]| {
            value.map(|value| {
                presence(side, rows).into_iter().map(|present| if present { ABSENT } else { value }).collect()
            })
        };
        StandIns { many: fill(many_fill, self.many, many), one: fill(one_fill, self.one, one) }
    }

    /// Tells whether matching takes place at a step: not where one side has no series at all.
    fn takes_place(&self, step: usize) -> bool {
        let matching = &self.binary.matching;
        let rows = || (0..self.many.series.len() as u32).collect::<Vec<_>>();
        matching.fill_left.is_some()
            || matching.fill_right.is_some()
            || self.many_present.get_or_init(|| presence(self.many, &rows()))[step]
    }

    /// Fails when two series of the side that must be unique are there at one step.
    fn check_one_side(&self, group: &MatchGroup, one: &[u32]) -> Result<(), QueryError> {
        if one.len() < 2 {
            return Ok(());
        }
        for step in 0..self.one.steps {
            let mut present = one.iter().filter(|row| self.one.has(**row as usize, step));
            let pair = (present.next(), present.next());
            if let (Some(first), Some(second)) = pair
                && self.takes_place(step)
            {
                let mut texts =
                    [first, second].map(|row| labels_text(&self.one.series[*row as usize].labels));
                texts.sort();
                let side = if self.swapped { "left" } else { "right" };
                return Err(QueryError::Execution(format!(
                    "found duplicate series for the match group {} on the {side} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
                    labels_text(&group.labels),
                    texts[0],
                    texts[1],
                )));
            }
        }
        Ok(())
    }

    /// Marks the steps at which two rows meet; fails when one is marked already.
    fn take_steps(
        &self,
        many: &SideRow<'_>,
        one: &SideRow<'_>,
        taken: &mut [bool],
    ) -> Result<(), QueryError> {
        for (step, taken) in taken.iter_mut().enumerate() {
            if !many.is_present(step) || !one.is_present(step) {
                continue;
            }
            if *taken {
                let message = match self.binary.matching.cardinality {
                    Cardinality::OneToOne => {
                        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                    }
                    _ => "multiple matches for labels: grouping labels must ensure unique matches",
                };
                return Err(QueryError::Execution(message.to_owned()));
            }
            *taken = true;
        }
        Ok(())
    }

    fn result_labels(&self, many: &LabelSet, one: &LabelSet) -> LabelSet {
        let matching = &self.binary.matching;
        let drops = !self.delayed && (self.binary.op.drops_name() || self.binary.return_bool);
        let one_to_one = matching.cardinality == Cardinality::OneToOne;
        let kept = many.filtered(|name| {
            let listed = matching.labels.iter().any(|label| label == name);
            !(drops && NAME_LABELS.contains(&name)) && (!one_to_one || matching.on == listed)
        });
        if matching.include.is_empty() {
            return kept;
        }
        let mut builder = kept.to_builder();
        for name in &matching.include {
            builder.set(name, one.get(name));
        }
        builder.build()
    }
}
