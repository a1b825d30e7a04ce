//! OpenMetrics text: one line a sample, as `promtool tsdb create-blocks-from openmetrics` reads it.
//!
//! Nothing says what type a metric has, so none is written. Native histograms have no line, nor have staleness markers, which
//! would come back as ordinary NaN; both are counted.

use std::fmt;
use std::io::{self, Write};

use model::labels::{METRIC_NAME, is_legacy_label_name, is_legacy_metric_name};
use model::{LabelSet, Samples, is_stale};

/// How much was written, and how much there is no text for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Left {
    samples: u64,
    histograms: u64,
    stale: u64,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} samples written", self.samples)?;
        if self.histograms > 0 {
            write!(f, ", {} native histograms left out: this text has none", self.histograms)?;
        }
        if self.stale > 0 {
            write!(f, ", {} staleness markers left out: this text has none", self.stale)?;
        }
        Ok(())
    }
}

/// Writes some series of one metric, each with its samples in time order.
pub(super) fn write(out: &mut dyn Write, metric: &[(LabelSet, Samples)], left: &mut Left) -> io::Result<()> {
    for (labels, samples) in metric {
        let name = series(labels);
        for (at, time_ms) in samples.timestamps.iter().enumerate() {
            if let Some(histogram) = samples.histogram(at) {
                *(if histogram.is_stale() { &mut left.stale } else { &mut left.histograms }) += 1;
                continue;
            }
            if is_stale(samples.floats[at]) {
                left.stale += 1;
                continue;
            }
            left.samples += 1;
            writeln!(out, "{name} {} {}", value(samples.floats[at]), seconds(*time_ms))?;
        }
    }
    Ok(())
}

/// Writes what ends the text.
pub(super) fn end(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"# EOF\n")?;
    out.flush()
}

/// Writes labels without a space; names that are not of the old alphabet in quotes, the metric's within the braces then.
fn series(labels: &LabelSet) -> String {
    let metric = labels.metric_name();
    let is_plain = is_legacy_metric_name(metric);
    let mut pairs: Vec<String> = Vec::new();
    if !is_plain {
        pairs.push(quoted(metric));
    }
    for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
        let name = if is_legacy_label_name(name) { name.to_owned() } else { quoted(name) };
        pairs.push(format!("{name}={}", quoted(value)));
    }
    let pairs = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
    if is_plain { format!("{metric}{pairs}") } else { pairs }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('\n', "\\n").replace('"', "\\\""))
}

/// Writes the shortest text that is read as the very number.
fn value(number: f64) -> String {
    match number {
        number if number.is_nan() => "NaN".to_owned(),
        number if number.is_infinite() => if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        number if number != 0.0 && !(1e-5..1e16).contains(&number.abs()) => format!("{number:e}"),
        number => format!("{number}"),
    }
}

fn seconds(time_ms: i64) -> String {
    let sign = if time_ms < 0 { "-" } else { "" };
    let (whole, rest) = (time_ms.unsigned_abs() / 1000, time_ms.unsigned_abs() % 1000);
    if rest == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{rest:03}") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn lines_are_openmetrics() {
        let mut samples = Samples::default();
        for (time, value) in
            [(-1500, 0.1), (0, 1e300), (5, -0.0), (1000, f64::NAN), (2000, f64::INFINITY), (3000, 123456.0)]
        {
            samples.push(time, value);
        }
        samples.push(4000, f64::from_bits(0x7ff0_0000_0000_0002));
        samples.push_histogram(5000, Arc::default());
        let labels = [("__name__", "up"), ("a.b", "x\"\n\\"), ("job", "j")];
        let plain = (LabelSet::from_pairs(labels), samples);
        let mut one = Samples::default();
        one.push(7, 5e-324);
        let mut left = Left::default();
        let mut out = Vec::new();
        let quoted = (LabelSet::from_pairs([("__name__", "my.metric")]), one.clone());
        let bare = (LabelSet::from_pairs([("__name__", "m")]), one);
        write(&mut out, &[plain, quoted, bare], &mut left).expect("memory takes it");
        end(&mut out).expect("memory takes it");
        let name = r#"up{"a.b"="x\"\n\\",job="j"}"#;
        let lines = ["0.1 -1.500", "1e300 0", "-0 0.005", "NaN 1", "+Inf 2", "123456 3"];
        let mut expected: String = lines.iter().map(|line| format!("{name} {line}\n")).collect();
        expected.push_str("{\"my.metric\"} 5e-324 0.007\nm 5e-324 0.007\n# EOF\n");
        assert_eq!(String::from_utf8(out).expect("text"), expected);
        assert_eq!(
            left.to_string(),
            "8 samples written, 1 native histograms left out: this text has none, 1 staleness markers left out: this text has none"
        );
    }
}
