//! How large the parts of an index are, for people who wonder what a label costs.

use model::varint::{Cursor, ReadError};
use serde::Serialize;

/// What one label takes in the index, before compression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelLayout {
    /// The label's name.
    pub name: String,
    /// Distinct values.
    pub values: u32,
    /// Bytes of the values.
    pub fst_bytes: u64,
    /// Bytes of the lists of rows.
    pub postings_bytes: u64,
}

/// Reads the sizes of all labels out of an index.
///
/// # Errors
/// A sentence that says where the bytes are wrong.
pub(crate) fn sizes(index: &[u8]) -> Result<Vec<LabelLayout>, String> {
    let mut cursor = Cursor::new(index);
    let mut read = || -> Result<Vec<LabelLayout>, ReadError> {
        let _rows = cursor.u32()?;
        let names = cursor.count(super::read::NAME_BYTES_MIN)?;
        let mut labels = Vec::new();
        for _ in 0..names {
            labels.push(LabelLayout {
                name: cursor.text()?.to_owned(),
                values: cursor.u32()?,
                fst_bytes: cursor.bytes()?.len() as u64,
                postings_bytes: cursor.bytes()?.len() as u64,
            });
        }
        Ok(labels)
    };
    read().map_err(|e| format!("index {e}"))
}
