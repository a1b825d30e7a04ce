//! Faults that a test switches on and off while the server runs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The switches. All are off at first.
#[derive(Default)]
pub struct Faults {
    slow_next: AtomicU64,
    slow_all: AtomicBool,
    delay_micros: AtomicU64,
    drop_next: AtomicU64,
}

impl Faults {
    /// Answers the next `count` requests with 503 `SlowDown`, and does not carry them out.
    pub fn slow_down_next(&self, count: u64) {
        self.slow_next.store(count, Ordering::SeqCst);
    }

    /// Answers every request with 503 `SlowDown` until [`Faults::clear`].
    pub fn slow_down(&self) {
        self.slow_all.store(true, Ordering::SeqCst);
    }

    /// Waits so long before each request is looked at.
    pub fn delay(&self, delay: Duration) {
        self.delay_micros.store(delay.as_micros() as u64, Ordering::SeqCst);
    }

    /// Carries out the next `count` successful PUT requests and closes their connections instead of answering, so that
    /// the writer cannot know what became of them.
    pub fn drop_after_put_next(&self, count: u64) {
        self.drop_next.store(count, Ordering::SeqCst);
    }

    /// Switches everything off.
    pub fn clear(&self) {
        self.slow_next.store(0, Ordering::SeqCst);
        self.slow_all.store(false, Ordering::SeqCst);
        self.delay_micros.store(0, Ordering::SeqCst);
        self.drop_next.store(0, Ordering::SeqCst);
    }

    pub(super) fn take_slow_down(&self) -> bool {
        self.slow_all.load(Ordering::SeqCst) || take(&self.slow_next)
    }

    pub(super) fn take_drop(&self) -> bool {
        take(&self.drop_next)
    }

    pub(super) fn current_delay(&self) -> Duration {
        Duration::from_micros(self.delay_micros.load(Ordering::SeqCst))
    }
}

/// Takes one of what is left.
fn take(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}
