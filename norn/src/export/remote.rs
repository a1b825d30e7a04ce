//! A server that speaks Prometheus's remote read, asked over plain HTTP, one connection a request.

use std::io;
use std::sync::Arc;

use model::histogram::{CounterResetHint, Span};
use model::{FloatHistogram, LabelSet, MatchOp, Matcher, Samples, TimeRange};
use prost::Message as _;
use proto::prometheus::read_request::ResponseType;
use proto::prometheus::{
    BucketSpan, Histogram, LabelMatcher, ReadQuery, ReadRequest, ReadResponse, TimeSeries, histogram,
    label_matcher,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fault::Fault;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 2 << 30;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// `host:port`.
    address: String,
    /// Before `/api/v1`; without a slash at the end.
    prefix: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The server found that it is too much for one answer.
    TooMuch(String),
    /// Anything else.
    Failed(String),
}

impl ReadError {
    pub(super) fn fault(self) -> Fault {
        let (Self::TooMuch(text) | Self::Failed(text)) = self;
        Fault::failed(text)
    }
}

impl Server {
    /// Reads a URL.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let Some(rest) = url.strip_prefix("http://") else {
            return Err(format!("--url {url}: only http:// is spoken: go through a proxy for anything else"));
        };
        let (host, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if host.is_empty() {
            return Err(format!("--url {url}: there is no host in it"));
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port { host.to_owned() } else { format!("{host}:80") };
        Ok(Self { address, prefix: prefix.trim_end_matches('/').to_owned() })
    }

    /// Returns the names of all metrics that the selectors mean.
    pub(super) async fn metric_names(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<String>, ReadError> {
        let seconds = |time_ms: i64| format!("{}.{:03}", time_ms.div_euclid(1000), time_ms.rem_euclid(1000));
        let mut form = format!("start={}&end={}", seconds(range.start.0), seconds(range.end.0));
        for selector in selectors {
            let matchers: Vec<String> = selector.iter().map(Matcher::to_string).collect();
            form.push_str(&format!("&match%5B%5D={}", percent(&format!("{{{}}}", matchers.join(",")))));
        }
        let path = format!("/api/v1/label/__name__/values?{form}");
        let body = self.call("GET", &path, "", &[]).await?;
        let malformed = || ReadError::Failed(format!("{}: the list of metrics is not one", self.address));
        let answer: serde_json::Value = serde_json::from_slice(&body).map_err(|_| malformed())?;
        let names = answer["data"].as_array().ok_or_else(malformed)?;
        names.iter().map(|name| name.as_str().map(str::to_owned).ok_or_else(malformed)).collect()
    }

    /// Returns the series of each selector with their samples in a closed range.
    pub(super) async fn read(
        &self,
        selectors: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<Vec<(LabelSet, Samples)>>, ReadError> {
        let query = |selector: &Vec<Matcher>| ReadQuery {
            start_timestamp_ms: range.start.0,
            end_timestamp_ms: range.end.0,
            matchers: selector.iter().map(matcher).collect(),
        };
        let request = ReadRequest {
            queries: selectors.iter().map(query).collect(),
            accepted_response_types: vec![ResponseType::Samples as i32],
        };
        let malformed = |reason: String| {
            ReadError::Failed(format!("{}: the answer is malformed: {reason}", self.address))
        };
        let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec());
        let body = body.map_err(|error| malformed(error.to_string()))?;
        let headers = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\nX-Prometheus-Remote-Read-Version: 0.1.0\r\n";
        let answer = self.call("POST", "/api/v1/read", headers, &body).await?;
        let decode = move || {
            let length = snap::raw::decompress_len(&answer).map_err(|error| error.to_string())?;
            if length as u64 > ANSWER_BYTES_MAX {
                return Err(format!("{length} bytes"));
            }
            let bytes =
                snap::raw::Decoder::new().decompress_vec(&answer).map_err(|error| error.to_string())?;
            let response = ReadResponse::decode(bytes.as_slice()).map_err(|error| error.to_string())?;
            let series = |series: TimeSeries| decode_series(series);
            response
                .results
                .into_iter()
                .map(|result| result.timeseries.into_iter().map(series).collect())
                .collect()
        };
        decode().map_err(malformed)
    }

    /// Sends a request and returns the body of the answer.
    async fn call(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<Vec<u8>, ReadError> {
        let failed = |error: io::Error| ReadError::Failed(format!("http://{}: {error}", self.address));
        let answer = self.exchange(method, path, headers, body).await.map_err(failed)?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.ok_or_else(|| failed(io::Error::other("the answer has no end of its headers")))?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let body = answer[end + 4..].to_vec();
        if status == "200" {
            return Ok(body);
        }
        let text = String::from_utf8_lossy(&body[..body.len().min(500)]).trim().to_owned();
        let text =
            format!("http://{}{}: {status} {text}", self.address, path.split('?').next().unwrap_or(path));
        let is_too_much = ["limit", "too many", "too large", "memory"].iter().any(|word| text.contains(word));
        Err(if is_too_much { ReadError::TooMuch(text) } else { ReadError::Failed(text) })
    }

    /// Speaks HTTP/1.0, whose answers end with the connection and come in one piece.
    async fn exchange(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let head = format!(
            "{method} {}{path} HTTP/1.0\r\nHost: {}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
            self.prefix,
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

fn matcher(matcher: &Matcher) -> LabelMatcher {
    let op = match matcher.op {
        MatchOp::Equal => label_matcher::Type::Eq,
        MatchOp::NotEqual => label_matcher::Type::Neq,
        MatchOp::Regex => label_matcher::Type::Re,
        MatchOp::NotRegex => label_matcher::Type::Nre,
    };
    LabelMatcher { r#type: op as i32, name: matcher.name.to_string(), value: matcher.value.to_string() }
}

/// Writes every byte but letters and digits as `%XX`.
fn percent(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// Brings floats and histograms of a series into one order.
fn decode_series(wire: TimeSeries) -> Result<(LabelSet, Samples), String> {
    let labels = LabelSet::from_pairs(wire.labels.into_iter().map(|label| (label.name, label.value)));
    let mut samples = Samples::default();
    let mut histograms = wire.histograms.into_iter().peekable();
    let mut push = |time_ms: i64, value: Result<f64, FloatHistogram>| {
        if samples.timestamps.last().is_some_and(|last| *last >= time_ms) {
            return Err(format!("samples of {labels} do not ascend at {time_ms}"));
        }
        match value {
            Ok(float) => samples.push(time_ms, float),
            Err(histogram) => samples.push_histogram(time_ms, Arc::new(histogram)),
        }
        Ok(())
    };
    for sample in wire.samples {
        while let Some(histogram) = histograms.next_if(|histogram| histogram.timestamp < sample.timestamp) {
            push(histogram.timestamp, Err(decode_histogram(histogram)?))?;
        }
        push(sample.timestamp, Ok(sample.value))?;
    }
    for histogram in histograms {
        push(histogram.timestamp, Err(decode_histogram(histogram)?))?;
    }
    Ok((labels, samples))
}

fn decode_histogram(wire: Histogram) -> Result<FloatHistogram, String> {
    let spans = |spans: &[BucketSpan]| {
        spans.iter().map(|span| Span { offset: span.offset, length: span.length }).collect()
    };
    let absolute = |deltas: &[i64]| -> Vec<f64> {
        let mut count = 0i64;
        let add = |delta: &i64| {
            count = count.wrapping_add(*delta);
            count as f64
        };
        deltas.iter().map(add).collect()
    };
    let is_float = matches!(wire.count, Some(histogram::Count::CountFloat(_)));
    let counts = |floats: &[f64], deltas: &[i64]| if is_float { floats.to_vec() } else { absolute(deltas) };
    let decoded = FloatHistogram {
        reset_hint: match wire.reset_hint() {
            histogram::ResetHint::Yes => CounterResetHint::Reset,
            histogram::ResetHint::Gauge => CounterResetHint::Gauge,
            histogram::ResetHint::Unknown | histogram::ResetHint::No => CounterResetHint::Unknown,
        },
        schema: wire.schema,
        zero_threshold: wire.zero_threshold,
        zero_count: match wire.zero_count {
            Some(histogram::ZeroCount::ZeroCountFloat(count)) => count,
            Some(histogram::ZeroCount::ZeroCountInt(count)) => count as f64,
            None => 0.0,
        },
        count: match wire.count {
            Some(histogram::Count::CountFloat(count)) => count,
            Some(histogram::Count::CountInt(count)) => count as f64,
            None => 0.0,
        },
        sum: wire.sum,
        positive_spans: spans(&wire.positive_spans),
        negative_spans: spans(&wire.negative_spans),
        positive_buckets: counts(&wire.positive_counts, &wire.positive_deltas),
        negative_buckets: counts(&wire.negative_counts, &wire.negative_deltas),
        custom_bounds: wire.custom_values,
    };
    match decoded.is_storable() {
        true => Ok(decoded),
        false => Err(format!("a histogram at {} has other spans than buckets", wire.timestamp)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let parsed =
            |address: &str, prefix: &str| Ok(Server { address: address.into(), prefix: prefix.into() });
        assert_eq!(Server::parse("http://a:9090"), parsed("a:9090", ""));
        assert_eq!(Server::parse("http://a/prom/"), parsed("a:80", "/prom"));
        assert!(Server::parse("https://a").is_err());
        assert!(Server::parse("http:///x").is_err());
        assert_eq!(percent("{a=\"b c\"}"), "%7Ba%3D%22b%20c%22%7D");
    }
}
