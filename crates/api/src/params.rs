//! What a request says: form body and URL query merged, and Prometheus's ways to write times, durations and limits.
//!
//! A parameter that stands in both is taken from the body first, as Go's `FormValue` does; repeated ones (`match[]`) are
//! taken from both. Source of the texts: Prometheus `web/api/v1/api.go`.

use axum::RequestExt;
use axum::extract::{Path, Request};
use http::{Method, header};
use model::{Matcher, TimeRange};

use crate::ApiError;

/// The largest form body, as in Go's `ParseForm`.
const FORM_BYTES_MAX: usize = 10 << 20;
/// The most parameters of one request.
const PARAMS_MAX: usize = 10_000;

/// Prometheus's own bounds of time, which Go cannot parse, as texts and in ms.
const MIN_TIME: (&str, i64) = ("-292273086-05-16T16:47:06Z", (i64::MIN / 1000 + 62_135_596_801) * 1000);
const MAX_TIME: (&str, i64) =
    ("292277025-08-18T07:12:54.999999999Z", (i64::MAX / 1000 - 62_135_596_801) * 1000 + 999);

/// All parameters of a request, those of the body first.
#[derive(Debug, Default)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    /// The part of the path that is variable, unescaped; empty where there is none.
    pub(crate) path: String,
}

impl Params {
    /// Reads the parameters of a request.
    pub(crate) async fn read(mut request: Request) -> Result<Self, ApiError> {
        let fault = |reason: String| ApiError::BadData(format!("error parsing form values: {reason}"));
        let path = request.extract_parts::<Path<String>>().await.map_or(String::new(), |Path(name)| name);
        let mut pairs = Vec::new();
        let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let is_form = content_type.is_some_and(|t| t.starts_with("application/x-www-form-urlencoded"));
        let query = request.uri().query().unwrap_or_default().to_owned();
        if matches!(*request.method(), Method::POST | Method::PUT) && is_form {
            let body = axum::body::to_bytes(request.into_body(), FORM_BYTES_MAX).await;
            let body = body.map_err(|e| fault(e.to_string()))?;
            let text = std::str::from_utf8(&body).map_err(|e| fault(e.to_string()))?;
            parse_form(text, &mut pairs).map_err(fault)?;
        }
        parse_form(&query, &mut pairs).map_err(fault)?;
        Ok(Self { pairs, path })
    }

    /// Returns a parameter's first value, or `""`.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// Returns all values of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Returns a time that must be given, in ms.
    pub(crate) fn time(&self, name: &'static str) -> Result<i64, ApiError> {
        parse_time(self.get(name)).map_err(|reason| ApiError::parameter(name, reason))
    }

    /// Returns a time in ms, `default_ms` when it is not given.
    pub(crate) fn time_or(&self, name: &'static str, default_ms: i64) -> Result<i64, ApiError> {
        if self.get(name).is_empty() {
            return Ok(default_ms);
        }
        let fault = |reason| ApiError::parameter(name, format!("invalid time value for '{name}': {reason}"));
        parse_time(self.get(name)).map_err(fault)
    }

    /// Returns the range of `start` and `end`, everything where they are not given.
    pub(crate) fn range(&self) -> Result<TimeRange, ApiError> {
        Ok(TimeRange::new(self.time_or("start", MIN_TIME.1)?, self.time_or("end", MAX_TIME.1)?))
    }

    /// Returns a duration in nanoseconds; `None` when it is not given.
    pub(crate) fn duration_ns(&self, name: &'static str) -> Result<Option<i64>, ApiError> {
        let text = self.get(name);
        let parse = || parse_duration_ns(text).map_err(|reason| ApiError::parameter(name, reason));
        if text.is_empty() { Ok(None) } else { parse().map(Some) }
    }

    /// Returns `limit`; `None` when it is not given or 0.
    pub(crate) fn limit(&self) -> Result<Option<usize>, ApiError> {
        let text = self.get("limit");
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse::<i64>() {
            Ok(limit) if limit < 0 => Err(ApiError::parameter("limit", "limit must be non-negative")),
            Ok(limit) => Ok(usize::try_from(limit).ok().filter(|limit| *limit > 0)),
            Err(_) => {
                let reason = format!("strconv.Atoi: parsing {}: invalid syntax", model::labels::quote(text));
                Err(ApiError::parameter("limit", reason))
            }
        }
    }

    /// Returns the selectors of `match[]`, or what is wrong with one.
    pub(crate) fn selectors(&self) -> Result<Vec<Vec<Matcher>>, String> {
        self.all("match[]").map(selector).collect()
    }
}

/// Reads a selector, or says what is wrong with it.
pub(crate) fn selector(text: &str) -> Result<Vec<Matcher>, String> {
    let shown = |error: promql::ParseError| match error.message.as_str() {
        // Prometheus says this one without a position.
        "match[] must contain at least one non-empty matcher" => error.message,
        _ => error.to_string(),
    };
    promql::parse_selector(text).map_err(shown)
}

