//! Trying again: what may pass, after a while, and not for ever.

use std::future::Future;
use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

use super::error::RegistryError;
use crate::registry::settings::Retries;

/// How often something has failed in a row.
pub(super) struct Failures {
    retries: Retries,
    count: u32,
}

impl Failures {
    pub(super) fn new(retries: Retries) -> Self {
        Self { retries, count: 0 }
    }

    /// Something went well: it is counted from the beginning.
    pub(super) fn forget(&mut self) {
        self.count = 0;
    }

    /// Waits until it may be tried again.
    ///
    /// # Errors
    /// When the failure does not pass, or has come too often.
    pub(super) async fn wait(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        self.count = self.count.saturating_add(1);
        if self.count >= self.retries.attempts || !error.may_pass() {
            return Err(error);
        }
        let wait = self.pause(error.after());
        tracing::debug!(%error, ?wait, attempt = self.count, "a registry is asked again");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// What the registry wants, but not less than usual, and never longer than the longest.
    fn pause(&self, wanted: Option<Duration>) -> Duration {
        let doubled = 2_u32.saturating_pow(self.count.saturating_sub(1).min(16));
        let usual = self.retries.first.saturating_mul(doubled);
        // Half of it is random, so that hosts that failed together do not come back together.
        let usual = usual.mul_f64(0.5 + fastrand::f64() / 2.0);
        usual
            .max(wanted.unwrap_or_default())
            .min(self.retries.longest)
    }
}

/// Does something until it works, or fails for good.
pub(in crate::registry) async fn persist<T, F>(
    retries: Retries,
    mut once: impl FnMut() -> F,
) -> Result<T, RegistryError>
where
    F: Future<Output = Result<T, RegistryError>>,
{
    let mut failures = Failures::new(retries);
    loop {
        match once().await {
            Ok(done) => return Ok(done),
            Err(error) => failures.wait(error).await?,
        }
    }
}

/// How long a registry wants to be left alone. One that tells a date is waited for as usual.
pub(super) fn after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_with_a_random_part_up_to_the_longest() {
        let retries = Retries::default();
        for (count, usual) in [
            (1, 250),
            (2, 500),
            (3, 1000),
            (9, 60_000),
            (u32::MAX, 60_000),
        ] {
            let failures = Failures { retries, count };
            let pause = failures.pause(None);
            let usual = Duration::from_millis(usual);
            assert!(pause <= usual && pause >= usual / 2, "{count}: {pause:?}");
        }
    }

    #[test]
    fn a_registry_says_how_long_within_reason() {
        let failures = Failures {
            retries: Retries::default(),
            count: 1,
        };
        let pause = |text: &str| {
            let headers = [(RETRY_AFTER, text.parse().unwrap())];
            failures.pause(after(&headers.into_iter().collect()))
        };
        assert_eq!(pause("7"), Duration::from_secs(7));
        assert_eq!(pause("86400"), Duration::from_secs(60));
        for usual in ["0", "-1", "soon", "Wed, 21 Oct 2065 07:28:00 GMT"] {
            assert!(pause(usual) <= Duration::from_millis(250), "{usual}");
        }
    }
}
