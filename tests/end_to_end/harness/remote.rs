//! A remote-write 1.0 client: what a Prometheus sends, made by hand.

use prost::Message as _;
use proto::prometheus::{Label, Sample, TimeSeries, WriteRequest};

/// One series with its samples in time order.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) samples: Vec<(i64, f64)>,
}

/// Makes a series; labels are given sorted, the metric's name first.
pub(crate) fn series(name: &str, labels: &[(&str, &str)], samples: Vec<(i64, f64)>) -> Series {
    let pairs = [("__name__", name)].into_iter().chain(labels.iter().copied());
    Series { labels: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(), samples }
}

/// A sender to one server.
#[derive(Clone)]
pub(crate) struct Remote {
    url: String,
    client: reqwest::Client,
}

impl Remote {
    pub(crate) fn new(address: &str) -> Self {
        Self { url: format!("http://{address}/api/v1/write"), client: reqwest::Client::new() }
    }

    /// Sends series; `Err` holds status and body, or why there was no answer.
    pub(crate) async fn write(&self, series: &[Series]) -> Result<(), String> {
        self.write_request(&request(series)).await
    }

    /// Sends a request of any content.
    pub(crate) async fn write_request(&self, request: &WriteRequest) -> Result<(), String> {
        let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).expect("small enough");
        let (status, text) = self.post(body).await?;
        if (200..300).contains(&status) { Ok(()) } else { Err(format!("{status} {text}")) }
    }

    /// Sends any body and returns status and answer.
    pub(crate) async fn post(&self, body: Vec<u8>) -> Result<(u16, String), String> {
        let request = self.client.post(&self.url).body(body);
        let request = request
            .header("Content-Encoding", "snappy")
            .header("Content-Type", "application/x-protobuf")
            .header("X-Prometheus-Remote-Write-Version", "0.1.0");
        let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await.map_err(|error| format!("{error:?}"))?))
    }
}

fn request(series: &[Series]) -> WriteRequest {
    let label = |(name, value): &(String, String)| Label { name: name.clone(), value: value.clone() };
    let sample = |(timestamp, value): &(i64, f64)| Sample { timestamp: *timestamp, value: *value };
    let one = |series: &Series| TimeSeries {
        labels: series.labels.iter().map(label).collect(),
        samples: series.samples.iter().map(sample).collect(),
        ..TimeSeries::default()
    };
    WriteRequest { timeseries: series.iter().map(one).collect(), ..WriteRequest::default() }
}
