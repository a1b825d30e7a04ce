//! `norn bucket ls`.

use std::io::Write;

use model::BlockMeta;
use serde::Serialize;

use super::place::{Found, Place};
use super::table::{Table, bytes_per_sample, resolution, time};
use super::{Stop, print_json};
use crate::cli::{LsFlags, Output};

/// One block as programs read it; numbers are absent where the block cannot tell.
#[derive(Serialize)]
struct Listed {
    block: String,
    state: String,
    #[serde(flatten)]
    facts: Option<Facts>,
}

#[derive(Serialize)]
struct Facts {
    shard: u32,
    level: u8,
    resolution_ms: i64,
    start_ms: i64,
    end_ms: i64,
    series: u64,
    samples: u64,
    bytes: u64,
    bytes_per_sample: Option<f64>,
}

impl Listed {
    fn new(found: &Found) -> Self {
        let facts = found.meta.as_ref().map(|meta| Facts {
            shard: meta.shard.0,
            level: meta.level,
            resolution_ms: meta.resolution_ms,
            start_ms: meta.range.start.0,
            end_ms: meta.range.end.0,
            series: meta.series,
            samples: meta.samples,
            bytes: bytes(meta),
            bytes_per_sample: (meta.samples > 0).then(|| bytes(meta) as f64 / meta.samples as f64),
        });
        Self { block: found.id.to_string(), state: found.state.clone(), facts }
    }
}

fn bytes(meta: &BlockMeta) -> u64 {
    meta.series_object.size_bytes + meta.chunks_object.size_bytes
}

pub(super) async fn run(flags: &LsFlags, out: &mut dyn Write) -> Result<(), Stop> {
    let mut blocks = Place::open(&flags.place).await?.blocks().await?;
    let order = |found: &Found| found.meta.as_ref().map(|meta| (meta.range, meta.shard, meta.level));
    blocks.sort_by_key(|found| (order(found), found.id));
    if flags.output == Output::Json {
        return print_json(out, &blocks.iter().map(Listed::new).collect::<Vec<_>>());
    }
    let mut table = Table::new(&[
        "BLOCK", "SHARD", "LEVEL", "RES", "FROM", "UNTIL", "SERIES", "SAMPLES", "BYTES", "B/SAMPLE", "STATE",
    ]);
    let mut total = (0, 0, 0);
    for Found { id, meta, state } in &blocks {
        let Some(meta) = meta else {
            let unknown = std::iter::repeat_n(String::new(), 9);
            table.row([id.to_string()].into_iter().chain(unknown).chain([state.clone()]));
            continue;
        };
        total = (total.0 + meta.series, total.1 + meta.samples, total.2 + bytes(meta));
        table.row([
            id.to_string(),
            meta.shard.to_string(),
            meta.level.to_string(),
            resolution(meta.resolution_ms),
            time(meta.range.start.0),
            time(meta.range.end.0),
            meta.series.to_string(),
            meta.samples.to_string(),
            bytes(meta).to_string(),
            bytes_per_sample(bytes(meta), meta.samples),
            state.clone(),
        ]);
    }
    table.print(out)?;
    let (series, samples, bytes) = total;
    let mean = bytes_per_sample(bytes, samples);
    let mean = if mean.is_empty() { mean } else { format!(", {mean} B/sample") };
    writeln!(out, "{} blocks, {series} series, {samples} samples, {bytes} bytes{mean}", blocks.len())?;
    Ok(())
}
