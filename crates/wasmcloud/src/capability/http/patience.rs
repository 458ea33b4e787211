//! How long a connection may keep the server waiting: for the head of a request, for the next request, and for the client to read.
//!
//! The socket and the requests note what happens; one timer of the connection looks at the notes. It is set anew only when something
//! is due earlier than it thought, so a request costs no timer.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Version;
use tokio::time::{Instant, Sleep};

use super::limits::HttpLimits;

/// What an HTTP/2 connection begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Further than any wait that somebody means.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Which HTTP the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    /// So much of [`PREFACE`] has come, and nothing else.
    Unknown(usize),
    Http1,
    Http2,
}

/// What happened on a connection so far.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    speaks: Speaks,
    /// Requests, and answers under way.
    in_flight: usize,
    /// Since when there are none.
    quiet_since: Instant,
    /// Since when a head is awaited of which something is there; at first, since the connection is.
    head_since: Option<Instant>,
    /// Since when the client takes nothing of what is to be written.
    blocked_since: Option<Instant>,
    /// Since when the connection is being closed.
    leaving_since: Option<Instant>,
}

/// What is due on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Tell the client that no more requests are taken.
    Leave,
    /// Drop the connection.
    Drop(&'static str),
    /// Look again: nothing is wrong so far.
    Look,
}

impl Activity {
    /// A connection that begins now.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State::new(Instant::now()))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the client sent.
    pub(super) fn received(&self, bytes: &[u8]) {
        self.state().received(bytes, Instant::now());
    }

    /// Notes whether the client takes what is to be written.
    pub(super) fn write_blocked(&self, blocked: bool) {
        self.state().blocked_since = blocked.then(Instant::now);
    }

    /// Whether a request is in flight.
    pub(super) fn is_busy(&self) -> bool {
        self.state().in_flight > 0
    }

    /// Notes that a request has come. It is in flight until the last clone of what this gives is dropped.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> Exchange {
        self.state().begin(version);
        Exchange(Arc::clone(self))
    }
}

impl Speaks {
    fn after(known: usize, bytes: &[u8]) -> Self {
        let rest = PREFACE.get(known..).unwrap_or_default();
        let common = rest.len().min(bytes.len());
        if rest.get(..common) != bytes.get(..common) {
            Self::Http1
        } else if common == rest.len() {
            Self::Http2
        } else {
            Self::Unknown(known + common)
        }
    }
}

impl State {
    fn new(now: Instant) -> Self {
        Self {
            speaks: Speaks::Unknown(0),
            in_flight: 0,
            quiet_since: now,
            head_since: Some(now),
            blocked_since: None,
            leaving_since: None,
        }
    }

    fn received(&mut self, bytes: &[u8], now: Instant) {
        if let Speaks::Unknown(known) = self.speaks {
            self.speaks = Speaks::after(known, bytes);
            if self.speaks == Speaks::Http2 {
                // From here on Hyper minds the time: a client in the middle of a head cannot answer pings.
                self.head_since = None;
                self.quiet_since = now;
            }
        }
        if self.in_flight == 0 && self.speaks == Speaks::Http1 && !bytes.is_empty() {
            self.head_since.get_or_insert(now);
        }
    }

    fn begin(&mut self, version: Version) {
        self.speaks = if version < Version::HTTP_2 {
            Speaks::Http1
        } else {
            Speaks::Http2
        };
        self.in_flight += 1;
        self.head_since = None;
    }

    fn end(&mut self, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.in_flight == 0 {
            self.quiet_since = now;
        }
    }

    /// What is due next, and when.
    fn due(&self, now: Instant, limits: &HttpLimits) -> (Instant, Due) {
        let after = |since: Instant, wait: Duration| since.checked_add(wait).unwrap_or(now + FAR);
        let blocked = self.blocked_since.map(|since| {
            let due = Due::Drop("the client did not read its answer");
            (after(since, limits.write_timeout), due)
        });
        let idle = self.in_flight == 0;
        let head = self.head_since.filter(|_| idle).map(|since| {
            let due = Due::Drop("the client did not finish the head of a request");
            (after(since, limits.head_timeout), due)
        });
        let quiet = idle.then(|| match self.leaving_since {
            Some(since) => {
                let due = Due::Drop("the client did not close an idle connection");
                (after(since, limits.head_timeout), due)
            }
            None => (after(self.quiet_since, limits.keep_alive), Due::Leave),
        });
        // A request may end without this task being told. It is found then, before the connection has been idle for too long.
        let look = (after(now, limits.keep_alive), Due::Look);
        [blocked, head, quiet]
            .into_iter()
            .flatten()
            .fold(
                look,
                |first, due| if due.0 <= first.0 { due } else { first },
            )
    }
}

/// A request and its answer, while either is under way.
#[derive(Debug)]
pub(super) struct Exchange(Arc<Activity>);

impl Clone for Exchange {
    fn clone(&self) -> Self {
        self.0.state().in_flight += 1;
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.state().end(Instant::now());
    }
}

/// Minds the time of one connection. To be polled after the connection whenever that is polled.
#[derive(Debug)]
pub(super) struct Patience {
    activity: Arc<Activity>,
    timer: Pin<Box<Sleep>>,
}

impl Patience {
    pub(super) fn new(activity: Arc<Activity>, limits: &HttpLimits) -> Self {
        let (first, _) = activity.state().due(Instant::now(), limits);
        Self {
            activity,
            timer: Box::pin(tokio::time::sleep_until(first)),
        }
    }

    /// Completes when something is due, other than to look again.
    pub(super) async fn over(&mut self, limits: &HttpLimits) -> Due {
        poll_fn(|cx| self.poll_over(limits, cx)).await
    }

