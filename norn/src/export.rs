//! `norn export`: samples that a querier answers with, as OpenMetrics text or as blocks of Prometheus.
//!
//! 1. The names of the metrics are asked for; then each metric, window after window, by remote read ([`remote`]), so that what
//!    is held is one metric in one window.
//! 2. [`openmetrics`] writes lines; or one block a window is written (crate `tsdb`).
//!
//! Any server that speaks Prometheus's remote read can be exported from. Series without a metric name are left out.

mod openmetrics;
mod remote;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write};

use model::{BlockId, BlockRange, LabelSet, MatchOp, Matcher, Samples, TimeRange, labels};
use tsdb::BlockWriter;

use crate::cli::{ExportBlocksFlags, ExportFlags, ExportTextFlags};
use crate::fault::Fault;
use crate::import::progress::Progress;
use openmetrics::Left;
use remote::{ReadError, Server};

/// Windows of text are asked for by this length, ms; a server that finds one too much is asked for halves.
const TEXT_WINDOW_MS: i64 = 24 * 3_600_000;
/// A shorter window is not halved any more.
const WINDOW_MS_MIN: i64 = 60_000;

/// One export under way.
struct Export {
    server: Server,
    selectors: Vec<Vec<Matcher>>,
    range: TimeRange,
    progress: Progress,
}

/// Writes OpenMetrics text.
///
/// # Errors
/// One line: the server does not answer, or the file cannot be written.
pub(crate) fn text(flags: &ExportTextFlags) -> Result<(), Fault> {
    runtime()?.block_on(async {
        let mut export = Export::new(&flags.from)?;
        let mut left = Left::default();
        let mut write =
            |out: &mut dyn Write, metric: &[(LabelSet, Samples)]| openmetrics::write(out, metric, &mut left);
        match &flags.output {
            Some(file) => {
                let cannot =
                    |error: io::Error| Fault::usage(format!("cannot write {}: {error}", file.display()));
                let mut out = BufWriter::new(File::create(file).map_err(cannot)?);
                export.write_text(&mut out, &mut write).await?;
                out.flush().map_err(cannot)?;
            }
            None => export.write_text(&mut BufWriter::new(io::stdout()), &mut write).await?,
        }
        export.progress.clear();
        eprintln!("{left}, in {:.1} s", export.progress.elapsed().as_secs_f64());
        Ok(())
    })
}

/// Writes blocks of Prometheus.
///
/// # Errors
/// As [`text`].
pub(crate) fn blocks(flags: &ExportBlocksFlags) -> Result<(), Fault> {
    runtime()?.block_on(async {
        let mut export = Export::new(&flags.from)?;
        let cannot =
            |error: io::Error| Fault::usage(format!("cannot write {}: {error}", flags.output.display()));
        fs::create_dir_all(&flags.output).map_err(cannot)?;
        let duration_ms = flags.block_duration.as_millis() as i64;
        let names = export.names().await?;
        let (mut blocks, mut samples) = (0, 0);
        for window in windows(export.range, duration_ms) {
            // Blocks are aligned, as Prometheus's own are, even where less was asked for.
            let block = BlockRange::window_of(window.start.0, duration_ms);
            let fault = |error: tsdb::TsdbError| Fault::of("writing a block", &error);
            let id = random_id(block).map_err(cannot)?;
            let mut writer = BlockWriter::create(&flags.output, id, block).map_err(fault)?;
            for name in &names {
                for (labels, samples) in export.metric(name, window).await? {
                    writer.add(&labels, &samples).map_err(fault)?;
                }
            }
            if writer.samples() == 0 {
                drop(writer);
                fs::remove_dir_all(flags.output.join(id.to_string())).map_err(cannot)?;
                continue;
            }
            samples += writer.samples();
            let written = writer.finish().map_err(fault)?;
            export.progress.clear();
            println!(
                "{}: {} series, {} samples",
                written.dir.display(),
                written.meta.stats.num_series,
                written.meta.stats.num_samples
            );
            blocks += 1;
        }
        println!("{blocks} blocks, {samples} samples, in {:.1} s", export.progress.elapsed().as_secs_f64());
        Ok(())
    })
}

fn runtime() -> Result<tokio::runtime::Runtime, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Fault::failed(format!("cannot start the runtime: {error}")))
}

