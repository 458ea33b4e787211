//! The connections of one entry of one workload: a few, kept while they are used, each for one call at a time. No pool is shared, so no
//! session serves two workloads.
//!
//! A session is put right when it comes back, not when it is taken: what it locks would stay locked until then.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::super::Fault;
use super::super::gate::Gate;
use super::connect::Target;
use super::room::{Room, Share};
use super::session::Session;
use crate::capability::reach::Reach;

/// How long to leave a server alone that was not there, at first and at last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How long not to say again in the log that it is not there.
const SILENCE: Duration = Duration::from_secs(60);
/// How long the server may take to be told to give something up.
const CANCEL: Duration = Duration::from_secs(5);

/// How a pool behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Size {
    pub(in super::super) connections: usize,
    /// How long to wait for one.
    pub(in super::super) wait: Duration,
    /// How long one is kept that nobody uses.
    pub(in super::super) idle: Duration,
}

/// The connections of an entry.
pub(in super::super) struct Pool {
    pub(super) target: Target,
    size: Size,
    /// Who has or gets a connection.
    turns: Arc<Semaphore>,
    idle: Mutex<Vec<(Session, Instant)>>,
    room: Arc<Room>,
    /// What it may have of that, with the other entries of its workload.
    share: Arc<Share>,
    patience: Mutex<Patience>,
    closed: CancellationToken,
    runtime: Handle,
    /// For the log: whose it is.
    about: String,
    reach: Reach,
}

/// When to try again to connect, and when it was complained of last.
struct Patience {
    until: Instant,
    next: Duration,
    told: Option<Instant>,
}

impl Pool {
    /// Must be called inside a Tokio runtime.
    pub(in super::super) fn new(
        target: Target,
        size: Size,
        room: &Arc<Room>,
        share: &Arc<Share>,
        about: String,
    ) -> Arc<Self> {
        let (host, port) = (target.url.host(), target.url.port());
        let reach = Reach::new("postgres", target.dial.clone(), host, port, target.by);
        let pool = Arc::new(Self {
            target,
            size,
            turns: Arc::new(Semaphore::new(size.connections.min(share.places()))),
            idle: Mutex::default(),
            room: Arc::clone(room),
            share: Arc::clone(share),
            patience: Mutex::new(Patience {
                until: Instant::now(),
                next: BACKOFF.0,
                told: None,
            }),
            closed: CancellationToken::new(),
            runtime: Handle::current(),
            about,
            reach,
        });
        room.join(&pool);
        tokio::spawn(sweep(Arc::downgrade(&pool), pool.closed.clone(), size.idle));
        pool
    }

    /// What is known of the server.
    pub(in super::super) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Closes what nobody uses, and whatever comes back.
    pub(in super::super) fn close(&self) {
        self.closed.cancel();
        self.turns.close();
        self.idle().clear();
    }

    /// What it has together with the other entries of its workload.
    pub(super) fn share(&self) -> &Share {
        &self.share
    }

    /// Where there is room for rows that take much.
    pub(super) fn made(&self) -> Gate {
        self.share.long_rows.made(self.size.wait)
    }

    /// Whether it is of the workload that has this share.
    pub(super) fn is_of(&self, share: &Share) -> bool {
        std::ptr::eq(&*self.share, share)
    }

    /// How many connections nobody uses.
    pub(super) fn unused(&self) -> usize {
        self.idle().len()
    }

