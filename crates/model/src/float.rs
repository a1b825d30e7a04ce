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
    fn reads_special_values_in_any_case() {
        assert_eq!(parse("+Inf"), Some(f64::INFINITY));
        assert_eq!(parse("-inf"), Some(f64::NEG_INFINITY));
        assert_eq!(parse("nan").map(f64::to_bits), Some(crate::sample::NORMAL_NAN_BITS));
        assert_eq!(parse("1e3"), Some(1000.0));
        assert_eq!(parse("0x10"), None);
        assert_eq!(parse(""), None);
    }
}
