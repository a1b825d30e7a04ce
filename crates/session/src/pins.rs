//! Which versions of the control state are read from: a block that one of them names is not deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// Versions in use, with how often; bounded by the queries that run.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    held: Mutex<BTreeMap<u64, usize>>,
}

/// Holds one version for as long as it lives; see [`crate::Session::pin`].
#[derive(Debug)]
pub struct Pin {
    pins: Arc<Pins>,
    version: u64,
}

impl Pins {
    /// Pins what `take` returns, a version that never falls from one call to the next.
    pub(crate) fn pin<T>(self: &Arc<Self>, take: impl FnOnce() -> (u64, T)) -> (T, Pin) {
        // Taken under the lock: a version that is not counted yet is not older than any that was.
        let mut held = self.held.lock();
        let (version, taken) = take();
        *held.entry(version).or_default() += 1;
        (taken, Pin { pins: Arc::clone(self), version })
    }

    /// Returns the oldest version that is held now or may be taken later.
    pub(crate) fn oldest(&self, current: impl FnOnce() -> u64) -> u64 {
        let held = self.held.lock();
        let current = current();
        held.first_key_value().map_or(current, |(version, _)| current.min(*version))
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut held = self.pins.held.lock();
        if let Some(count) = held.get_mut(&self.version) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.version);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_version_is_held_until_its_last_reader_is_gone() {
        let pins = Arc::<Pins>::default();
        assert_eq!(pins.oldest(|| 7), 7);
        let (_, first) = pins.pin(|| (7, ()));
        let (_, second) = pins.pin(|| (7, ()));
        let (_, third) = pins.pin(|| (9, ()));
        assert_eq!(pins.oldest(|| 12), 7);
        drop(first);
        assert_eq!(pins.oldest(|| 12), 7);
        drop(second);
        assert_eq!(pins.oldest(|| 12), 9);
        drop(third);
        assert_eq!(pins.oldest(|| 12), 12);
    }
}
