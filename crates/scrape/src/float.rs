//! Numbers of the exposition formats, read and printed as Go does.

use model::sample::NORMAL_NAN_BITS;

use crate::quote::quote;

/// Reads a value: decimal with exponent, `NaN`, `Inf` and `Infinity` in any case. A NaN gets the one bit pattern of results.
pub(crate) fn parse(text: &[u8]) -> Result<f64, String> {
    if text.iter().any(|b| matches!(b, b'p' | b'P' | b'_')) {
        return Err("unsupported character in float".to_owned());
    }
    let invalid = || format!("strconv.ParseFloat: parsing {}: invalid syntax", quote(text));
    let value: f64 = fast_float2::parse(text).map_err(|_| invalid())?;
    if value.is_finite() {
        return Ok(value);
    }
    let letters = text.iter().any(u8::is_ascii_alphabetic) && text.iter().all(|b| !b.is_ascii_digit());
    if value.is_nan() {
        // Go refuses a signed NaN.
        return if text.len() == 3 { Ok(f64::from_bits(NORMAL_NAN_BITS)) } else { Err(invalid()) };
    }
    if letters {
        Ok(value)
    } else {
        Err(format!("strconv.ParseFloat: parsing {}: value out of range", quote(text)))
    }
}

/// Reads a timestamp in whole milliseconds.
pub(crate) fn parse_millis(text: &[u8]) -> Result<i64, String> {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| format!("strconv.ParseInt: parsing {}: value out of range", quote(text)))
}

/// Prints a bucket's or quantile's bound as OpenMetrics does: shortest digits, always with a point or an exponent.
pub(crate) fn format_bound(value: f64) -> String {
    if !value.is_finite() {
        return model::float::format_plain(value);
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').expect("Rust prints an exponent");
    let exponent: i32 = exponent.parse().expect("Rust prints a number");
    // Go's %g with the shortest digits: an exponent below -4 and from 6 on.
    if (-4..6).contains(&exponent) {
        let plain = format!("{value}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        let cases =
            [("1", 1.0), ("-0.5", -0.5), ("1e3", 1000.0), (".5", 0.5), ("5.", 5.0), ("+Inf", f64::INFINITY)];
        for (text, value) in cases {
            assert_eq!(parse(text.as_bytes()), Ok(value), "{text}");
        }
        assert_eq!(parse(b"-infinity"), Ok(f64::NEG_INFINITY));
        assert_eq!(parse(b"nan").map(f64::to_bits), Ok(NORMAL_NAN_BITS));
        assert_eq!(
            parse(b"1e999"),
            Err("strconv.ParseFloat: parsing \"1e999\": value out of range".to_owned())
        );
        for text in ["", "true", "+NaN", "1x", "0x10", "--1", "1,5", " 1"] {
            assert!(parse(text.as_bytes()).is_err_and(|e| e.ends_with("invalid syntax")), "{text}");
        }
    }

    #[test]
    fn prints_bounds_like_openmetrics() {
        let cases = [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (0.25, "0.25"),
            (f64::INFINITY, "+Inf"),
            (100_000.0, "100000.0"),
            (1e6, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-1e100, "-1e+100"),
        ];
        for (value, text) in cases {
            assert_eq!(format_bound(value), text);
        }
    }
}
