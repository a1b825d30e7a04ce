//! Decimals as integers: `value = integer / 10^exponent`, only where that gives back every bit.

/// The largest exponent tried: a double has about 15 decimal digits.
pub(crate) const EXPONENT_MAX: u8 = 14;

const POWERS: [f64; EXPONENT_MAX as usize + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14];

/// One value in so many may be an exception; more, and the exponent does not suit the chunk.
const SAMPLES_PER_EXCEPTION: usize = 16;
/// What an exception costs: its position and its raw bits.
const EXCEPTION_BITS: f64 = 72.0;
/// What one more decimal digit costs a sample.
const DIGIT_BITS: f64 = std::f64::consts::LOG2_10;

/// From here on a double has no fraction, and adding a half would round it.
const INTEGERS_FROM: f64 = 4_503_599_627_370_496.0;
/// Scaled values below this fit into 64 bits with sign.
const SCALED_MAX: f64 = 9.2e18;

/// Returns the integer of a value at an exponent, or `None` when the value would not come back bit for bit.
pub(crate) fn scale(value: f64, exponent: u8) -> Option<i64> {
    let power = POWERS[usize::from(exponent)];
    let scaled = value * power;
    let size = scaled.abs();
    let integer = if size < INTEGERS_FROM {
        (scaled + 0.5f64.copysign(scaled)) as i64
    } else if size < SCALED_MAX {
        scaled as i64
    } else {
        // Too large, infinite or not a number.
        return None;
    };
    (((integer as f64) / power).to_bits() == value.to_bits()).then_some(integer)
}

/// Returns the integer of a value at the smallest exponent that gives it back, if there is one.
pub(crate) fn scale_any(value: f64) -> Option<i64> {
    (0..=EXPONENT_MAX).find_map(|exponent| scale(value, exponent))
}

/// Appends the values of integers.
pub(crate) fn unscale(integers: &[i64], exponent: u8, values: &mut Vec<f64>) {
    let power = POWERS[usize::from(exponent)];
    values.extend(integers.iter().map(|integer| *integer as f64 / power));
}

/// Returns the exponent that costs least, among those with few exceptions; `None` when there is none.
///
/// The smallest exponent wins unless a larger one saves exceptions worth more than its digits.
pub(crate) fn choose_exponent(values: &[f64]) -> Option<u8> {
    let exceptions_max = (values.len() / SAMPLES_PER_EXCEPTION).max(1);
    let mut best: Option<(f64, u8)> = None;
    for exponent in 0..=EXPONENT_MAX {
        let Some((exceptions, finite)) = count_exceptions(values, exponent, exceptions_max) else { continue };
        let cost =
            exceptions as f64 * EXCEPTION_BITS + f64::from(exponent) * DIGIT_BITS * values.len() as f64;
        if best.is_none_or(|(least, _)| cost < least) {
            best = Some((cost, exponent));
        }
        // Larger exponents cannot save an exception that is not finite.
        if finite == 0 {
            break;
        }
    }
    best.map(|(_, exponent)| exponent)
}

/// Returns how many values are exceptions at an exponent, and how many of those are finite; `None` above `max`.
fn count_exceptions(values: &[f64], exponent: u8, max: usize) -> Option<(usize, usize)> {
    let (mut exceptions, mut finite) = (0, 0);
    for value in values {
        if scale(*value, exponent).is_none() {
            exceptions += 1;
            finite += usize::from(value.is_finite());
            if exceptions > max {
                return None;
            }
        }
    }
    Some((exceptions, finite))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_only_what_comes_back() {
        let cases = [
            (1.0, 0, Some(1)),
            (0.1, 0, None),
            (0.1, 1, Some(1)),
            (-2.25, 2, Some(-225)),
            (0.0, 0, Some(0)),
            (-0.0, 0, None),
            (9_007_199_254_740_993.0, 0, Some(9_007_199_254_740_992)),
            (4_503_599_627_370_497.0, 0, Some(4_503_599_627_370_497)),
            (1e19, 0, None),
            (f64::NAN, 0, None),
            (f64::INFINITY, 3, None),
        ];
        for (value, exponent, integer) in cases {
            assert_eq!(scale(value, exponent), integer, "{value} at {exponent}");
        }
    }

    #[test]
    fn chooses_the_cheapest_exponent() {
        let halves: Vec<f64> = (0..160).map(|i| if i % 40 == 39 { 0.5 } else { f64::from(i) }).collect();
        assert_eq!(choose_exponent(&halves), Some(0), "four exceptions are cheaper than a digit everywhere");
        let quarters: Vec<f64> = (0..100).map(|i| f64::from(i) / 4.0).collect();
        assert_eq!(choose_exponent(&quarters), Some(2));
        let thirds: Vec<f64> = (1..100).map(|i| f64::from(i).sqrt()).collect();
        assert_eq!(choose_exponent(&thirds), None);
    }
}
