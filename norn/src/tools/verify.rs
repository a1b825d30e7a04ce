//! `norn bucket verify`.

use std::io::Write;

use block::Verification;
use model::{BlockId, BlockMeta};
use serde::Serialize;

use super::place::{Found, Place};
use super::progress::Progress;
use super::{Stop, print_json};
use crate::cli::{Output, VerifyFlags};
use crate::fault::Fault;

/// What was found of one block.
#[derive(Serialize)]
struct Verified {
    block: String,
    series: u64,
    samples: u64,
    bytes: u64,
    faults: Vec<Line>,
}

/// One fault.
#[derive(Serialize)]
struct Line {
    object: String,
    place: String,
    fault: String,
}

pub(super) async fn run(flags: &VerifyFlags, out: &mut dyn Write) -> Result<(), Stop> {
    let place = Place::open(&flags.place).await?;
    let reader = place.reader()?;
    let found = match flags.all {
        true => place.blocks().await?,
        false => named(&place, &flags.blocks).await?,
    };
    let size = |meta: &BlockMeta| meta.series_object.size_bytes + meta.chunks_object.size_bytes;
    let progress = Progress::new(found.iter().filter_map(|found| found.meta.as_ref()).map(size).sum());
    let (mut damaged, mut all) = (0, Vec::new());
    for Found { id, meta, state } in &found {
        let verified = match meta {
            Some(meta) => {
                let verified = block::verify(&*reader, meta, &|bytes| progress.add(bytes)).await;
                Verified::new(*id, &verified?)
            }
            None => Verified::unreadable(*id, state),
        };
        damaged += usize::from(!verified.faults.is_empty());
        if flags.output == Output::Table {
            progress.clear();
            print_lines(&verified, out)?;
        }
        all.push(verified);
    }
    progress.clear();
    if flags.output == Output::Json {
        print_json(out, &all)?;
    }
    match damaged {
        0 => Ok(()),
        damaged => Err(Fault::failed(format!("{damaged} of {} blocks are damaged", found.len())).into()),
    }
}

async fn named(place: &Place, ids: &[String]) -> Result<Vec<Found>, Stop> {
    let mut found = Vec::new();
    for id in ids {
        let id: BlockId = id.parse().map_err(Fault::usage)?;
        found.push(Found { id, meta: Some(place.block(id).await?), state: String::new() });
    }
    Ok(found)
}

fn print_lines(verified: &Verified, out: &mut dyn Write) -> Result<(), Stop> {
    let Verified { block, series, samples, bytes, faults } = verified;
    if faults.is_empty() {
        writeln!(out, "{block}  whole: {series} series, {samples} samples, {bytes} bytes")?;
    }
    for Line { object, place, fault } in faults {
        writeln!(out, "{block}  DAMAGED: {object}: {place}: {fault}")?;
    }
    // Each block takes a while, and its lines are worth seeing before the next.
    Ok(out.flush()?)
}

impl Verified {
    fn new(id: BlockId, found: &Verification) -> Self {
        let line = |error: &block::BlockError| {
            let text = service::chain(error);
            let (object, place) = error
                .damage()
                .map_or_else(Default::default, |(object, place)| (object.to_owned(), place.to_string()));
            let reason = text.split_once(&format!("{place}: ")).map(|(_, reason)| reason.to_owned());
            Line { object, place, fault: reason.unwrap_or(text) }
        };
        Self {
            block: id.to_string(),
            series: found.series,
            samples: found.samples,
            bytes: found.bytes,
            faults: found.faults.iter().map(line).collect(),
        }
    }

    /// A block that does not even tell what it is.
    fn unreadable(id: BlockId, state: &str) -> Self {
        let fault =
            Line { object: block::object_keys(id).0, place: "object".to_owned(), fault: state.to_owned() };
        Self { block: id.to_string(), series: 0, samples: 0, bytes: 0, faults: vec![fault] }
    }
}
