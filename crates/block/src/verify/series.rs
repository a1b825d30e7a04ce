//! `series.parquet` by itself: what it says of its block, the order of its rows, and its label columns against its index.

use std::cmp::Ordering;

use bytes::Bytes;
use model::{BlockMeta, LabelSet};
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
use parquet::file::metadata::KeyValue;
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::build::rows_hash;
use crate::describe::entry;
use crate::error::BlockError;
use crate::index::LabelIndex;
use crate::layout;
use crate::place::Place;
use crate::series::{SeriesFile, key_values, read_column};

/// Checks a file that was decoded; returns how many samples each row is said to have, and what is wrong.
pub(super) fn check(meta: &BlockMeta, series: &SeriesFile, bytes: &Bytes) -> (Vec<i32>, Vec<BlockError>) {
    let key = &meta.series_object.key;
    let file = match SerializedFileReader::new(bytes.clone()) {
        Ok(file) => file,
        Err(error) => return (Vec::new(), vec![BlockError::corrupt(key, Place::Footer, error)]),
    };
    let samples = read_column::<Int32Type>(&file, layout::SAMPLES_COLUMN, series.rows());
    let entries = key_values(file.metadata());
    let labels: Result<Vec<LabelSet>, String> =
        (0..series.rows()).map(|row| series.index.labels(row)).collect();
    let mut checks = vec![(Place::Metadata, described(meta, entries))];
    match &labels {
        Ok(labels) => {
            checks.push((Place::Metadata, hashed(series, labels)));
            checks.push((Place::Metadata, sorted(entries, &series.index)));
            checks.push((Place::Section("index"), within(meta, labels)));
            checks.extend(columns(&file, &series.index, labels));
        }
        Err(reason) => checks.push((Place::Section("index"), Err(reason.clone()))),
    }
    if !series.metadata.is_sorted_by(|a, b| a < b) {
        let reason = "is not sorted, or has an entry twice".to_owned();
        checks.push((Place::Section("metadata"), Err(reason)));
    }
    let faults = checks.into_iter().filter_map(|(place, checked)| Some((place, checked.err()?)));
    let faults = faults.map(|(place, reason)| BlockError::corrupt(key, place, reason)).collect();
    (samples.unwrap_or_default(), faults)
}

/// Holds what the file says of its block against the catalogue.
fn described(meta: &BlockMeta, entries: &[KeyValue]) -> Result<(), String> {
    let (series, chunks) = (&meta.series_object, &meta.chunks_object);
    let mut own = entry(entries, &series.key, &chunks.key, series.size_bytes)?;
    own.series_object.crc32c = series.crc32c;
    if own == *meta {
        return Ok(());
    }
    let fields = |meta: &BlockMeta| serde_json::to_value(meta).unwrap_or_default();
    let (own, catalogue) = (fields(&own), fields(meta));
    let names = own.as_object().into_iter().chain(catalogue.as_object()).flat_map(|object| object.keys());
    let mut differing: Vec<String> = names
        .filter(|name| own.get(*name) != catalogue.get(*name))
        .map(|name| format!("{name} is {}, in the catalogue {}", own[name], catalogue[name]))
        .collect();
    differing.sort_unstable();
    differing.dedup();
    Err(differing.join("; "))
}

fn hashed(series: &SeriesFile, labels: &[LabelSet]) -> Result<(), String> {
    let hash = format!("{:032x}", rows_hash(labels.iter()));
    if hash == series.rows_xxh3 {
        return Ok(());
    }
    Err(format!("{} is {}, its rows have {hash}", layout::KV_ROWS_XXH3, series.rows_xxh3))
}

