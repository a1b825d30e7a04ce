//! Writes the index; the bytes are specified in `docs/formats/block.md`, section "Index".

use model::varint;

use super::postings::PostingsWriter;
use crate::order::LabelTable;

/// Returns the index of series whose position `rows[i]` in the table stands in row `i`.
///
/// # Errors
/// A sentence when an FST cannot be built.
pub(crate) fn encode(table: &LabelTable, rows: &[u32]) -> Result<Vec<u8>, String> {
    let mut postings: Vec<Vec<PostingsWriter>> =
        table.values.iter().map(|values| vec![PostingsWriter::default(); values.len()]).collect();
    for (row, series) in rows.iter().enumerate() {
        for cell in table.cells(*series as usize) {
            postings[cell.name as usize][cell.value as usize].push(row as u32);
        }
    }
    let mut bytes = Vec::new();
    varint::push_unsigned(&mut bytes, rows.len() as u64);
    varint::push_unsigned(&mut bytes, table.names.len() as u64);
    for ((name, values), writers) in table.names.iter().zip(&table.values).zip(postings) {
        let mut fst = fst::MapBuilder::memory();
        let mut lists = Vec::new();
        for (value, writer) in values.iter().zip(writers) {
            fst.insert(&**value, lists.len() as u64).map_err(|e| e.to_string())?;
            writer.finish(&mut lists);
        }
        varint::push_bytes(&mut bytes, name.as_bytes());
        varint::push_unsigned(&mut bytes, values.len() as u64);
        varint::push_bytes(&mut bytes, &fst.into_inner().map_err(|e| e.to_string())?);
        varint::push_bytes(&mut bytes, &lists);
    }
    Ok(bytes)
}
