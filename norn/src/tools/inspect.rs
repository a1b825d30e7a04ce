//! `norn bucket inspect`.

use std::io::Write;

use block::{FileLayout, Inspection};
use model::{BlockId, BlockMeta};
use serde::Serialize;

use super::place::Place;
use super::table::{Table, bytes_per_sample, resolution, time};
use super::{Stop, print_json};
use crate::cli::{InspectFlags, Output};
use crate::fault::Fault;

#[derive(Serialize)]
struct Inspected<'a> {
    meta: &'a BlockMeta,
    #[serde(flatten)]
    layout: &'a Inspection,
}

pub(super) async fn run(flags: &InspectFlags, out: &mut dyn Write) -> Result<(), Stop> {
    let id: BlockId = flags.block.parse().map_err(Fault::usage)?;
    let place = Place::open(&flags.place).await?;
    let meta = place.block(id).await?;
    let layout = block::inspect(&*place.reader()?, &meta).await?;
    if flags.output == Output::Json {
        return print_json(out, &Inspected { meta: &meta, layout: &layout });
    }
    summary(&meta, out)?;
    for file in [&layout.series, &layout.chunks] {
        print_file(file, out)?;
    }
    writeln!(out, "\nembedded in series.parquet")?;
    let mut table = Table::new(&["SECTION", "OFFSET", "BYTES", "UNPACKED"]);
    for section in &layout.sections {
        let numbers = [section.offset, section.bytes, section.raw_bytes].map(|number| number.to_string());
        table.row([section.name.to_owned()].into_iter().chain(numbers));
    }
    table.print(out)?;
    writeln!(out, "\nlabels in the index, unpacked")?;
    let mut table = Table::new(&["LABEL", "VALUES", "VALUE BYTES", "ROW LIST BYTES"]);
    for label in &layout.labels {
        let numbers = [u64::from(label.values), label.fst_bytes, label.postings_bytes];
        table.row([label.name.clone()].into_iter().chain(numbers.map(|number| number.to_string())));
    }
    Ok(table.print(out)?)
}

fn summary(meta: &BlockMeta, out: &mut dyn Write) -> Result<(), Stop> {
    let bytes = meta.series_object.size_bytes + meta.chunks_object.size_bytes;
    writeln!(out, "block    {}", meta.id)?;
    writeln!(out, "shard    {}, level {}, {}", meta.shard, meta.level, resolution(meta.resolution_ms))?;
    writeln!(out, "range    {} to {}", time(meta.range.start.0), time(meta.range.end.0))?;
    writeln!(out, "content  {} series, {} samples", meta.series, meta.samples)?;
    let mean = bytes_per_sample(bytes, meta.samples);
    let mean = if mean.is_empty() { mean } else { format!(", {mean} a sample") };
    writeln!(out, "size     {bytes} bytes{mean}")?;
    Ok(())
}

fn print_file(file: &FileLayout, out: &mut dyn Write) -> Result<(), Stop> {
    let FileLayout { key, size_bytes, tail_bytes, row_groups, rows, .. } = file;
    writeln!(
        out,
        "\n{key}: {size_bytes} bytes, {tail_bytes} of them footer and page index; {rows} rows in {row_groups} row groups"
    )?;
    for (key, value) in &file.key_values {
        writeln!(out, "  {key} = {value}")?;
    }
    let mut table = Table::new(&["COLUMN", "PAGES", "BYTES", "UNPACKED", "ENCODINGS"]);
    for column in &file.columns {
        table.row([
            column.name.clone(),
            column.pages.to_string(),
            column.bytes.to_string(),
            column.raw_bytes.to_string(),
            column.encodings.join(" "),
        ]);
    }
    Ok(table.print(out)?)
}
