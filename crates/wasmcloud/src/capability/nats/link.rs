//! A connection to NATS servers that comes back by itself, wherever their names lead by then.
//!
//! A client knows one relay, and the relay looks for a server it has lost where its servers were: it knows addresses, which the egress
//! policy has seen. It tries each of them once more and gives up; then names are looked up anew, and another client takes over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::jetstream::{Context, ContextBuilder};
use async_nats::{Client, ServerAddr, Subscriber};
use futures::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::greeting::Login;
use super::relay::{Inside, Place, Relay, Target};
use super::{NatsError, NatsUrl, PATIENCE, TELL, options, pause};
use crate::net::dial::{Dial, DialError, NamedBy};

/// How long a message of a server may be, with its headers, where nothing else is said: no server can be told to take a longer one from
/// its clients. What it makes up itself may be, such as the names of very many blobs.
const LARGEST: usize = 64 << 20;
/// How long a connection has to last, so that nothing is made of its end.
const STEADY: Duration = Duration::from_secs(1);

/// A connection, shared by its clones. It ends with the last of them.
#[derive(Clone)]
pub(crate) struct Link {
    shared: Arc<Shared>,
    _keeper: Arc<AbortOnDropHandle<()>>,
}

/// A client, as long as it finds its server where it was.
pub(crate) struct Live {
    pub(crate) client: Client,
    pub(crate) context: Context,
    /// The relay by which it has its server.
    inside: Inside,
    /// Cancelled when it has given up.
    gone: CancellationToken,
}

struct Shared {
    dial: Dial,
    url: NatsUrl,
    by: NamedBy,
    /// Whose it is, for the log.
    about: String,
    /// How long an answer of JetStream may take.
    patience: Duration,
    /// How long a message may be, with its headers.
    largest: usize,
    /// The last client that there was. It tells, too, when that has found its server again.
    live: watch::Sender<Option<Arc<Live>>>,
    /// How many clients there were.
    clients: AtomicU64,
    /// Held while a client takes over, so that it has all subscriptions before anybody sends.
    feeds: tokio::sync::Mutex<Vec<Weak<Wish>>>,
    /// Why there is no connection, and when that was told.
    trouble: Mutex<(Option<String>, Option<Instant>)>,
}

/// What somebody is subscribed to.
struct Wish {
    subject: String,
    group: Option<String>,
    subscribers: mpsc::UnboundedSender<Subscriber>,
}

/// A subscription that goes on with whatever client there is.
pub(crate) struct Feed {
    wish: Option<Arc<Wish>>,
    subscribers: mpsc::UnboundedReceiver<Subscriber>,
    now: Option<Subscriber>,
}

impl Link {
    /// Connects. A server that is away is waited for in the background, and so is a name that leads nowhere yet; only what waiting will
    /// not cure is an error. `about` says in the log whose connection it is; `patience` is how long an answer of JetStream may take.
    pub(crate) async fn open(
        dial: &Dial,
        url: &NatsUrl,
        by: NamedBy,
        about: &str,
        patience: Duration,
    ) -> Result<Self, NatsError> {
        Self::open_within(dial, url, by, about, patience, LARGEST).await
    }

    /// The same for whoever takes no messages but those that are at most so long, with their headers: a server that sends a longer one
    /// loses the connection.
    pub(crate) async fn open_within(
        dial: &Dial,
        url: &NatsUrl,
        by: NamedBy,
        about: &str,
        patience: Duration,
        largest: usize,
    ) -> Result<Self, NatsError> {
        let shared = Arc::new(Shared {
            dial: dial.for_workload(),
            url: url.clone(),
            by,
            about: about.to_owned(),
            patience,
            largest,
            live: watch::Sender::new(None),
            clients: AtomicU64::new(0),
            feeds: tokio::sync::Mutex::default(),
            trouble: Mutex::default(),
        });
        // Nobody waits longer for a start than for an answer.
        let first = timeout(PATIENCE.min(patience / 2), shared.connect()).await;
        let first = match first.unwrap_or(Err(NatsError::Away)) {
            Ok(live) => Some(live),
            Err(error) if error.is_lasting() => return Err(error),
            Err(error) => {
                shared.failed(&error);
                None
            }
        };
        if let Some(live) = &first {
            shared.take_over(live).await;
        }
        let keeper = tokio::spawn(keep(Arc::clone(&shared), first));
        Ok(Self {
            shared,
            _keeper: Arc::new(AbortOnDropHandle::new(keeper)),
        })
    }

    /// The connection, if it is there now.
    pub(crate) fn live(&self) -> Option<Arc<Live>> {
        self.shared.live.borrow().clone().filter(|it| it.is_there())
    }

