//! Tables for people: columns as wide as their widest cell, numbers to the right.

use std::io::{self, Write};

use jiff::Timestamp;

/// Rows of cells under a heading.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
        let width = |column: usize| {
            self.rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or_default()
        };
        let is_number = |cell: String| cell.is_empty() || cell.parse::<f64>().is_ok();
        let right: Vec<bool> = (0..columns)
            .map(|column| self.rows.iter().skip(1).all(|row| is_number(cell(row, column))))
            .collect();
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for column in 0..columns {
                let (text, width) = (cell(row, column), widths[column]);
                let text = if right[column] { format!("{text:>width$}") } else { format!("{text:<width$}") };
                line.push_str(&text);
                line.push_str("  ");
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Writes a time as people do, in UTC; milliseconds only where there are some.
pub(super) fn time(time_ms: i64) -> String {
    Timestamp::from_millisecond(time_ms).map_or_else(|_| format!("{time_ms} ms"), |time| time.to_string())
}

/// Writes a resolution: `raw`, or the length of a slot.
pub(super) fn resolution(resolution_ms: i64) -> String {
    match u64::try_from(resolution_ms) {
        Ok(ms @ 1..) => model::time::format_duration_ms(ms),
        _ => "raw".to_owned(),
    }
}

/// Writes how many bytes a sample takes.
pub(super) fn bytes_per_sample(bytes: u64, samples: u64) -> String {
    if samples == 0 { String::new() } else { format!("{:.3}", bytes as f64 / samples as f64) }
}