/// Appends the pairs of `application/x-www-form-urlencoded` text.
fn parse_form(text: &str, pairs: &mut Vec<(String, String)>) -> Result<(), String> {
    for part in text.split('&').filter(|part| !part.is_empty()) {
        if pairs.len() >= PARAMS_MAX {
            return Err(format!("more than {PARAMS_MAX} parameters"));
        }
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        pairs.push((percent_decode(name)?, percent_decode(value)?));
    }
    Ok(())
}

fn percent_decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                let byte = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
                let byte = byte.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                rest = tail.get(2..).unwrap_or_default();
                byte.ok_or_else(|| {
                    let shown = String::from_utf8_lossy(&tail[..tail.len().min(2)]).into_owned();
                    format!("invalid URL escape {:?}", format!("%{shown}"))
                })?
            }
            byte => *byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| format!("{text:?} is not UTF-8"))
}

/// Parses a time: Unix seconds with a fraction, or RFC 3339. Returns ms within Prometheus's bounds.
pub(crate) fn parse_time(text: &str) -> Result<i64, String> {
    if let Some(seconds) = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite()) {
        // The roundings are Go's, so that the same text means the same millisecond.
        let whole = (seconds.trunc() as i64).saturating_mul(1000);
        let fraction = (seconds.fract() * 1000.0).round() / 1000.0;
        let fraction_ms = ((fraction * 1e9) as i64).div_euclid(1_000_000);
        return Ok(whole.saturating_add(fraction_ms).clamp(MIN_TIME.1, MAX_TIME.1));
    }
    if let Some(bound) = [MIN_TIME, MAX_TIME].iter().find(|bound| bound.0 == text) {
        return Ok(bound.1);
    }
    let parsed: Result<jiff::Timestamp, _> = text.parse();
    let parsed =
        parsed.map_err(|_| format!("cannot parse {} to a valid timestamp", model::labels::quote(text)))?;
    Ok(parsed.as_nanosecond().div_euclid(1_000_000) as i64)
}

/// Parses a duration: seconds with a fraction, or Prometheus's form (`5m`). Returns nanoseconds, which may be negative.
pub(crate) fn parse_duration_ns(text: &str) -> Result<i64, String> {
    let quoted = model::labels::quote(text);
    if let Ok(seconds) = text.parse::<f64>() {
        let nanos = seconds * 1e9;
        if nanos.is_nan() || nanos.abs() >= i64::MAX as f64 {
            return Err(format!("cannot parse {quoted} to a valid duration. It overflows int64"));
        }
        return Ok(nanos as i64);
    }
    let millis = model::time::parse_duration_ms(text);
    let nanos = millis.ok().and_then(|ms| i64::try_from(ms).ok()?.checked_mul(1_000_000));
    nanos.ok_or_else(|| format!("cannot parse {quoted} to a valid duration"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_like_prometheus_reads_them() {
        for (text, ms) in [
            ("0", 0),
            ("1.5", 1500),
            ("-1.5", -1500),
            ("1543578564.705", 1_543_578_564_705),
            ("0.57", 570),
            ("1e3", 1_000_000),
            ("1780000000000", 1_780_000_000_000_000),
            ("1e300", MAX_TIME.1),
            ("2015-06-03T13:21:58.555Z", 1_433_337_718_555),
            ("2015-06-03T14:21:58.555+01:00", 1_433_337_718_555),
            ("1969-12-31T23:59:59.9995Z", -1),
            (MIN_TIME.0, MIN_TIME.1),
            (MAX_TIME.0, MAX_TIME.1),
        ] {
            assert_eq!(parse_time(text), Ok(ms), "{text}");
        }
        for text in ["", "x", "30s", "NaN", "inf", "2015-06-03"] {
            assert_eq!(parse_time(text), Err(format!("cannot parse {text:?} to a valid timestamp")));
        }
    }

    #[test]
    fn durations_are_read_like_prometheus_reads_them() {
        for (text, ns) in
            [("15", 15_000_000_000), ("0.0015", 1_500_000), ("-1", -1_000_000_000), ("5m", 300_000_000_000)]
        {
            assert_eq!(parse_duration_ns(text), Ok(ns), "{text}");
        }
        for text in ["", "x", "5mm"] {
            assert_eq!(parse_duration_ns(text), Err(format!("cannot parse {text:?} to a valid duration")));
        }
        assert!(parse_duration_ns("1e10").unwrap_err().ends_with("It overflows int64"));
    }

    #[test]
    fn forms_are_decoded() {
        let mut pairs = Vec::new();
        parse_form("query=up%7Ba%3D%22b%22%7D+%2B+1&match[]=a&match%5B%5D=b&flag&=x&", &mut pairs).unwrap();
        let expected =
            [("query", "up{a=\"b\"} + 1"), ("match[]", "a"), ("match[]", "b"), ("flag", ""), ("", "x")];
        assert_eq!(pairs, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
        for (text, error) in [
            ("a=%zz", "invalid URL escape \"%zz\""),
            ("a=%", "invalid URL escape \"%\""),
            ("a=%+1", "invalid URL escape \"%+1\""),
            ("a=%ff", "\"%ff\" is not UTF-8"),
        ] {
            assert_eq!(parse_form(text, &mut Vec::new()), Err(error.to_owned()));
        }
    }
}
