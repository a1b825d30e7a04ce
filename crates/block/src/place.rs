//! Where in a block damage was found: what a person looks for, and how far the damage reaches.

use std::fmt;

/// A place in an object of a block.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// The object as a whole: its size, its checksum, or that it is there at all.
    Object,
    /// A read that came short.
    Bytes {
        /// First byte.
        start: u64,
        /// The byte after the last.
        end: u64,
    },
    /// What the catalogue says of the object.
    CatalogueEntry,
    /// Parquet's footer with the page index.
    Footer,
    /// Key-value metadata.
    Metadata,
    /// An embedded section of `series.parquet`.
    Section(&'static str),
    /// A column of `series.parquet`.
    Column(String),
    /// A page of `chunks.parquet`.
    Page {
        /// Name of its column.
        column: String,
        /// First of its rows.
        first_row: u32,
        /// Last of its rows, inclusive.
        last_row: u32,
    },
    /// One value of `chunks.parquet`, in a page that is as it was written.
    Value {
        /// Name of its column.
        column: String,
        /// Its row.
        row: u32,
    },
    /// A series whose samples cannot be merged.
    Series(String),
}

impl Place {
    /// Returns what kind of place it is, one of a fixed few words, as metrics label it.
    pub fn part(&self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Bytes { .. } => "bytes",
            Self::CatalogueEntry => "catalogue_entry",
            Self::Footer => "footer",
            Self::Metadata => "metadata",
            Self::Section(_) => "section",
            Self::Column(_) => "column",
            Self::Page { .. } => "page",
            Self::Value { .. } => "value",
            Self::Series(_) => "series",
        }
    }

    /// Returns whether the rest of the block can be read without this place.
    pub fn is_contained(&self) -> bool {
        matches!(self, Self::Page { .. } | Self::Value { .. } | Self::Series(_))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object => f.write_str("object"),
            Self::Bytes { start, end } => write!(f, "bytes {start} to {end}"),
            Self::CatalogueEntry => f.write_str("catalogue entry"),
            Self::Footer => f.write_str("footer"),
            Self::Metadata => f.write_str("metadata"),
            Self::Section(name) => write!(f, "section {name}"),
            Self::Column(name) => write!(f, "column {name}"),
            Self::Page { column, first_row, last_row } => {
                write!(f, "column {column}, rows {first_row} to {last_row}")
            }
            Self::Value { column, row } => write!(f, "column {column}, row {row}"),
            Self::Series(labels) => write!(f, "series {labels}"),
        }
    }
}
