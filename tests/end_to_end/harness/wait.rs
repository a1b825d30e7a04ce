//! Waiting for conditions.

use std::time::{Duration, Instant};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// When a wait counts as hung. No test passes or fails by how long something takes: this only ends what never ends.
const HUNG: Duration = Duration::from_secs(180);

/// Looks again and again until `look` returns something, and returns that.
///
/// # Panics
/// With what it was waiting for and the last reason why not, when it hangs.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(reason) => assert!(began.elapsed() < HUNG, "waited in vain for {what}: {reason}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
