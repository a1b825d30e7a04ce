//! A bar on standard error that says how far a long command has come; only where a person sees it.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};

/// How many characters the bar has.
const BAR: usize = 30;

/// Counts bytes up to a total that is known from the start.
pub(super) struct Progress {
    total: u64,
    done: AtomicU64,
    is_shown: bool,
}

impl Progress {
    pub(super) fn new(total: u64) -> Self {
        Self { total, done: AtomicU64::new(0), is_shown: std::io::stderr().is_terminal() }
    }

    /// Counts so many bytes more.
    pub(super) fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if self.is_shown {
            // That the bar cannot be drawn is no reason to stop.
            let _ = write!(std::io::stderr(), "\r{}", bar(done, self.total));
        }
    }

    /// Makes room for other output.
    pub(super) fn clear(&self) {
        if self.is_shown {
            let _ = write!(std::io::stderr(), "\r{:1$}\r", "", bar(self.total, self.total).len());
        }
    }
}

fn bar(done: u64, total: u64) -> String {
    let share = if total == 0 { 1.0 } else { (done as f64 / total as f64).min(1.0) };
    let filled = (share * BAR as f64) as usize;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    format!(
        "[{:<BAR$}] {:>3.0} %  {:.1} of {:.1} MiB",
        "#".repeat(filled),
        share * 100.0,
        mib(done),
        mib(total)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_from_the_left() {
        assert_eq!(bar(0, 2 << 20), format!("[{}]   0 %  0.0 of 2.0 MiB", " ".repeat(30)));
        assert_eq!(
            bar(1 << 20, 2 << 20),
            format!("[{}{}]  50 %  1.0 of 2.0 MiB", "#".repeat(15), " ".repeat(15))
        );
        assert_eq!(bar(0, 0), format!("[{}] 100 %  0.0 of 0.0 MiB", "#".repeat(30)));
    }
}
