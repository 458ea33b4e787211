//! How long calls in a loop take, as the guests take it.

use std::time::{Duration, Instant};

/// Calls of one kind, made one after another.
pub(crate) trait Call: Send + 'static {
    /// One more.
    fn call(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// So many calls one after another: the nanoseconds of each, or of all of them together. Looking at the clock takes time too.
pub(crate) async fn in_a_row(
    mut call: impl Call,
    count: u32,
    each: bool,
) -> anyhow::Result<Vec<u64>> {
    let begun = Instant::now();
    if !each {
        for _ in 0..count {
            call.call().await?;
        }
        return Ok(vec![nanoseconds(begun.elapsed())]);
    }
    let (mut times, mut last) = (Vec::with_capacity(count as usize), begun);
    for _ in 0..count {
        call.call().await?;
        let now = Instant::now();
        times.push(nanoseconds(now - last));
        last = now;
    }
    Ok(times)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counted(std::sync::Arc<std::sync::atomic::AtomicU32>);

    impl Call for Counted {
        async fn call(&mut self) -> anyhow::Result<()> {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        }
    }

    #[tokio::test]
    async fn each_call_has_a_time_or_all_have_one() {
        let made = std::sync::Arc::default();
        for (each, times) in [(true, 7), (false, 1)] {
            let call = Counted(std::sync::Arc::clone(&made));
            assert_eq!(in_a_row(call, 7, each).await.unwrap().len(), times);
        }
        assert_eq!(made.load(std::sync::atomic::Ordering::Relaxed), 14);
    }
}
