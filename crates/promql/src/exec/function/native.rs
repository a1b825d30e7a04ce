//! Functions that read one number off each native histogram.

use model::FloatHistogram;

use super::{Context, Data, Vector};
use crate::ast::NodeId;
use crate::error::QueryError;
use crate::exec::histogram::native;
use crate::exec::vector::{ABSENT, Collisions};
use crate::function::FunctionKind as K;
use crate::plan::Grid;

impl Context<'_> {
    /// Evaluates such a function; floats are passed over.
    pub(super) fn histogram_call(
        &self,
        kind: K,
        arg: NodeId,
        grid: Grid,
        results: &mut [Option<Data>],
    ) -> Result<Vector, QueryError> {
        let input = self.take_vector(arg, grid, results);
        let read: fn(&FloatHistogram) -> f64 = match kind {
            K::HistogramCount => |histogram| histogram.count,
            K::HistogramSum => |histogram| histogram.sum,
            K::HistogramStddev => native::deviation,
            K::HistogramStdvar => native::variance,
            _ => |histogram| histogram.sum / histogram.count,
        };
        let mut vector = Vector::new(input.steps);
        for (index, series) in input.series.iter().enumerate() {
            let Some(cells) = input.cells(index) else { continue };
            let values = cells.iter().map(|cell| cell.as_deref().map_or(ABSENT, read));
            vector.push(series.clone(), &values.collect::<Vec<f64>>());
        }
        self.drop_names(&mut vector, Collisions::Merge)?;
        Ok(vector)
    }
}
