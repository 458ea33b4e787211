//! A connection to NATS servers that comes back by itself, wherever their names lead by then.
//!
//! The client library looks for a server it has lost where it was, and nowhere else: it knows addresses, which the egress policy has
//! seen, and no names. So it tries each of them once more and gives up; then names are looked up anew, and another client takes over.

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

use super::{NatsError, NatsUrl, PATIENCE, TELL, options, pause};
use crate::net::dial::{Dial, DialError, NamedBy};

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
        let shared = Arc::new(Shared {
            dial: dial.for_workload(),
            url: url.clone(),
            by,
            about: about.to_owned(),
            patience,
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

    /// How many bytes a message may have, as the server has said last; 0 of one that has said nothing yet.
    pub(crate) fn max_payload(&self) -> usize {
        let live = self.shared.live.borrow().clone();
        live.map_or(0, |live| live.client.server_info().max_payload)
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

    /// Subscribes, from now on or from when the server is there.
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
        if let Some(live) = live {
            wish.subscribe(&live.client).await;
        }
        Feed {
            wish: Some(wish),
            subscribers,
            now: None,
        }
    }

    /// Why nothing can be sent now, in words for whoever runs the workload.
    pub(crate) fn trouble(&self) -> Option<String> {
        if self.live().is_some() {
            return None;
        }
        let trouble = self.shared.trouble().0.clone();
        let why = trouble.unwrap_or_else(|| NatsError::Away.to_string());
        Some(format!("nats at {}: {why}", self.shared.url.places()))
    }
}

impl Live {
    /// Whether messages can be sent now.
    pub(crate) fn is_there(&self) -> bool {
        self.client.connection_state() == State::Connected && !self.gone.is_cancelled()
    }
}

impl Shared {
    async fn connect(self: &Arc<Self>) -> Result<Arc<Live>, NatsError> {
        let servers = self.url.servers()?;
        let addresses = self.addresses(&servers).await?;
        let gone = CancellationToken::new();
        // Dropped with the client's last task, whatever ends it.
        let guard = gone.clone().drop_guard();
        let (me, about) = (Arc::downgrade(self), self.about.clone());
        let told = Mutex::default();
        let options = options(&self.dial, &servers)?
            // Once more where it was; see above.
            .max_reconnects(addresses.len().max(1))
            .connection_timeout(PATIENCE)
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
        let attempts = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        // In a task of its own: the client reckons with what a server says, and panics where that is out of range.
        let connecting = AbortOnDropHandle::new(tokio::spawn(options.connect(addresses)));
        // It has a limit for each address, but not for finding out that it may not.
        let connected = timeout(PATIENCE.saturating_mul(attempts.max(1)) * 2, connecting).await;
        let client = match connected {
            Ok(Ok(Ok(client))) => client,
            Ok(Ok(Err(error))) if super::is_refusal(error.kind()) => {
                return Err(NatsError::Unauthorized);
            }
            Ok(_) | Err(_) => return Err(NatsError::Away),
        };
        let context = ContextBuilder::new().timeout(self.patience);
        Ok(Arc::new(Live {
            context: context.build(client.clone()),
            client,
            gone,
        }))
    }

    /// Where the servers are now. Some of them may be nowhere, as long as others are somewhere.
    async fn addresses(&self, servers: &[ServerAddr]) -> Result<Vec<ServerAddr>, NatsError> {
        let (mut addresses, mut lost) = (Vec::new(), None);
        for server in servers {
            let found = self.dial.addresses(server.host(), server.port(), self.by);
            let found = match found.await {
                Ok(found) => found,
                // A name that leads where it must not is wrong, whatever the others are.
                Err(error @ DialError::Denied { .. }) => return Err(error.into()),
                Err(error) => {
                    lost = Some(error);
                    continue;
                }
            };
            for address in found {
                let address = format!("nats://{address}").parse::<ServerAddr>();
                addresses.push(address.map_err(|_| super::NatsUrlError)?);
            }
        }
        match lost {
            Some(error) if addresses.is_empty() => Err(error.into()),
            _ => Ok(addresses),
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
    loop {
        if let Some(live) = live.take() {
            live.gone.cancelled().await;
        }
        let mut attempts = 0;
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
