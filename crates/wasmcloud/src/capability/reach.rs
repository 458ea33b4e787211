//! Whether a server can be reached that is spoken to now and then: what its calls have found out, and, while it is away, what somebody
//! finds out who looks again and again. For the status of workloads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use crate::net::dial::{Dial, DialError, NamedBy};

/// How long a start waits for a server.
const PATIENCE: Duration = Duration::from_millis(2500);
/// How long until it is looked again, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// What is told of a server that takes no connections, and nobody knows why.
const AWAY: &str = "it cannot be reached";

/// What is known of a server. Clones know the same.
#[derive(Clone)]
pub(crate) struct Reach(Arc<Inner>);

struct Inner {
    /// What it is, such as `redis`.
    kind: &'static str,
    host: String,
    port: u16,
    by: NamedBy,
    dial: Dial,
    trouble: Mutex<Option<Trouble>>,
    /// Whether somebody looks.
    looking: AtomicBool,
}

/// What is wrong with a server.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Trouble {
    /// It is not there, as far as is known.
    Away(String),
    /// It is, but does not do what it is asked to.
    Refuses(String),
}

impl Reach {
    pub(crate) fn new(kind: &'static str, dial: Dial, host: &str, port: u16, by: NamedBy) -> Self {
        Self(Arc::new(Inner {
            kind,
            host: host.to_owned(),
            port,
            by,
            dial,
            trouble: Mutex::default(),
            looking: AtomicBool::new(false),
        }))
    }

    /// Looks whether it is there. One that is not there now is no error.
    ///
    /// # Errors
    /// When it is where the egress policy lets nobody go.
    pub(crate) async fn begin(&self) -> Result<(), DialError> {
        match timeout(PATIENCE, self.0.connect()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error @ DialError::Denied { .. })) => Err(error),
            Ok(Err(error)) => {
                self.away(&why(&error));
                Ok(())
            }
            Err(_) => {
                self.away(AWAY);
                Ok(())
            }
        }
    }

    /// A call has been answered.
    pub(crate) fn answered(&self) {
        *self.0.trouble() = None;
    }

    /// A call has come to nobody. The reason is for whoever runs the workload: it must hold no secrets.
    pub(crate) fn away(&self, why: &str) {
        *self.0.trouble() = Some(Trouble::Away(why.to_owned()));
        self.look();
    }

    /// A call was refused, for whatever it asks; only an answer to another one ends this.
    pub(crate) fn refuses(&self, why: &str) {
        *self.0.trouble() = Some(Trouble::Refuses(why.to_owned()));
    }

    /// Why nothing can be had from it now.
    pub(crate) fn trouble(&self) -> Option<String> {
        let why = match self.0.trouble().clone()? {
            Trouble::Away(why) | Trouble::Refuses(why) => why,
        };
        let Inner {
            kind, host, port, ..
        } = &*self.0;
        Some(format!("{kind} at `{host}:{port}`: {why}"))
    }

    /// Sees to it that somebody looks. Outside of a runtime, nobody does.
    pub(crate) fn look(&self) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if !self.0.looking.swap(true, Ordering::SeqCst) {
            runtime.spawn(look(Arc::downgrade(&self.0)));
        }
    }
}

impl Inner {
    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects, and says nothing.
    async fn connect(&self) -> Result<(), DialError> {
        let connected = self.dial.connect(&self.host, self.port, self.by).await;
        connected.map(drop)
    }

    /// Whether it takes connections. What it refuses is another matter.
    async fn is_there(&self) -> bool {
        let connected = self.connect().await;
        let mut trouble = self.trouble();
        match (connected, &*trouble) {
            (_, Some(Trouble::Refuses(_))) => true,
            (Ok(()), _) => {
                *trouble = None;
                true
            }
            (Err(error), _) => {
                *trouble = Some(Trouble::Away(why(&error)));
                false
            }
        }
    }
}

/// Looks until it is there, or nobody wants to know.
async fn look(inner: Weak<Inner>) {
    let mut pause = PAUSE.0;
    loop {
        {
            let Some(inner) = inner.upgrade() else { return };
            if inner.is_there().await {
                inner.looking.store(false, Ordering::SeqCst);
                // A call may have come to nobody since.
                let is_away = matches!(&*inner.trouble(), Some(Trouble::Away(_)));
                if !is_away || inner.looking.swap(true, Ordering::SeqCst) {
                    return;
                }
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// Where it is exactly, changes with every look and tells little.
fn why(error: &DialError) -> String {
    match error {
        DialError::Connect { .. } => AWAY.to_owned(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::net::TcpListener;

    use super::*;
    use crate::net::resolve::SystemResolver;
    use crate::policy::EgressPolicy;

    fn reach(port: u16, by: NamedBy) -> Reach {
        let dial = Dial::new(EgressPolicy::default(), Arc::new(SystemResolver::default()));
        Reach::new("store", dial, "127.0.0.1", port, by)
    }

    async fn until_well(reach: &Reach) {
        let well = async {
            while reach.trouble().is_some() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(60), well).await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_told_until_it_is_there() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let reach = reach(at.port(), NamedBy::Host);
        reach.begin().await.unwrap();
        assert_eq!(reach.trouble(), None);
        drop(listener);
        reach.begin().await.unwrap();
        let told = format!("store at `{at}`: it cannot be reached");
        assert_eq!(reach.trouble(), Some(told));
        let _listener = TcpListener::bind(at).unwrap();
        until_well(&reach).await;
    }

    /// That it takes connections does not mean that it is well.
    #[tokio::test]
    async fn a_refusal_is_told_until_something_is_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let reach = reach(listener.local_addr().unwrap().port(), NamedBy::Host);
        reach.refuses("access is denied");
        assert!(reach.0.is_there().await);
        assert!(reach.trouble().unwrap().ends_with("access is denied"));
        reach.answered();
        assert_eq!(reach.trouble(), None);
    }

    #[tokio::test]
    async fn where_nobody_may_go_nobody_looks() {
        let denied = reach(1, NamedBy::Workload).begin().await;
        assert!(matches!(denied, Err(DialError::Denied { .. })));
    }
}
