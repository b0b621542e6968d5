//! Waiting for a condition, under a deadline.

use std::time::{Duration, Instant};

/// How long a test waits for what should come at once, on a busy machine.
pub const SOON: Duration = Duration::from_secs(180);
/// How often it looks.
const PACE: Duration = Duration::from_millis(25);

/// Waits until `look` finds something.
///
/// # Panics
/// If it has found nothing by then.
pub async fn until<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < limit, "waited {} s in vain: {what}", limit.as_secs());
        tokio::time::sleep(PACE).await;
    }
}
