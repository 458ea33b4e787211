//! A registry that goes wrong as it is told: it stands before a real one, and passes on whatever no rule is for.

mod passing;
mod rules;
#[cfg(test)]
mod tests;

use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use rules::{Answer, Answering, Fault, Rule};

use crate::certificates::Certificates;
use crate::link::{Link, Listener};
use crate::wire;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, …
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// As they came.
    pub headers: Vec<(String, String)>,
    /// How many bytes of its body came.
    pub received: u64,
    /// The status of the answer, or 0 while there is none.
    pub status: u16,
    /// How many bytes of the body of the answer were sent.
    pub sent: u64,
    /// Whether it is over, however it ended.
    pub over: bool,
}

impl Request {
    /// The value of a header, whatever the case of its name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        wire::header(&self.headers, name)
    }

    /// What came as `Authorization`.
    #[must_use]
    pub fn authorization(&self) -> Option<&str> {
        self.header("authorization")
    }
}

/// An HTTP server on 127.0.0.1 that passes requests on to another and back, but for what its rules say. It keeps what was asked.
///
/// The `Host` of a request is passed on as it came, so that a registry names this one as the place to go on with an upload.
/// When it is dropped, its connections break.
#[derive(Debug)]
pub struct FaultyRegistry {
    listener: Listener,
    certificates: Option<(Certificates, TempDir)>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// The port that requests are passed on to. `None`: nothing is behind it.
    upstream: Option<u16>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    requests: Vec<Request>,
    /// How many are held up.
    held: usize,
    /// Grows whenever what is held up may go on.
    releases: u64,
}

impl FaultyRegistry {
    /// One before what listens on a port of this machine, by plain HTTP.
    #[must_use]
    pub fn to(port: u16) -> Self {
        Self::new(Some(port), false)
    }

    /// The same with TLS: those before it see a certificate for 127.0.0.1 and `localhost`.
    #[must_use]
    pub fn with_tls(port: u16) -> Self {
        Self::new(Some(port), true)
    }

    /// One with nothing behind it. What no rule answers is not found.
    #[must_use]
    pub fn alone() -> Self {
        Self::new(None, false)
    }

    fn new(upstream: Option<u16>, tls: bool) -> Self {
        let certificates = tls.then(|| {
            let folder = tempfile::tempdir().expect("a folder");
            (Certificates::new(folder.path(), &[]), folder)
        });
        let server = certificates.as_ref().map(|(it, _)| it.server());
        let shared = Arc::new(Shared {
            upstream,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let of_listener = Arc::clone(&shared);
        Self {
            listener: Listener::start(server, move |link| of_listener.serve(link)),
            certificates,
            shared,
        }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// What stands before the `/` of an image: `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// The same with its scheme, and no `/` at the end.
    #[must_use]
    pub fn url(&self) -> String {
        let tls = self.certificates.is_some();
        let scheme = if tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// The certificate, in PEM, of the authority that its own is by.
    #[must_use]
    pub fn ca(&self) -> &Path {
        let certificates = self.certificates.as_ref();
        &certificates.expect("it was started with TLS").0.ca
    }

    /// Adds a rule. Of several that are for a request, the one that was added first counts.
    pub fn rule(&self, rule: Rule) {
        self.shared.lock().rules.push(rule);
    }

    /// Forgets the rules: all passes again. What is held up stays so.
    pub fn heal(&self) {
        self.shared.lock().rules.clear();
    }

    /// Lets go on all that is held up.
    pub fn release(&self) {
        self.shared.lock().releases += 1;
        self.shared.changed.notify_all();
    }

    /// Waits until so many requests are held up at once.
    pub fn until_held(&self, count: usize) {
        self.until("held up", |state| state.held >= count);
    }

    /// Waits until all the requests are as wanted.
    pub fn until_requests(&self, are: impl Fn(&[Request]) -> bool) {
        self.until("asked", |state| are(&state.requests));
    }

    fn until(&self, wanted: &str, is: impl Fn(&State) -> bool) {
        let changed = &self.shared.changed;
        let waited = changed.wait_timeout_while(self.shared.lock(), PATIENCE, |state| !is(state));
        let (state, time) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(
            !time.timed_out(),
            "it was never {wanted} so: {:#?}",
            state.requests
        );
    }

    /// All requests so far, in the order in which they came.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// Those with a method whose path has a text in it.
    #[must_use]
    pub fn requests_of(&self, method: &str, part: &str) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|it| it.method == method && it.path.contains(part));
        requests
    }

    /// How many requests with a method have a path with a text in it.
    #[must_use]
    pub fn count(&self, method: &str, part: &str) -> usize {
        self.requests_of(method, part).len()
    }

    /// How many bytes of bodies were sent in answers to requests whose path has a text in it.
    #[must_use]
    pub fn bytes(&self, part: &str) -> u64 {
        let requests = self.requests();
        let those = requests.iter().filter(|it| it.path.contains(part));
        those.map(|it| it.sent).sum()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        // Those that are not over would be told about the wrong ones.
        self.until_requests(|requests| requests.iter().all(|request| request.over));
        self.shared.lock().requests.clear();
    }
}

impl Drop for FaultyRegistry {
    fn drop(&mut self) {
        self.release();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of a request.
    fn note(&self, number: usize, change: impl FnOnce(&mut Request)) {
        if let Some(request) = self.lock().requests.get_mut(number) {
            change(request);
        }
        self.changed.notify_all();
    }

    /// Waits until somebody lets it go on. `false`: the other side has gone, or patience has ended.
    fn hold(&self, other: &Link) -> bool {
        let mut state = self.lock();
        let releases = state.releases;
        state.held += 1;
        self.changed.notify_all();
        let begun = Instant::now();
        while state.releases == releases && begun.elapsed() < PATIENCE && !is_gone(other.tcp()) {
            let waited = self.changed.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.held -= 1;
        state.releases != releases
    }
}

/// How often it is looked whether somebody who is held up has gone.
const LOOK: Duration = Duration::from_millis(20);

/// Whether the other side of a connection has ended it.
fn is_gone(tcp: &TcpStream) -> bool {
    let _ = tcp.set_nonblocking(true);
    let ended = match tcp.peek(&mut [0]) {
        Ok(length) => length == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    };
    let _ = tcp.set_nonblocking(false);
    ended
}
