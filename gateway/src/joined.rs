//! Equal work that is asked for at the same time is done once.
//!
//! Nobody owns the work: whoever waits drives it, so it goes on while at least one waiter is left and stops with the last.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use block::BlockError;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;

type Outcome<T> = Result<T, Arc<BlockError>>;
type Flight<T> = Shared<BoxFuture<'static, Outcome<T>>>;

/// Work under way, by key.
pub(crate) struct Joined<K, T> {
    flights: Mutex<HashMap<K, WeakShared<BoxFuture<'static, Outcome<T>>>>>,
}

/// Removes a flight from the map when it has landed or its last waiter left.
struct Waiting<'a, K: Clone + Eq + Hash, T: Clone> {
    joined: &'a Joined<K, T>,
    key: K,
    flight: Option<Flight<T>>,
}

impl<K: Clone + Eq + Hash, T: Clone> Drop for Waiting<'_, K, T> {
    fn drop(&mut self) {
        let mut flights = self.joined.flights.lock();
        self.flight = None;
        let over =
            |flight: &WeakShared<_>| flight.upgrade().is_none_or(|flight: Flight<T>| flight.peek().is_some());
        if flights.get(&self.key).is_some_and(over) {
            flights.remove(&self.key);
        }
    }
}

impl<K: Clone + Eq + Hash, T: Clone> Joined<K, T> {
    pub(crate) fn new() -> Self {
        Self { flights: Mutex::default() }
    }

    /// Does the work, or waits for the same work that is under way. Cancel-safe.
    ///
    /// # Errors
    /// The work's own; all who waited get the same.
    pub(crate) async fn run<F>(&self, key: K, work: impl FnOnce() -> F) -> Result<T, BlockError>
    where
        F: Future<Output = Result<T, BlockError>> + Send + 'static,
    {
        let flight = {
            let mut flights = self.flights.lock();
            let under_way = flights.get(&key).and_then(WeakShared::upgrade);
            // One that has landed may be of a time before the caller asked.
            under_way.filter(|flight| flight.peek().is_none()).unwrap_or_else(|| {
                let flight = work().map(|outcome| outcome.map_err(Arc::new)).boxed().shared();
                flights.extend(flight.downgrade().map(|weak| (key.clone(), weak)));
                flight
            })
        };
        let waiting = Waiting { joined: self, key, flight: Some(flight.clone()) };
        let outcome = flight.await;
        drop(waiting);
        outcome.map_err(BlockError::Shared)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn equal_work_is_done_once_and_again_afterwards() {
        let joined = Arc::new(Joined::<&str, usize>::new());
        let runs = Arc::new(AtomicUsize::new(0));
        let (go, wait) = oneshot::channel::<()>();
        let count = Arc::clone(&runs);
        let first = joined.run("key", || async move {
            wait.await.expect("sent below");
            Ok(count.fetch_add(1, Ordering::Relaxed) + 1)
        });
        let second = joined.run("key", || async { panic!("must join the first") });
        let other = joined.run("other", || async { Ok(100) });
        let release = async { go.send(()).expect("the first waits") };
        let (first, second, other, ()) = futures::join!(first, second, other, release);
        assert_eq!([first, second, other].map(|r| r.expect("no error")), [1, 1, 100]);
        assert_eq!(joined.run("key", || async { Ok(2) }).await.expect("no error"), 2);
        assert!(joined.flights.lock().is_empty());
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_forgotten() {
        let joined = Joined::<&str, usize>::new();
        let abandoned = joined.run("key", std::future::pending);
        assert!(abandoned.now_or_never().is_none());
        assert!(joined.flights.lock().is_empty());
        assert_eq!(joined.run("key", || async { Ok(1) }).await.expect("no error"), 1);
    }

    #[tokio::test]
    async fn all_who_waited_get_the_error() {
        let joined = Joined::<&str, usize>::new();
        let work = || async {
            tokio::task::yield_now().await;
            Err(BlockError::NotFound { object: "x".into() })
        };
        let (first, second) = futures::join!(joined.run("key", work), joined.run("key", work));
        for result in [first, second] {
            assert_eq!(result.expect_err("fails").to_string(), "object x does not exist");
        }
    }
}
