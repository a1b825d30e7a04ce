//! Where buckets begin and end.
//!
//! The positive bucket of index `i` holds the values above `bound(i - 1)` up to and including `bound(i)`; the negative
//! bucket of index `i` is its mirror image. Exponential bounds are put together from a fraction out of a table and an
//! exponent, so that they are the very numbers that instrumentation libraries put observations into buckets by.

use super::bounds_table::FRACTIONS;
use super::{CUSTOM_BUCKETS_SCHEMA, EXPONENTIAL_SCHEMA_MAX, FloatHistogram};

/// The exponent of the first power of two that floats no longer hold.
const EXPONENT_OVERFLOW: i64 = 1024;
/// Exponents beyond this, in either direction, are infinity or zero: it bounds what is computed with.
const EXPONENT_FAR: i64 = 5000;

impl FloatHistogram {
    /// Returns the upper bound of the positive bucket of an index; infinite where no bucket can be.
    pub(super) fn bound(&self, index: i64) -> f64 {
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            custom(index, &self.custom_bounds)
        } else {
            exponential(index, self.schema)
        }
    }
}

fn custom(index: i64, bounds: &[f64]) -> f64 {
    let Ok(index) = usize::try_from(index) else { return f64::NEG_INFINITY };
    bounds.get(index).copied().unwrap_or(f64::INFINITY)
}

/// Returns 2^(index * 2^-schema).
///
/// The last bucket of finite values ends at the largest float: infinite values have a bucket of their own behind it.
pub(super) fn exponential(index: i64, schema: i32) -> f64 {
    let (fraction, exponent) = if schema < 0 {
        let shift = schema.unsigned_abs().min(u32::BITS - 1);
        (0.5, (index.clamp(-EXPONENT_FAR, EXPONENT_FAR) << shift) + 1)
    } else {
        let schema = schema.min(EXPONENTIAL_SCHEMA_MAX);
        let position = index & ((1 << schema) - 1);
        (FRACTIONS[(position << (EXPONENTIAL_SCHEMA_MAX - schema)) as usize], (index >> schema) + 1)
    };
    if fraction == 0.5 && exponent == EXPONENT_OVERFLOW + 1 {
        return f64::MAX;
    }
    times_power_of_two(fraction, exponent)
}

/// Returns `fraction` * 2^`exponent` for a fraction from one half to one, rounded once.
fn times_power_of_two(fraction: f64, exponent: i64) -> f64 {
    let exponent = exponent.clamp(-EXPONENT_FAR, EXPONENT_FAR) as i32;
    // Two steps, because 2^exponent itself may lie outside of what floats hold: the first is exact.
    let near = exponent.clamp(-1000, 1000);
    let far = (exponent - near).clamp(-1000, 1000);
    fraction * power_of_two(near) * power_of_two(far)
}

fn power_of_two(exponent: i32) -> f64 {
    /// The exponent field of 1.0.
    const BIAS: i32 = 1023;
    assert!((-1022..=1023).contains(&exponent), "the power is a normal float");
    f64::from_bits(((exponent + BIAS) as u64) << (f64::MANTISSA_DIGITS - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_powers() {
        for (index, schema, expected) in [
            (0, 0, 1.0),
            (1, 0, 2.0),
            (-1, 0, 0.5),
            (3, 1, 2.0 * std::f64::consts::SQRT_2),
            (1, -1, 4.0),
            (2, -4, 2f64.powi(32)),
            (-1, -4, 2f64.powi(-16)),
            (256, 8, 2.0),
            (-256, 8, 0.5),
            (1024, 0, f64::MAX),
            (1025, 0, f64::INFINITY),
            (64, -4, f64::MAX),
            (65, -4, f64::INFINITY),
            (1 << 18, 8, f64::MAX),
            (-1074, 0, f64::from_bits(1)),
            (-1076, 0, 0.0),
        ] {
            let found = exponential(index, schema);
            assert!((found / expected - 1.0).abs() < 1e-15 || found == expected, "{index} {schema}: {found}");
        }
    }

    #[test]
    fn bounds_ascend_in_every_schema() {
        for schema in -4..=8 {
            for index in -600..600 {
                assert!(exponential(index - 1, schema) <= exponential(index, schema), "{index} {schema}");
            }
        }
    }

    #[test]
    fn far_indexes_have_a_bound() {
        for schema in [-4, 0, 8] {
            assert_eq!(exponential(i64::from(i32::MIN), schema), 0.0);
            assert_eq!(exponential(i64::from(i32::MAX), schema), f64::INFINITY);
        }
    }
}
