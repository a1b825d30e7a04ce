//! Floats as Prometheus prints them in JSON: the shortest digits that read back, with an exponent only below 1e-6 and from
//! 1e21 on (Go's `strconv.AppendFloat` with 'f' or 'e').

/// Integers below this are printed without the general algorithm.
const EXACT_INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// Appends a float's text; `NaN`, `+Inf` and `-Inf` included.
pub(super) fn push(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if value.abs() < EXACT_INTEGER_MAX && value.trunc() == value {
        push_unsigned(out, value.is_sign_negative(), value.abs() as u64);
    } else {
        push_shortest(out, value);
    }
}

/// Appends an integer with its sign.
pub(super) fn push_unsigned(out: &mut Vec<u8>, is_negative: bool, mut value: u64) {
    if is_negative {
        out.push(b'-');
    }
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Lays the shortest digits out in Go's way.
fn push_shortest(out: &mut Vec<u8>, value: f64) {
    let mut buffer = zmij::Buffer::new();
    let (digits, count, exponent) = significant(buffer.format_finite(value.abs()));
    let digits = &digits[..count];
    if value.is_sign_negative() {
        out.push(b'-');
    }
    if value.abs() < 1e-6 || value.abs() >= 1e21 {
        push_exponential(out, digits, exponent);
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.extend(std::iter::repeat_n(b'0', (-exponent - 1) as usize));
        out.extend_from_slice(digits);
    } else {
        let whole = exponent as usize + 1;
        out.extend_from_slice(&digits[..whole.min(count)]);
        out.extend(std::iter::repeat_n(b'0', whole.saturating_sub(count)));
        if whole < count {
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
    }
}

fn push_exponential(out: &mut Vec<u8>, digits: &[u8], exponent: i32) {
    out.push(digits[0]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    if exponent.abs() < 10 {
        out.push(b'0');
    }
    push_unsigned(out, false, u64::from(exponent.unsigned_abs()));
}

/// Returns the significant digits of a positive float's text, how many, and the decimal exponent of the first.
fn significant(text: &str) -> ([u8; 24], usize, i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let mut exponent: i32 = exponent.parse().expect("the formatter prints an integer exponent");
    let point = mantissa.find('.').unwrap_or(mantissa.len());
    exponent += point as i32 - 1;
    let (mut digits, mut count) = ([0u8; 24], 0);
    for byte in mantissa.bytes().filter(|byte| *byte != b'.') {
        if count == 0 && byte == b'0' {
            exponent -= 1;
            continue;
        }
        digits[count] = byte;
        count += 1;
    }
    while count > 1 && digits[count - 1] == b'0' {
        count -= 1;
    }
    (digits, count, exponent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        push(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn prints_like_go() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (123_456.789, "123456.789"),
            (1e20, "100000000000000000000"),
            (1.234_567_8e20, "123456780000000000000"),
            (1e21, "1e+21"),
            (1.5e21, "1.5e+21"),
            (1e-6, "0.000001"),
            (1.25e-5, "0.0000125"),
            (1e-7, "1e-07"),
            (-1.5e-9, "-1.5e-09"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(text(value), expected);
        }
    }

    proptest! {
        #[test]
        fn reads_back_to_the_same_bits(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(text(value).parse::<f64>().unwrap().to_bits(), bits);
        }

        #[test]
        fn without_an_exponent_it_is_the_plain_form(value in -1e20f64..1e20) {
            prop_assume!(value == 0.0 || value.abs() >= 1e-6);
            prop_assert_eq!(text(value), format!("{value}"));
        }
    }
}
