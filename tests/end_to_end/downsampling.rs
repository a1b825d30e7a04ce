//! Samples of hours, reduced to slots: the same question at raw resolution, at five minutes and at an hour.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{Api, Norn, Remote, Sample, free_ports, now_ms, series, until};

const HOUR_MS: i64 = 3_600_000;
/// A window of the test's cluster: what is reduced is the first one.
const WINDOW_MS: i64 = 12 * HOUR_MS;
const STEP_MS: i64 = 30_000;
/// Hours that are written: two windows, and what must come for the second one to be cut.
const HOURS: i64 = 24 + 4;
/// What of six hours may be missing where the first of six slots is only continued: a part of one.
const NEAR: f64 = 0.15;
const RESOLUTIONS: [&str; 3] = ["0s", "5m", "1h"];

/// Whole numbers, so that sums have no last digit to argue about.
fn value(name: &str, at: i64) -> f64 {
    match name {
        // Restarts in the middle of some hours, and counts up to more than before.
        "requests_total" => (at % 1000 * 3) as f64,
        "temperature" => ((at * 37) % 101 - 50) as f64,
        _ => (at / 500) as f64,
    }
}

/// What is asked at the end of each hour, and whether slots answer to the last bit.
const QUESTIONS: [(&str, bool); 13] = [
    ("temperature", true),
    ("steps", true),
    ("count_over_time(temperature[1h])", true),
    ("sum_over_time(temperature[1h])", true),
    ("avg_over_time(temperature[1h])", true),
    ("min_over_time(temperature[1h])", true),
    ("max_over_time(temperature[1h])", true),
    ("last_over_time(temperature[1h])", true),
    ("resets(requests_total[5h])", true),
    ("sum(count_over_time(temperature[2h])) + sum(count_over_time(steps[2h]))", true),
    ("max(max_over_time(temperature[3h])) - min(min_over_time(temperature[3h]))", true),
    ("increase(requests_total[6h])", false),
    ("sum(rate(requests_total[6h]))", false),
];

struct Bench {
    api: Api,
    first_ms: i64,
}

impl Bench {
    /// Returns the values of a question at the ends of the window's hours, in the order of series and time.
    async fn ask(&self, query: &str, parameters: &[(&str, &str)]) -> Result<Vec<f64>, String> {
        let (start, end) = (seconds(self.first_ms + 6 * HOUR_MS - 1), seconds(self.first_ms + WINDOW_MS - 1));
        let mut all = vec![("query", query), ("start", &*start), ("end", &*end), ("step", "1h")];
        all.extend(parameters);
        let data = self.api.data("/api/v1/query_range", &all).await?;
        let series = data["result"].as_array().ok_or("no result")?;
        let points = series.iter().flat_map(|one| one["values"].as_array().cloned().unwrap_or_default());
        let value = |point: Value| point[1].as_str().and_then(|text| text.parse().ok()).ok_or("no number");
        Ok(points.map(value).collect::<Result<_, _>>()?)
    }

    /// Returns how many points the window has at a resolution.
    async fn points(&self, resolution: &str) -> Result<usize, String> {
        let end = seconds(self.first_ms + WINDOW_MS - 1);
        let parameters =
            [("query", "temperature[12h]"), ("time", &*end), ("max_source_resolution", resolution)];
        let data = self.api.data("/api/v1/query", &parameters).await?;
        Ok(data["result"][0]["values"].as_array().map_or(0, Vec::len))
    }

    async fn raw_answers(&self) -> Result<BTreeMap<&'static str, Vec<f64>>, String> {
        let mut answers = BTreeMap::new();
        for (query, _) in QUESTIONS {
            answers.insert(query, self.ask(query, &[("max_source_resolution", "0s")]).await?);
        }
        Ok(answers)
    }
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[tokio::test]
async fn slots_answer_as_their_samples_do() {
    let dir = tempfile::tempdir().expect("a directory");
    let port = free_ports(1);
    let flags = ["--storage.block-duration=12h", "--downsampling.5m-after=1h", "--downsampling.1h-after=12h"];
    let norn = Norn::standalone(dir.path(), port, &flags).await;
    let first_ms = (now_ms() - HOURS * HOUR_MS).div_euclid(WINDOW_MS) * WINDOW_MS;
    let remote = Remote::new(&norn.address);
    for hour in 0..HOURS {
        let samples = |name: &str| -> Vec<Sample> {
            let start_ms = first_ms + hour * HOUR_MS;
            let times = (start_ms..start_ms + HOUR_MS).step_by(STEP_MS as usize);
            times.map(|time_ms| (time_ms + 17, value(name, time_ms / STEP_MS))).collect()
        };
        let names = ["requests_total", "temperature", "steps"];
        let request: Vec<_> = names.map(|name| series(name, &[("job", "a")], samples(name))).into();
        remote.write(&request).await.expect("acknowledged");
    }
    let bench = Bench { api: norn.api(), first_ms };
    let expected = bench.raw_answers().await.expect("it answers");
    assert!(expected.values().all(|values| values.len() == 7), "{expected:?}");
    until("a window in slots of an hour", async || {
        let counts = [bench.points("0s").await?, bench.points("5m").await?, bench.points("1h").await?];
        match counts {
            [1440, 144, 12] => Ok(()),
            other => Err(format!("{other:?}; {}", norn.log_text())),
        }
    })
    .await;
    let after = bench.raw_answers().await.expect("it answers");
    for (query, is_exact) in QUESTIONS {
        assert_eq!(bits(&after[query]), bits(&expected[query]), "raw samples of {query}");
        for resolution in RESOLUTIONS {
            for pushdown in ["true", "false"] {
                let parameters = [("max_source_resolution", resolution), ("pushdown", pushdown)];
                let found = bench.ask(query, &parameters).await.expect("it answers");
                let is_near =
                    |(found, expected): (&f64, &f64)| (found - expected).abs() <= NEAR * expected.abs();
                let is_right = if is_exact {
                    found == expected[query]
                } else {
                    found.len() == 7 && found.iter().zip(&expected[query]).all(is_near)
                };
                assert!(
                    is_right,
                    "{query} at {resolution}, pushdown {pushdown}: {found:?}, not {:?}",
                    expected[query]
                );
            }
        }
        let chosen = bench.ask(query, &[]).await.expect("it answers");
        assert!(!is_exact || chosen == expected[query], "{query} as the engine chooses: {chosen:?}");
    }
}