    /// The connection, as soon as it is there.
    pub(crate) async fn connected(&self) -> Arc<Live> {
        let mut changes = self.shared.live.subscribe();
        loop {
            let live = changes.borrow_and_update().clone();
            if let Some(live) = live.filter(|it| it.is_there()) {
                return live;
            }
            if changes.changed().await.is_err() {
                // Not as long as this is here.
                std::future::pending::<()>().await;
            }
        }
    }

    /// JetStream as it was last reached; `None`: it never was. It may be away.
    pub(crate) fn context(&self) -> Option<Context> {
        let live = self.shared.live.borrow().clone();
        live.map(|live| live.context.clone())
    }

    /// How many bytes a message may have, as the server has said last, and as far as it is believed; 0 of one that has said nothing yet.
    pub(crate) fn max_payload(&self) -> usize {
        let live = self.shared.live.borrow().clone();
        live.map_or(0, |live| live.client.max_payload())
    }

    /// Another one whenever it has been connected anew.
    pub(crate) fn connects(&self) -> (u64, u64) {
        let clients = self.shared.clients.load(Ordering::Relaxed);
        let live = self.shared.live.borrow().clone();
        let connects = live.map_or(0, |live| {
            let statistics = live.client.statistics();
            statistics.connects.load(Ordering::Relaxed)
        });
        (clients, connects)
    }

    /// Subscribes, from now on or from when the server is there. If it is, it is about to know when this returns.
    pub(crate) async fn subscribe(&self, subject: String, group: Option<String>) -> Feed {
        let (sender, subscribers) = mpsc::unbounded_channel();
        let wish = Arc::new(Wish {
            subject,
            group,
            subscribers: sender,
        });
        let mut feeds = self.shared.feeds.lock().await;
        feeds.retain(|feed| feed.strong_count() > 0);
        feeds.push(Arc::downgrade(&wish));
        let live = self.shared.live.borrow().clone();
        if let Some(live) = &live {
            wish.subscribe(&live.client).await;
        }
        drop(feeds);
        if let Some(live) = live.filter(|it| it.is_there()) {
            let _ = timeout(PATIENCE, live.flush()).await;
        }
        Feed {
            wish: Some(wish),
            subscribers,
            now: None,
        }
    }

    /// Why nothing can be sent now, in words for whoever runs the workload.
    pub(crate) fn trouble(&self) -> Option<String> {
        let live = self.shared.live.borrow().clone();
        if live.as_ref().is_some_and(|it| it.is_there()) {
            return None;
        }
        let told = self.shared.trouble().0.clone();
        // It is told when the client has given up, which it is about to.
        let refused = live.and_then(|live| live.inside.refused());
        let why = told
            .or_else(|| Some(refused?.to_string()))
            .unwrap_or_else(|| NatsError::Away.to_string());
        Some(format!("nats at {}: {why}", self.shared.url.places()))
    }
}

impl Live {
    /// Whether messages can be sent now.
    pub(crate) fn is_there(&self) -> bool {
        self.client.connection_state() == State::Connected && !self.gone.is_cancelled()
    }

    /// Returns when what was sent is on its way to the server, or never will be.
    async fn flush(&self) {
        // A client that has ended sends nothing more.
        let _ = self.client.flush().await;
        self.inside.flushed().await;
    }
}

impl Shared {
    async fn connect(self: &Arc<Self>) -> Result<Arc<Live>, NatsError> {
        let target = self.target().await?;
        let places = u32::try_from(target.places.len()).unwrap_or(u32::MAX);
        let (relay, inside) = Relay::open(target).await?;
        let gone = CancellationToken::new();
        // Dropped with the client's last task, whatever ends it.
        let guard = gone.clone().drop_guard();
        let (me, about) = (Arc::downgrade(self), self.about.clone());
        let told = Mutex::default();
        let options = options()
            .token(inside.secret.clone())
            // Once more by the same relay, which tries all places meanwhile; see above.
            .max_reconnects(1_usize)
            .connection_timeout(PATIENCE.saturating_mul(places.saturating_add(1)))
            .event_callback(move |event| {
                let _ = &guard;
                super::tell(&about, &event, &told);
                if event == async_nats::Event::Connected
                    && let Some(shared) = me.upgrade()
                {
                    shared.live.send_modify(|_| ());
                }
                std::future::ready(())
            });
        tokio::spawn(relay.run(gone.clone()));
        // In a task of its own: the client panics on some of what servers can say.
        let connecting = tokio::spawn(options.connect(inside.address.clone()));
        let connected = timeout(PATIENCE, AbortOnDropHandle::new(connecting)).await;
        let client = match connected {
            Ok(Ok(Ok(client))) => client,
            Ok(Ok(Err(error))) if super::is_refusal(error.kind()) => {
                return Err(NatsError::Unauthorized);
            }
            Ok(_) | Err(_) => return Err(inside.refused().map_or(NatsError::Away, Into::into)),
        };
        let context = ContextBuilder::new().timeout(self.patience);
        Ok(Arc::new(Live {
            context: context.build(client.clone()),
            client,
            inside,
            gone,
        }))
    }

