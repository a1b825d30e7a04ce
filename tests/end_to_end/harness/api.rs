//! The Prometheus HTTP API as a client sees it.

use std::collections::BTreeMap;

use serde_json::Value;

/// A sample of a result: seconds as text would lose nothing, milliseconds lose nothing either.
pub(crate) type Sample = (i64, f64);
/// A series of a result.
pub(crate) type Labels = BTreeMap<String, String>;

/// A client of one server.
#[derive(Clone)]
pub(crate) struct Api {
    base: String,
    client: reqwest::Client,
}

impl Api {
    pub(crate) fn new(address: &str) -> Self {
        Self { base: format!("http://{address}"), client: reqwest::Client::new() }
    }

    /// Asks `/-/ready`.
    pub(crate) async fn ready(&self) -> Result<(), String> {
        let (status, text) = self.get("/-/ready").await?;
        if status == 200 { Ok(()) } else { Err(text) }
    }

    /// Returns status and body of a path with its query.
    pub(crate) async fn get(&self, path: &str) -> Result<(u16, String), String> {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await;
        let answer = answer.map_err(|error| format!("{path}: {error:?}"))?;
        let status = answer.status().as_u16();
        let text = answer.text().await.map_err(|error| format!("{path}: {error:?}"))?;
        Ok((status, text))
    }

    /// Returns status and body of a path with parameters.
    pub(crate) async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<(u16, String), String> {
        let pairs: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
        self.get(&format!("{path}?{}", pairs.join("&"))).await
    }

    /// Returns status and body of a path with parameters that may be longer than a URL.
    pub(crate) async fn post(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<(u16, String), String> {
        let pairs: Vec<String> =
            parameters.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
        let request = self.client.post(format!("{}{path}", self.base)).body(pairs.join("&"));
        let request = request.header("Content-Type", "application/x-www-form-urlencoded");
        let answer = request.send().await.map_err(|error| format!("{path}: {error:?}"))?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await.map_err(|error| format!("{path}: {error:?}"))?))
    }

    /// Returns the `data` of an API path, or the whole answer as the error.
    pub(crate) async fn data(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let (status, text) = self.ask(path, parameters).await?;
        let mut json: Value =
            serde_json::from_str(&text).map_err(|error| format!("{status} {error}: {text}"))?;
        if status != 200 || json["status"] != "success" {
            return Err(format!("{status} {text}"));
        }
        if json.get("warnings").is_some() {
            return Err(format!("warnings: {}", json["warnings"]));
        }
        Ok(json["data"].take())
    }

    /// Evaluates a query at an instant, `None` for now, and returns the vector.
    pub(crate) async fn instant(
        &self,
        query: &str,
        time_ms: Option<i64>,
    ) -> Result<Vec<(Labels, f64)>, String> {
        let time = time_ms.map(seconds);
        let mut parameters = vec![("query", query)];
        parameters.extend(time.as_deref().map(|time| ("time", time)));
        let data = self.data("/api/v1/query", &parameters).await?;
        let vector = data["result"].as_array().ok_or("no result")?;
        Ok(vector.iter().map(|series| (labels(&series["metric"]), sample(&series["value"]).1)).collect())
    }

    /// Evaluates a range selector at an instant and returns all its raw samples.
    pub(crate) async fn raw(
        &self,
        selector: &str,
        time_ms: i64,
    ) -> Result<Vec<(Labels, Vec<Sample>)>, String> {
        let data = self.data("/api/v1/query", &[("query", selector), ("time", &seconds(time_ms))]).await?;
        matrix(&data)
    }

    /// Evaluates a query over a range.
    pub(crate) async fn range(
        &self,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    ) -> Result<Vec<(Labels, Vec<Sample>)>, String> {
        let (start, end, step) = (seconds(start_ms), seconds(end_ms), seconds(step_ms));
        let parameters = [("query", query), ("start", &*start), ("end", &*end), ("step", &*step)];
        let data = self.data("/api/v1/query_range", &parameters).await?;
        matrix(&data)
    }
}

fn matrix(data: &Value) -> Result<Vec<(Labels, Vec<Sample>)>, String> {
    let series = data["result"].as_array().ok_or_else(|| format!("no result in {data}"))?;
    let one = |series: &Value| {
        let values = series["values"].as_array().ok_or_else(|| format!("no values in {series}"))?;
        Ok((labels(&series["metric"]), values.iter().map(sample).collect()))
    };
    series.iter().map(one).collect()
}

fn labels(metric: &Value) -> Labels {
    let pairs = metric.as_object().expect("metric is an object");
    pairs
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().expect("a label's value is text").to_owned()))
        .collect()
}

fn sample(pair: &Value) -> Sample {
    let time = pair[0].as_f64().expect("time is a number");
    let value = pair[1].as_str().expect("a value is text");
    ((time * 1000.0).round() as i64, value.parse().expect("a value is a number"))
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

fn escape(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}