/// Holds the order of rows against the labels that they are said to be sorted by.
fn sorted(entries: &[KeyValue], index: &LabelIndex) -> Result<(), String> {
    let by: Vec<String> = layout::lookup_json(entries, layout::KV_SORT_LABELS)?;
    let mut names: Vec<&str> = by.iter().map(String::as_str).collect();
    names.sort_unstable();
    if !names.iter().copied().eq(index.names()) {
        return Err(format!("{} are not the labels of the index", layout::KV_SORT_LABELS));
    }
    // Pairs of one name ascend with its values, so rows compare by pairs.
    let ranges: Vec<_> = by.iter().map(|name| index.pairs_of(name)).collect();
    let compare = |a: u32, b: u32| {
        let pair = |row: u32, of: &std::ops::Range<u32>| {
            index.pairs_of_row(row).iter().copied().find(|pair| of.contains(pair))
        };
        let order = ranges.iter().map(|of| pair(a, of).cmp(&pair(b, of)));
        order.into_iter().find(|order| *order != Ordering::Equal).unwrap_or(Ordering::Equal)
    };
    match (1..index.rows()).find(|row| compare(row - 1, *row) != Ordering::Less) {
        Some(row) => Err(format!("row {row} does not sort behind the row before it")),
        None => Ok(()),
    }
}

/// Holds the rows against the part of the shard that the block may hold.
fn within(meta: &BlockMeta, labels: &[LabelSet]) -> Result<(), String> {
    let is_within =
        |labels: &LabelSet| meta.sort_range.contains(labels.metric_name(), || labels.stable_hash());
    match labels.iter().position(|labels| !is_within(labels)) {
        Some(row) => {
            Err(format!("row {row}, {}, lies outside of the block's part of the shard", labels[row]))
        }
        None => Ok(()),
    }
}

/// Holds the label columns, which other programs read, against the index, which this one reads.
fn columns(
    file: &SerializedFileReader<Bytes>,
    index: &LabelIndex,
    labels: &[LabelSet],
) -> Vec<(Place, Result<(), String>)> {
    let schema = file.metadata().file_metadata().schema_descr();
    let columns: Vec<String> = schema.columns().iter().map(|column| column.name().to_owned()).collect();
    let own = |name: &str| {
        columns
            .iter()
            .any(|c| c.strip_prefix(layout::LABEL_COLUMN_PREFIX) == Some(name) && c != layout::REST_COLUMN)
    };
    let has_rest = columns.iter().any(|column| column == layout::REST_COLUMN);
    let mut checks = Vec::new();
    for (number, column) in columns.iter().enumerate() {
        let Some(name) = column.strip_prefix(layout::LABEL_COLUMN_PREFIX) else { continue };
        let is_rest = column == layout::REST_COLUMN;
        let expected = |labels: &LabelSet| -> Vec<u8> {
            if is_rest {
                let rest = labels.into_iter().filter(|(name, _)| !own(name));
                LabelSet::from_pairs(rest).as_bytes().to_vec()
            } else {
                labels.get(name).as_bytes().to_vec()
            }
        };
        let checked = optional(file, number, labels.len()).and_then(|values| {
            let is_right =
                |row: usize| values[row].as_ref().map_or(&[][..], ByteArray::data) == expected(&labels[row]);
            match (0..labels.len()).find(|row| !is_right(*row)) {
                Some(row) => Err(format!("row {row} is not what the index says: {}", labels[row])),
                None => Ok(()),
            }
        });
        checks.push((Place::Column(column.clone()), checked));
    }
    if let Some(name) = index.names().find(|name| !own(name) && !has_rest) {
        checks.push((Place::Footer, Err(format!("no column has the label {name:?}"))));
    }
    checks
}

/// Reads an optional column of texts.
fn optional(
    file: &SerializedFileReader<Bytes>,
    column: usize,
    rows: usize,
) -> Result<Vec<Option<ByteArray>>, String> {
    let mut all = Vec::with_capacity(rows);
    for group in 0..file.num_row_groups() {
        let group = file.get_row_group(group).map_err(|e| e.to_string())?;
        let reader = group.get_column_reader(column).map_err(|e| e.to_string())?;
        let mut reader = get_typed_column_reader::<ByteArrayType>(reader);
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        let wanted = rows.saturating_sub(all.len());
        reader.read_records(wanted, Some(&mut levels), None, &mut values).map_err(|e| e.to_string())?;
        let mut values = values.into_iter();
        all.extend(levels.into_iter().map(|level| if level > 0 { values.next() } else { None }));
    }
    if all.len() != rows {
        return Err(format!("{} rows, expected {rows}", all.len()));
    }
    Ok(all)
}
