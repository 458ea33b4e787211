//! How a service is asked to come to its end. WASI has no signals; what a guest can see is that its standard input ends, and that
//! nobody connects any more.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Whether a service was asked to end, and whether it would notice.
#[derive(Debug, Default)]
pub struct Farewell {
    said: CancellationToken,
    heard: AtomicBool,
}

impl Farewell {
    /// Completes when the service is asked to end. Called by what shows that to the guest: from now on it is waited for.
    pub fn hear(&self) -> WaitForCancellationFutureOwned {
        self.heard.store(true, Ordering::Release);
        self.said.clone().cancelled_owned()
    }

    /// Completes when the service is asked to end, whether or not the guest would notice.
    pub async fn said(&self) {
        self.said.cancelled().await;
    }

    /// A new life of the service begins, which has not looked at anything yet.
    pub fn begin(&self) {
        self.heard.store(false, Ordering::Release);
    }

    /// Whether the service was asked to end.
    #[must_use]
    pub fn is_said(&self) -> bool {
        self.said.is_cancelled()
    }

    /// Asks the service to end. Says whether the guest looks at anything that would tell it.
    pub fn say(&self) -> bool {
        self.said.cancel();
        self.heard.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_service_that_looks_at_nothing_is_not_waited_for() {
        let farewell = Farewell::default();
        assert!(!farewell.is_said());
        assert!(!farewell.say());
        assert!(farewell.is_said());
    }

    #[tokio::test]
    async fn one_that_looks_is_told() {
        let farewell = Farewell::default();
        let told = farewell.hear();
        assert!(farewell.say());
        told.await;
    }
}