/// Cuts a closed range at the windows of a length.
fn windows(range: TimeRange, window_ms: i64) -> impl Iterator<Item = TimeRange> {
    let mut next = Some(range.start.0);
    std::iter::from_fn(move || {
        let start = next.filter(|start| *start <= range.end.0)?;
        let end = BlockRange::window_of(start, window_ms).end.0;
        next = (end > start).then_some(end);
        Some(TimeRange::new(start, (end - 1).min(range.end.0)))
    })
}

/// Makes the name of a block that no other has: its time, and random bits.
fn random_id(range: BlockRange) -> io::Result<BlockId> {
    let mut bits = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bits[6..])?;
    Ok(BlockId((range.end.0.max(0) as u128) << 80 | u128::from_be_bytes(bits)))
}

impl Export {
    fn new(flags: &ExportFlags) -> Result<Self, Fault> {
        let server = Server::parse(&flags.url).map_err(Fault::usage)?;
        let selector = |text: &String| {
            promql::parse_selector(text).map_err(|error| Fault::usage(format!("--match {text:?}: {error}")))
        };
        let selectors = flags.selectors.iter().map(selector).collect::<Result<_, _>>()?;
        let range = TimeRange::new(flags.start_ms, flags.end_ms);
        if range.is_empty() {
            return Err(Fault::usage("--start is after --end: there is nothing between them"));
        }
        Ok(Self { server, selectors, range, progress: Progress::new(0) })
    }

    /// Returns the names of the metrics in the range.
    async fn names(&self) -> Result<Vec<String>, Fault> {
        self.server.metric_names(&self.selectors, self.range).await.map_err(|error| error.fault())
    }

    async fn write_text(
        &mut self,
        out: &mut dyn Write,
        write: &mut impl FnMut(&mut dyn Write, &[(LabelSet, Samples)]) -> io::Result<()>,
    ) -> Result<(), Fault> {
        let cannot = |error: io::Error| Fault::failed(format!("cannot write: {error}"));
        for name in self.names().await? {
            for window in windows(self.range, TEXT_WINDOW_MS) {
                write(out, &self.metric(&name, window).await?).map_err(cannot)?;
            }
        }
        openmetrics::end(out).map_err(cannot)
    }

    /// Returns the series of a metric that any of the selectors means, each once, by labels.
    async fn metric(&mut self, name: &str, range: TimeRange) -> Result<Vec<(LabelSet, Samples)>, Fault> {
        let mut found: BTreeMap<LabelSet, Samples> = BTreeMap::new();
        let own = Matcher::new(MatchOp::Equal, labels::METRIC_NAME, name).expect("no pattern to compile");
        let with_name = |selector: &Vec<Matcher>| [&selector[..], std::slice::from_ref(&own)].concat();
        let selectors: Vec<Vec<Matcher>> = self.selectors.iter().map(with_name).collect();
        // The parts of the range that are still to be asked for, the earliest last.
        let mut parts = vec![range];
        while let Some(part) = parts.pop() {
            match self.server.read(&selectors, part).await {
                Ok(results) => {
                    let mut fresh: BTreeMap<LabelSet, Samples> = BTreeMap::new();
                    results.into_iter().flatten().for_each(|(labels, samples)| {
                        fresh.entry(labels).or_insert(samples);
                    });
                    for (labels, samples) in fresh {
                        self.progress.add(samples.len() as u64, name);
                        found.entry(labels).or_default().extend_from(&samples, 0..samples.len());
                    }
                }
                Err(ReadError::TooMuch(_)) if part.end.0 - part.start.0 > WINDOW_MS_MIN => {
                    let middle = part.start.0 + (part.end.0 - part.start.0) / 2;
                    parts.push(TimeRange::new(middle + 1, part.end.0));
                    parts.push(TimeRange::new(part.start.0, middle));
                }
                Err(error) => return Err(error.fault()),
            }
        }
        Ok(found.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_aligned_and_leave_nothing_out() {
        let found: Vec<_> = windows(TimeRange::new(-5, 205), 100).collect();
        let expected = [(-5, -1), (0, 99), (100, 199), (200, 205)];
        assert_eq!(found, expected.map(|(start, end)| TimeRange::new(start, end)));
        assert_eq!(windows(TimeRange::new(7, 7), 100).count(), 1);
    }
}