    /// Closes the one of them that nobody has used the longest. `false`: there is none.
    pub(super) fn close_one(&self) -> bool {
        let mut idle = self.idle();
        let oldest = (!idle.is_empty()).then(|| idle.remove(0));
        drop(idle);
        oldest.is_some()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Session, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn patience(&self) -> MutexGuard<'_, Patience> {
        self.patience.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session for one call. Whoever came first gets one first.
    pub(super) async fn take(self: &Arc<Self>) -> Result<Lease, Fault> {
        let until = Instant::now() + self.size.wait;
        let turn = timeout_at(until, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| Fault::Timeout)?;
        let turn = turn.map_err(|_| Fault::Unavailable("the workload stops".to_owned()))?;
        loop {
            let idle = self.idle().pop();
            match idle {
                Some((session, _)) if session.is_closed() => {}
                Some((session, _)) => return Ok(self.lease(session, turn, true)),
                None => break,
            }
        }
        let session = self.connect(until).await?;
        Ok(self.lease(session, turn, false))
    }

    fn lease(
        self: &Arc<Self>,
        session: Session,
        turn: OwnedSemaphorePermit,
        reused: bool,
    ) -> Lease {
        Lease {
            pool: Arc::clone(self),
            held: Some((session, turn)),
            busy: false,
            reused,
        }
    }

    async fn connect(&self, until: Instant) -> Result<Session, Fault> {
        // What the guest is told is less than what is logged.
        let away = || Fault::Unavailable("its server cannot be reached".to_owned());
        if Instant::now() < self.patience().until {
            return Err(away());
        }
        let place = self.room.place(&self.share, until).await?;
        let coming = self.share.long_rows.coming(self.size.wait);
        match self.target.connect(coming).await {
            Ok(connected) => {
                self.patience().next = BACKOFF.0;
                self.reach.answered();
                Ok(Session::new(connected, place))
            }
            Err(fault) => {
                self.is_away(&fault);
                Err(match fault {
                    Fault::Denied => Fault::Denied,
                    _ => away(),
                })
            }
        }
    }

    fn is_away(&self, fault: &Fault) {
        match fault {
            Fault::Denied => self.reach.refuses("access is denied"),
            Fault::Unavailable(_) => self.reach.away("it cannot be reached"),
            _ => self.reach.refuses("it does not do what it is asked to"),
        }
        let now = Instant::now();
        let mut patience = self.patience();
        patience.until = now + patience.next;
        patience.next = (patience.next * 2).min(BACKOFF.1);
        if patience.told.is_none_or(|told| now - told >= SILENCE) {
            patience.told = Some(now);
            tracing::warn!(workload = %self.about, "no connection to PostgreSQL: {fault}");
        }
    }

    /// None of the sessions that nobody uses is to be trusted.
    pub(super) fn distrust(&self) {
        self.idle().clear();
    }

    /// Keeps a session for the next call, unless its place is wanted elsewhere.
    fn put(&self, session: Session) {
        // Under the lock: nobody may find it open who has seen it closed, and whoever looks for room finds what is kept.
        let mut idle = self.idle();
        if !self.closed.is_cancelled() && !self.room.is_short(&self.share) {
            idle.push((session, Instant::now()));
        }
    }
}

/// Closes connections that nobody has used for long.
async fn sweep(pool: Weak<Pool>, closed: CancellationToken, idle: Duration) {
    let mut beat = tokio::time::interval((idle / 2).max(Duration::from_millis(10)));
    loop {
        tokio::select! {
            () = closed.cancelled() => return,
            now = beat.tick() => {
                let Some(pool) = pool.upgrade() else { return };
                pool.idle().retain(|(_, since)| now.saturating_duration_since(*since) < idle);
            }
        }
    }
}

/// A session in use. It goes back when this is dropped; in the middle of a statement, the server is told to give that up, and the
/// connection is closed.
pub(super) struct Lease {
    pool: Arc<Pool>,
    held: Option<(Session, OwnedSemaphorePermit)>,
    busy: bool,
    /// Whether somebody had it before.
    pub(super) reused: bool,
}

impl Lease {
    /// The session, in which a statement begins.
    pub(super) fn begin(&mut self) -> Result<&mut Session, Fault> {
        self.busy = true;
        self.session()
    }

    pub(super) fn session(&mut self) -> Result<&mut Session, Fault> {
        match &mut self.held {
            Some((session, _)) => Ok(session),
            None => Err(Fault::Other("the session is gone".to_owned())),
        }
    }

    /// The statement has ended, well or not.
    pub(super) fn end(&mut self) {
        self.busy = false;
    }

    /// The connection broke.
    pub(super) fn lose(&mut self) {
        self.held = None;
        self.pool.reach.look();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some((mut session, turn)) = self.held.take() else {
            return;
        };
        let pool = Arc::clone(&self.pool);
        if self.busy {
            self.pool.runtime.spawn(async move {
                let cancel = pool.target.cancel(session.cancel_token());
                // Closing it ends the statement as well, only later.
                let _ = tokio::time::timeout(CANCEL, cancel).await;
                drop((session, turn));
            });
        } else if session.is_spoilt() {
            drop(session);
        } else if session.is_changed() {
            self.pool.runtime.spawn(async move {
                if session.put_right(pool.target.statement).await {
                    pool.put(session);
                }
                drop(turn);
            });
        } else {
            pool.put(session);
        }
    }
}
