//! Floats as text, the way Go prints and reads them.

/// Prints like Go's `strconv.FormatFloat(v, 'f', -1, 64)`: shortest digits, no exponent, `NaN`, `+Inf`, `-Inf`.
pub fn format_plain(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        format!("{value}")
    }
}

/// The exponent from which on [`format_general`] shows one.
const GENERAL_EXPONENT_MIN: i32 = 6;

/// Prints like Go's `%g` and `%v`: shortest digits, with an exponent for values below 1e-4 and from 1e6 on.
pub fn format_general(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format_plain(value);
    }
    let text = format!("{value:e}");
    let (digits, exponent) = split_exponent(&text);
    if (-4..GENERAL_EXPONENT_MIN).contains(&exponent) {
        return format_plain(value);
    }
    with_exponent(digits, exponent)
}

/// Prints like Go's `%.<digits>g`: so many significant digits, trailing zeros left out, with an exponent when there are more
/// digits before the point than are shown.
pub fn format_general_digits(value: f64, digits: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return format_plain(value);
    }
    let text = format!("{value:.*e}", digits.saturating_sub(1));
    let (shown, exponent) = split_exponent(&text);
    let shown = if shown.contains('.') { shown.trim_end_matches('0').trim_end_matches('.') } else { shown };
    if (-4..digits as i32).contains(&exponent) {
        let rounded: f64 = text.parse().expect("it was printed from a float");
        return format_plain(rounded);
    }
    with_exponent(shown, exponent)
}

/// Prints as OpenMetrics wants bounds and quantiles: like [`format_general`], with a `.0` behind whole numbers.
pub fn format_open_metrics(value: f64) -> String {
    let mut text = format_general(value);
    if value.is_finite() && !text.contains(['.', 'e']) {
        text.push_str(".0");
    }
    text
}

fn split_exponent(text: &str) -> (&str, i32) {
    let (digits, exponent) = text.split_once('e').expect("the format has an exponent");
    (digits, exponent.parse().expect("the exponent is a number"))
}

fn with_exponent(digits: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// Parses a sample value as the exposition formats allow: decimal, exponent, `NaN`, `Inf` and `Infinity` in any case with a sign.
///
/// A parsed NaN has [`crate::sample::NORMAL_NAN_BITS`].
pub fn parse(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    Some(if value.is_nan() { f64::from_bits(crate::sample::NORMAL_NAN_BITS) } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_like_go() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (1.5, "1.5"),
            (1e21, "1000000000000000000000"),
            (1e-7, "0.0000001"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
            (0.1 + 0.2, "0.30000000000000004"),
        ];
        for (value, text) in cases {
            assert_eq!(format_plain(value), text);
        }
    }

    #[test]
    fn prints_exponents_like_go() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (999_999.5, "999999.5"),
            (1e6, "1e+06"),
            (-1_234_567.0, "-1.234567e+06"),
            (0.0001, "0.0001"),
            (0.000_012_5, "1.25e-05"),
            (1e100, "1e+100"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(format_general(value), text);
        }
    }

    #[test]
    fn prints_so_many_digits_like_go() {
        for (value, text) in [
            (10.0, "10"),
            (7.5, "7.5"),
            (7.449, "7.4"),
            (99.6, "1e+02"),
            (123.0, "1.2e+02"),
            (0.000_012, "1.2e-05"),
            (0.012_34, "0.012"),
            (0.0, "0"),
        ] {
            assert_eq!(format_general_digits(value, 2), text);
        }
    }

    #[test]
    fn prints_quantiles_like_open_metrics() {
        for (value, text) in [
            (0.0, "0.0"),
            (1.0, "1.0"),
            (0.25, "0.25"),
            (1e6, "1e+06"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(format_open_metrics(value), text);
        }
    }

    #[test]
    fn reads_special_values_in_any_case() {
        assert_eq!(parse("+Inf"), Some(f64::INFINITY));
        assert_eq!(parse("-inf"), Some(f64::NEG_INFINITY));
        assert_eq!(parse("nan").map(f64::to_bits), Some(crate::sample::NORMAL_NAN_BITS));
        assert_eq!(parse("1e3"), Some(1000.0));
        assert_eq!(parse("0x10"), None);
        assert_eq!(parse(""), None);
    }
}
