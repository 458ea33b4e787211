//! Trying again: what may pass, after a while, and not for ever.

use std::future::Future;
use std::time::{Duration, SystemTime};

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
        let Retries { first, longest, .. } = self.retries;
        let doubled = 2_u32.saturating_pow(self.count.saturating_sub(1).min(16));
        let usual = first.saturating_mul(doubled).min(longest);
        // Half of it is random, so that hosts that failed together do not come back together, however often they have failed.
        let usual = usual.mul_f64(0.5 + fastrand::f64() / 2.0);
        usual.max(wanted.unwrap_or_default()).min(longest)
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

/// How long a registry wants to be left alone: for so many seconds, or until a date. Whatever else it says does not count.
pub(super) fn after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = text.parse::<u64>().ok().map(Duration::from_secs);
    seconds.or_else(|| until(text, SystemTime::now()))
}

/// How long it is until a date, in any of the forms that HTTP has for it. No time at all, once it has passed.
fn until(date: &str, now: SystemTime) -> Option<Duration> {
    let date = httpdate::parse_http_date(date).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
    fn hosts_that_failed_together_do_not_come_back_together() {
        fastrand::seed(7);
        let retries = Retries::default();
        // Also those that have failed so often that they wait as long as anybody ever does.
        for (count, most) in [(1, retries.first), (99, retries.longest)] {
            let failures = Failures { retries, count };
            let waits: BTreeSet<Duration> = (0..1000).map(|_| failures.pause(None)).collect();
            assert!(waits.len() > 900, "{count}: {} of 1000 differ", waits.len());
            let (least, last) = (waits.first().unwrap(), waits.last().unwrap());
            assert!(*least >= most / 2 && *last <= most, "{least:?} {last:?}");
            // They are spread over all of the half that is random.
            let is_spread = *least < most * 5 / 8 && *last > most * 7 / 8;
            assert!(is_spread, "{least:?} {last:?}");
        }
    }

    /// How long the first wait is where a registry says that.
    fn told(text: &str) -> Duration {
        let failures = Failures {
            retries: Retries::default(),
            count: 1,
        };
        let headers = [(RETRY_AFTER, text.parse().unwrap())];
        failures.pause(after(&headers.into_iter().collect()))
    }

    #[test]
    fn a_registry_says_how_long_within_reason() {
        assert_eq!(told("7"), Duration::from_secs(7));
        assert_eq!(told("86400"), Duration::from_secs(60));
        let in_an_hour = SystemTime::now() + Duration::from_secs(3600);
        let in_an_hour = httpdate::fmt_http_date(in_an_hour);
        assert_eq!(told(&in_an_hour), Duration::from_secs(60));
        let passed = "Sun, 06 Nov 1994 08:49:37 GMT";
        for usual in ["0", "-1", "soon", passed] {
            assert!(told(usual) <= Duration::from_millis(250), "{usual}");
        }
    }

    #[test]
    fn a_date_is_waited_for_and_one_that_has_passed_is_now() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let until = |date| until(date, now).map(|wait| wait.as_secs());
        for date in [
            "Sun, 06 Nov 1994 08:49:47 GMT",
            "Sunday, 06-Nov-94 08:49:47 GMT",
            "Sun Nov  6 08:49:47 1994",
        ] {
            assert_eq!(until(date), Some(10), "{date}");
        }
        for passed in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sat, 05 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(until(passed), Some(0), "{passed}");
        }
        for none in [
            "",
            "soon",
            "1994-11-06T08:49:47Z",
            "Mon, 06 Nov 1994 08:49:47 GMT",
            "Sun, 31 Feb 1994 08:49:47 GMT",
        ] {
            assert_eq!(until(none), None, "{none}");
        }
    }
}
