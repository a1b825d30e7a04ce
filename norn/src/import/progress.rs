//! How far an import is: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How often a bar is drawn, at the most.
const BAR_PAUSE: Duration = Duration::from_millis(100);
/// How often a line is written, at the most.
const LINE_PAUSE: Duration = Duration::from_secs(10);
/// How many characters the bar has.
const BAR_WIDTH: u64 = 30;

/// Where the progress of samples out of `total` is told, on standard error.
pub(crate) struct Progress {
    total: u64,
    done: u64,
    began: Instant,
    told: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    /// Begins; `total` may be 0 when it is not known.
    pub(crate) fn new(total: u64) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { total, done: 0, began: Instant::now(), told: None, is_terminal }
    }

    /// Notes samples, and tells when it is time.
    pub(crate) fn add(&mut self, samples: u64, what: &str) {
        self.done += samples;
        let pause = if self.is_terminal { BAR_PAUSE } else { LINE_PAUSE };
        if self.told.is_none_or(|told| told.elapsed() >= pause) {
            self.told = Some(Instant::now());
            let text = text(self.done, self.total, self.began.elapsed(), what);
            if self.is_terminal {
                // Whoever does not read standard error misses nothing.
                let _ = write!(std::io::stderr(), "\r\x1b[K[{}] {text}", bar(self.done, self.total));
            } else {
                eprintln!("{text}");
            }
        }
    }

    /// Takes the bar away, so that a line can be written.
    pub(crate) fn clear(&mut self) {
        if self.is_terminal && self.told.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    /// Returns how long it has taken.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

fn bar(done: u64, total: u64) -> String {
    let filled = (u128::from(done.min(total)) * u128::from(BAR_WIDTH) / u128::from(total.max(1))) as usize;
    format!("{:=<filled$}{: <rest$}", "", "", rest = BAR_WIDTH as usize - filled)
}

fn text(done: u64, total: u64, elapsed: Duration, what: &str) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(1e-3);
    let percent = (u128::from(done.min(total)) * 100 / u128::from(total.max(1))) as u64;
    match total {
        0 => format!("{what}: {} samples, {}/s", short(done as f64), short(rate)),
        _ => format!(
            "{percent} % {what}: {} of {} samples, {}/s",
            short(done as f64),
            short(total as f64),
            short(rate)
        ),
    }
}

/// Writes a number with three digits or so.
pub(crate) fn short(number: f64) -> String {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    match units.iter().find(|(unit, _)| number >= *unit) {
        Some((unit, letter)) => format!("{:.1}{letter}", number / unit),
        None => format!("{number:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_the_bar_has_its_width() {
        assert_eq!([0.0, 999.0, 1234.0, 5.67e8, 2e13].map(short), ["0", "999", "1.2k", "567.0M", "20.0T"]);
        for (done, filled) in [(0, 0), (5, 15), (10, 30), (99, 30)] {
            let bar = bar(done, 10);
            assert_eq!((bar.len(), bar.matches('=').count()), (30, filled));
        }
        assert_eq!(bar(3, 0).len(), 30);
        let told = text(500, 1000, Duration::from_secs(2), "block a");
        assert_eq!(told, "50 % block a: 500 of 1.0k samples, 250/s");
    }
}