    /// Where the servers are now, and how they are spoken to.
    async fn target(&self) -> Result<Target, NatsError> {
        let servers = self.url.servers()?;
        let tls = servers.iter().any(ServerAddr::tls_required);
        if tls {
            // Where nobody is trusted, waiting is of no use.
            let trusted = self.dial.authorities().client();
            trusted.map(drop).map_err(NatsError::Tls)?;
        }
        Ok(Target {
            dial: self.dial.clone(),
            by: self.by,
            places: self.places(&servers).await?,
            tls,
            login: Login::of(&servers),
            largest: self.largest,
        })
    }

    /// Where the servers are now. Some of them may be nowhere, as long as others are somewhere.
    async fn places(&self, servers: &[ServerAddr]) -> Result<Vec<Place>, NatsError> {
        let (mut places, mut lost) = (Vec::new(), None);
        for server in servers {
            let host = server.host();
            let found = self.dial.addresses(host, server.port(), self.by);
            let found = match found.await {
                Ok(found) => found,
                // A name that leads where it must not is wrong, whatever the others are.
                Err(error @ DialError::Denied { .. }) => return Err(error.into()),
                Err(error) => {
                    lost = Some(error);
                    continue;
                }
            };
            places.extend(found.into_iter().map(|at| Place {
                host: host.to_owned(),
                at,
            }));
        }
        match lost {
            Some(error) if places.is_empty() => Err(error.into()),
            _ => Ok(places),
        }
    }

    /// A client takes over: it has the subscriptions before anybody can send.
    async fn take_over(&self, live: &Arc<Live>) {
        let mut feeds = self.feeds.lock().await;
        feeds.retain(|feed| feed.strong_count() > 0);
        for wish in feeds.iter().filter_map(Weak::upgrade) {
            wish.subscribe(&live.client).await;
        }
        self.clients.fetch_add(1, Ordering::Relaxed);
        self.trouble().0 = None;
        self.live.send_replace(Some(Arc::clone(live)));
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, (Option<String>, Option<Instant>)> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, error: &NatsError) {
        let mut trouble = self.trouble();
        let (why, told) = &mut *trouble;
        *why = Some(error.to_string());
        if told.is_none_or(|last| last.elapsed() >= TELL) {
            *told = Some(Instant::now());
            let about = &self.about;
            tracing::warn!(about, %error, "the NATS server does not answer; it is waited for in the background");
        }
    }
}

/// Connects whenever there is no connection.
async fn keep(shared: Arc<Shared>, mut live: Option<Arc<Live>>) {
    let mut attempts = 0;
    loop {
        if let Some(live) = live.take() {
            let since = Instant::now();
            live.gone.cancelled().await;
            if let Some(refused) = live.inside.refused() {
                shared.failed(&refused.into());
            }
            // What never lasts counts as one more attempt, or it would be tried all the time.
            if since.elapsed() >= STEADY {
                attempts = 0;
            }
        }
        let found = loop {
            attempts += 1;
            sleep(pause(attempts)).await;
            match shared.connect().await {
                Ok(found) => break found,
                Err(error) => shared.failed(&error),
            }
        };
        shared.take_over(&found).await;
        live = Some(found);
    }
}

impl Wish {
    /// Where this fails, the client is about to be replaced, and it comes to the next one.
    async fn subscribe(&self, client: &Client) {
        let subject = self.subject.clone();
        let subscribed = match &self.group {
            Some(group) => client.queue_subscribe(subject, group.clone()).await,
            None => client.subscribe(subject).await,
        };
        if let Ok(subscriber) = subscribed {
            // Whoever wanted it may be gone.
            let _ = self.subscribers.send(subscriber);
        }
    }
}

impl Feed {
    /// The next message; `None` when there will be no more, which is after [`Feed::drain`]. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Option<async_nats::Message> {
        loop {
            if let Some(now) = &mut self.now {
                if let Some(message) = now.next().await {
                    return Some(message);
                }
                self.now = None;
            }
            let next = self.subscribers.recv().await?;
            let now = self.now.insert(next);
            if self.wish.is_none() {
                let _ = now.drain().await;
            }
        }
    }

    /// Wants no more from the server. What it has sent by then still comes.
    pub(crate) async fn drain(&mut self) {
        self.wish = None;
        self.subscribers.close();
        if let Some(now) = &mut self.now {
            let _ = now.drain().await;
        }
    }
}

#[cfg(test)]
mod tests;
