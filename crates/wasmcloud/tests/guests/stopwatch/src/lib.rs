//! How long calls in a loop take: each by itself, or all of them together.

use std::time::Instant;

/// A watch that runs.
pub struct Stopwatch {
    begun: Instant,
    last: Instant,
    each: Option<Vec<u64>>,
}

impl Stopwatch {
    /// Starts it for so many calls. Looking at the clock takes time too, so it is done after each of them only if asked for.
    pub fn start(count: u32, each: bool) -> Self {
        let each = each.then(|| Vec::with_capacity(count as usize));
        let begun = Instant::now();
        Self {
            begun,
            last: begun,
            each,
        }
    }

    /// A call is over, and the next one begins.
    pub fn lap(&mut self) {
        if let Some(each) = &mut self.each {
            let now = Instant::now();
            each.push(nanoseconds(self.last, now));
            self.last = now;
        }
    }

    /// The nanoseconds of each call, or of all of them together.
    pub fn stop(self) -> Vec<u64> {
        let whole = nanoseconds(self.begun, Instant::now());
        self.each.unwrap_or_else(|| vec![whole])
    }
}

fn nanoseconds(from: Instant, to: Instant) -> u64 {
    u64::try_from((to - from).as_nanos()).unwrap_or(u64::MAX)
}
