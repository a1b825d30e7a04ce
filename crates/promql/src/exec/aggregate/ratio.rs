//! `limit_ratio`: a share of the series, chosen by their labels alone.
//!
//! A series lies at a fixed place in `0..1`, its hash over 2^64; a ratio r keeps the places below r, and -r the places
//! from 1 - r on. So r and r - 1 are complements, and a series that is kept stays kept as the ratio grows.

use super::super::Context;
use super::super::vector::Vector;
use crate::ast::Span;
use crate::error::QueryError;
use model::float::format_general;

/// Returns the place of a hash in `0..=1`.
fn place(hash: u64) -> f64 {
    hash as f64 / u64::MAX as f64
}

/// Tells whether a ratio of -1 to 1 keeps a place.
fn keeps(ratio: f64, place: f64) -> bool {
    if ratio < 0.0 { place >= 1.0 + ratio } else { place < ratio }
}

impl Context<'_> {
    pub(super) fn limit_ratio(
        &self,
        ratios: &[f64],
        span: Span,
        mut input: Vector,
    ) -> Result<Vector, QueryError> {
        if ratios.iter().any(|ratio| ratio.is_nan()) {
            return Err(QueryError::Execution("Ratio value is NaN".to_owned()));
        }
        let most = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        for (value, bound) in [(most, 1.0), (least, -1.0)] {
            if value * bound > 1.0 {
                let value = format_general(value);
                let text = format!("ratio value should be between -1 and 1, got {value}, capping to {bound}");
                self.warn(span, text);
            }
        }
        let places: Vec<f64> =
            input.series.iter().map(|series| place(series.labels.sampling_hash())).collect();
        input.retain_cells(|row, step| keeps(ratios[step].clamp(-1.0, 1.0), places[row]));
        Ok(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_and_their_complements_share_the_places() {
        for place in [0.0, 0.2, 0.5, 0.999] {
            for ratio in [0.1, 0.2, 0.5, 0.9] {
                assert_ne!(keeps(ratio, place), keeps(ratio - 1.0, place), "{ratio} at {place}");
            }
            assert!(keeps(1.0, place) && keeps(-1.0, place) && !keeps(0.0, place));
        }
    }
}