    fn poll_over(&mut self, limits: &HttpLimits, cx: &mut Context<'_>) -> Poll<Due> {
        loop {
            let now = Instant::now();
            let (when, due) = self.activity.state().due(now, limits);
            if when <= now && due != Due::Look {
                return Poll::Ready(due);
            }
            if when < self.timer.deadline() || self.timer.is_elapsed() {
                self.timer.as_mut().reset(when);
            }
            ready!(self.timer.as_mut().poll(cx));
        }
    }

    /// Notes that the client has been told to leave.
    pub(super) fn leaving(&self) {
        let mut state = self.activity.state();
        state.leaving_since.get_or_insert_with(Instant::now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW_HEAD: Due = Due::Drop("the client did not finish the head of a request");
    const IDLE: Due = Due::Drop("the client did not close an idle connection");
    const UNREAD: Due = Due::Drop("the client did not read its answer");

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// All different, so that what is due says which of them was meant.
    fn limits() -> HttpLimits {
        HttpLimits {
            head_timeout: seconds(3),
            keep_alive: seconds(7),
            write_timeout: seconds(5),
            ..HttpLimits::default()
        }
    }

    /// A connection, and its clock in seconds.
    struct Told {
        begun: Instant,
        state: State,
    }

    impl Told {
        fn new() -> Self {
            let begun = Instant::now();
            let state = State::new(begun);
            Self { begun, state }
        }

        fn received(&mut self, at: u64, bytes: &[u8]) {
            self.state.received(bytes, self.begun + seconds(at));
        }

        fn answered(&mut self, version: Version, at: u64) {
            self.state.begin(version);
            self.state.end(self.begun + seconds(at));
        }

        /// What is due if nothing else happens, seen at one time, and when.
        fn due(&self, at: u64) -> (u64, Due) {
            let (when, due) = self.state.due(self.begun + seconds(at), &limits());
            ((when - self.begun).as_secs(), due)
        }
    }

    #[test]
    fn a_connection_that_says_nothing_has_the_time_of_a_head() {
        assert_eq!(Told::new().due(0), (3, SLOW_HEAD));
    }

    #[test]
    fn a_head_that_trickles_in_gets_no_more_time() {
        for beginning in ["GET / HTTP/1.1\r\n", "PRI * HTTP/2"] {
            let mut told = Told::new();
            for (at, byte) in beginning.bytes().enumerate() {
                told.received(at as u64 / 8, &[byte]);
            }
            assert_eq!(told.due(2), (3, SLOW_HEAD), "{beginning}");
        }
    }

    #[test]
    fn an_idle_connection_is_closed_and_then_dropped() {
        let mut told = Told::new();
        told.answered(Version::HTTP_11, 2);
        assert_eq!(told.due(4), (9, Due::Leave));
        told.state.leaving_since = Some(told.begun + seconds(9));
        assert_eq!(told.due(9), (12, IDLE));
    }

    #[test]
    fn the_next_head_has_its_time_from_its_first_byte() {
        let mut told = Told::new();
        told.answered(Version::HTTP_11, 1);
        told.received(4, b"G");
        told.received(5, b"E");
        assert_eq!(told.due(5), (7, SLOW_HEAD));
        told.state.begin(Version::HTTP_11);
        assert_eq!(told.due(6).1, Due::Look);
    }

    #[test]
    fn an_http_2_connection_is_idle_from_its_preface() {
        let mut told = Told::new();
        let (first, rest) = PREFACE.split_at(10);
        told.received(1, first);
        assert_eq!(told.due(1), (3, SLOW_HEAD));
        told.received(2, &[rest, b"and frames".as_slice()].concat());
        assert_eq!(told.due(2), (9, Due::Leave));
        told.received(5, b"the answer to a ping");
        assert_eq!(told.due(5), (9, Due::Leave));
    }

    /// Whatever it sends meanwhile.
    #[test]
    fn a_request_may_take_its_time() {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let mut told = Told::new();
            told.state.begin(version);
            told.received(1, b"more of the body");
            told.state.begin(version);
            told.state.end(told.begun + seconds(2));
            assert_eq!(told.due(100), (107, Due::Look));
            told.state.end(told.begun + seconds(101));
            assert_eq!(told.due(107), (108, Due::Leave));
        }
    }

    #[test]
    fn a_client_that_reads_nothing_is_dropped() {
        let mut told = Told::new();
        told.state.begin(Version::HTTP_11);
        told.state.blocked_since = Some(told.begun + seconds(1));
        assert_eq!(told.due(2), (6, UNREAD));
        told.state.blocked_since = None;
        assert_eq!(told.due(2).1, Due::Look);
    }

    #[test]
    fn a_wait_without_end_is_no_error() {
        let endless = HttpLimits {
            head_timeout: Duration::MAX,
            keep_alive: Duration::MAX,
            ..HttpLimits::default()
        };
        let told = Told::new();
        let (when, _) = told.state.due(told.begun, &endless);
        assert_eq!(when, told.begun + FAR);
    }

    /// The timer is set to what was due first, and finds by itself what is due since.
    #[tokio::test]
    async fn an_end_that_nobody_tells_is_found() {
        let limits = HttpLimits {
            keep_alive: Duration::from_millis(20),
            ..limits()
        };
        let activity = Activity::new();
        let exchange = activity.begin(Version::HTTP_2);
        let mut patience = Patience::new(activity, &limits);
        {
            let over = std::pin::pin!(patience.over(&limits));
            assert!(futures::FutureExt::now_or_never(over).is_none());
        }
        drop(exchange);
        assert_eq!(patience.over(&limits).await, Due::Leave);
    }
}
