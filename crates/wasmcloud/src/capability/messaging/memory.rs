//! Messages within the host: one bus for each tenant, queues with room for so much.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::seldom::Seldom;
use super::{
    Broker, Delivery, Message, MessagingError, REJECTED, Redelivery, Settle, Subject, Subscription,
    Verdict, Wanted,
};
use crate::capability::budget::Budget;
use crate::capability::shared::Shared;
use crate::capability::tenant::{Payer, Tenant};

/// What may wait on a bus.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// How many messages each group holds, those that are being handled among them.
    pub(super) messages: usize,
    /// How many bytes all of them hold together, those of one message for each who is to get it; those on other buses of the
    /// same payer count, too.
    pub(super) bytes: usize,
}

/// What a message takes besides its body and subject, about.
const OVERHEAD: usize = 256;
/// How many requests may wait for their answers.
const REQUESTS: usize = 10_000;

/// The buses that somebody listens to.
#[derive(Default)]
pub(super) struct Buses {
    tenants: HashMap<Tenant, Bus>,
    payers: Shared<Payer, Budget>,
}

impl Buses {
    /// That of a tenant.
    pub(super) fn of(&mut self, tenant: &Tenant, room: Room) -> Bus {
        self.tenants
            .retain(|known, bus| known == tenant || !bus.is_idle());
        if let Some(bus) = self.tenants.get(tenant) {
            return bus.clone();
        }
        let budget = self.payers.get(&tenant.payer(), || budget(room));
        let bus = Bus::within(budget, room);
        self.tenants.insert(tenant.clone(), bus.clone());
        bus
    }
}

fn budget(room: Room) -> Arc<Budget> {
    Budget::new(room.bytes as u64)
}

/// A bus. Cheap to clone.
#[derive(Clone)]
pub(super) struct Bus {
    inner: Arc<Mutex<Inner>>,
    room: Room,
}

struct Inner {
    groups: Vec<Group>,
    inboxes: HashMap<Subject, Inbox>,
    bytes: usize,
    /// What all hold together for whom the same pays.
    budget: Arc<Budget>,
    next: u64,
    /// When somebody was last told of messages that were given up, or found no room.
    given_up: Seldom,
    full: Seldom,
}

type Answer = Result<Message, MessagingError>;

/// Where somebody waits for an answer.
struct Inbox {
    sender: oneshot::Sender<Answer>,
    /// How many may still give one.
    hopes: usize,
}

/// Subscriptions that share what they get.
struct Group {
    id: u64,
    wanted: Wanted,
    members: usize,
    /// How many messages it holds, wherever they are.
    held: usize,
    ready: VecDeque<Queued>,
    /// Those that come back later.
    away: Vec<(Instant, Queued)>,
    wake: Arc<Notify>,
}

/// A message in the hands of a group.
struct Queued {
    message: Message,
    deliveries: u32,
    /// Whether it is a dead letter.
    dead: bool,
    since: Instant,
}

impl Queued {
    fn size(&self) -> usize {
        size(&self.message)
    }
}

fn size(message: &Message) -> usize {
    OVERHEAD + message.subject.as_str().len() + message.body.len()
}

impl Bus {
    #[cfg(test)]
    pub(super) fn new(room: Room) -> Self {
        Self::within(budget(room), room)
    }

    fn within(budget: Arc<Budget>, room: Room) -> Self {
        let inner = Inner {
            groups: Vec::new(),
            inboxes: HashMap::new(),
            bytes: 0,
            budget,
            next: 0,
            given_up: Seldom::default(),
            full: Seldom::default(),
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            room,
        }
    }

    /// Whether nobody listens.
    pub(super) fn is_idle(&self) -> bool {
        Arc::strong_count(&self.inner) == 1
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Gives a message to all who want it, and says how many there are. Where none of them has room, that is an error.
    fn pass(&mut self, message: &Message, dead: bool, room: Room) -> Result<usize, MessagingError> {
        let (mut wanting, mut full) = (0, 0);
        let size = size(message);
        let groups = self.groups.iter_mut();
        for group in groups.filter(|it| it.wanted.pattern.matches(&message.subject)) {
            wanting += 1;
            if group.held >= room.messages || self.budget.take(size as u64).is_err() {
                full += 1;
                continue;
            }
            group.held += 1;
            self.bytes += size;
            group.ready.push_back(Queued {
                message: message.clone(),
                deliveries: 0,
                dead,
                since: Instant::now(),
            });
            group.wake.notify_one();
        }
        if full > 0 && self.full.is_due() {
            tracing::warn!(subject = %message.subject, full, wanting, "subscriptions have no room for a message");
        }
        match wanting {
            0 => Ok(0),
            _ if full == wanting => Err(MessagingError::Full),
            _ => Ok(wanting - full),
        }
    }

    fn group(&mut self, id: u64) -> Option<&mut Group> {
        self.groups.iter_mut().find(|group| group.id == id)
    }

    /// Answers whoever waits for the answer to a message, if somebody does.
    fn answer(&mut self, inbox: &Subject, answer: Answer) {
        if let Some(waiting) = self.inboxes.remove(inbox) {
            let _ = waiting.sender.send(answer);
        }
    }

    /// One of those who could have answered will not. Whoever waits is told when it was the last.
    fn no_answer(&mut self, inbox: Option<&Subject>, why: MessagingError) {
        let Some(inbox) = inbox else { return };
        let Some(waiting) = self.inboxes.get_mut(inbox) else {
            return;
        };
        waiting.hopes = waiting.hopes.saturating_sub(1);
        if waiting.hopes == 0 {
            self.answer(inbox, Err(why));
        }
    }

    /// It holds less, by so many bytes.
    fn less(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.release(bytes as u64);
    }

    /// A group no longer holds a message.
    fn let_go(&mut self, id: u64, queued: &Queued) {
        self.less(queued.size());
        if let Some(group) = self.group(id) {
            group.held = group.held.saturating_sub(1);
        }
    }

    /// A message is given up: it becomes a dead letter, where there is a place for them, and whoever waits for an answer is told.
    fn give_up(&mut self, id: u64, queued: &Queued, why: &str, room: Room) {
        self.let_go(id, queued);
        let failed = MessagingError::Other(why.to_owned());
        self.no_answer(queued.message.reply_to.as_ref(), failed);
        let group = self.group(id).map(|group| group.wanted.redelivery.clone());
        let to = group.and_then(|redelivery| redelivery.dead_letter);
        let passed = to.filter(|_| !queued.dead).map(|to| {
            let letter = Message {
                subject: to,
                body: queued.message.body.clone(),
                reply_to: None,
            };
            self.pass(&letter, true, room)
        });
        let dead_letter = match passed {
            None => "there is no dead letter",
            Some(Ok(0)) => "nobody takes dead letters",
            Some(Ok(_)) => "it is a dead letter now",
            Some(Err(_)) => "there is no room for dead letters",
        };
        if self.given_up.is_due() {
            let subject = &queued.message.subject;
            tracing::warn!(%subject, why, dead_letter, "a message was given up");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.budget.release(self.bytes as u64);
    }
}

impl Group {
    /// Brings back those whose time has come, and says when the next is due.
    fn bring_back(&mut self, now: Instant) -> Option<Instant> {
        let mut due: Vec<_> = self.away.extract_if(.., |(at, _)| *at <= now).collect();
        due.sort_by_key(|(at, _)| *at);
        for (_, mut queued) in due {
            queued.since = now;
            self.ready.push_back(queued);
        }
        self.away.iter().map(|(at, _)| *at).min()
    }
}

#[async_trait]
impl Broker for Bus {
    async fn publish(&self, message: Message) -> Result<(), MessagingError> {
        let mut inner = self.inner();
        if message.subject.is_inbox() {
            let inbox = message.subject.clone();
            inner.answer(&inbox, Ok(message));
            return Ok(());
        }
        inner.pass(&message, false, self.room).map(drop)
    }

    async fn request(
        &self,
        subject: Subject,
        body: Bytes,
        time: Duration,
    ) -> Result<Message, MessagingError> {
        let inbox = Subject::inbox();
        let (sender, answer) = oneshot::channel();
        let _waiting = Waiting {
            bus: self,
            inbox: &inbox,
        };
        {
            let mut inner = self.inner();
            if inner.inboxes.len() >= REQUESTS {
                return Err(MessagingError::Full);
            }
            let hopes = 0;
            inner.inboxes.insert(inbox.clone(), Inbox { sender, hopes });
            let message = Message {
                subject,
                body,
                reply_to: Some(inbox.clone()),
            };
            let hopes = inner.pass(&message, false, self.room)?;
            if hopes == 0 {
                return Err(MessagingError::NobodyThere);
            }
            if let Some(waiting) = inner.inboxes.get_mut(&inbox) {
                waiting.hopes = hopes;
            }
        }
        match timeout(time, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(MessagingError::NobodyThere),
            Err(_) => Err(MessagingError::TimedOut(time)),
        }
    }

    async fn subscribe(&self, wanted: Wanted) -> Result<Box<dyn Subscription>, MessagingError> {
        let mut inner = self.inner();
        let known = inner.groups.iter_mut().find(|group| {
            wanted.group.is_some()
                && group.wanted.group == wanted.group
                && group.wanted.pattern == wanted.pattern
        });
        let (id, wake) = match known {
            Some(group) => {
                group.members += 1;
                // Whoever comes last knows best: it may be the next version of the same.
                group.wanted = wanted;
                (group.id, Arc::clone(&group.wake))
            }
            None => {
                let id = inner.next;
                inner.next += 1;
                let wake = Arc::new(Notify::new());
                inner.groups.push(Group {
                    id,
                    wanted,
                    members: 1,
                    held: 0,
                    ready: VecDeque::new(),
                    away: Vec::new(),
                    wake: Arc::clone(&wake),
                });
                (id, wake)
            }
        };
        drop(inner);
        Ok(Box::new(Member {
            bus: self.clone(),
            id,
            wake,
            closed: false,
        }))
    }

    #[cfg(test)]
    fn redelivers(&self) -> bool {
        true
    }
}

/// Somebody who waits for an answer.
struct Waiting<'a> {
    bus: &'a Bus,
    inbox: &'a Subject,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.bus.inner().inboxes.remove(self.inbox);
    }
}

/// A subscription to a bus.
struct Member {
    bus: Bus,
    id: u64,
    wake: Arc<Notify>,
    closed: bool,
}

/// What a member finds.
enum Found {
    Message(Queued),
    /// Nothing; something may come back then.
    Nothing(Option<Instant>),
    /// Its group is gone.
    Over,
}

impl Member {
    fn look(&self) -> Found {
        if self.closed {
            return Found::Over;
        }
        let now = Instant::now();
        let mut inner = self.bus.inner();
        loop {
            let Some(group) = inner.group(self.id) else {
                return Found::Over;
            };
            let next = group.bring_back(now);
            let Some(mut queued) = group.ready.pop_front() else {
                return Found::Nothing(next);
            };
            if !group.ready.is_empty() {
                self.wake.notify_one();
            }
            if now.duration_since(queued.since) > group.wanted.wait {
                let why = "nobody was free to handle it in time";
                inner.give_up(self.id, &queued, why, self.bus.room);
                continue;
            }
            queued.deliveries += 1;
            return Found::Message(queued);
        }
    }
}

#[async_trait]
impl Subscription for Member {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            match self.look() {
                Found::Message(queued) => {
                    return Some(Delivery {
                        message: queued.message.clone(),
                        settle: Box::new(InHand {
                            bus: self.bus.clone(),
                            id: self.id,
                            queued: Some(queued),
                        }),
                    });
                }
                Found::Over => return None,
                Found::Nothing(None) => self.wake.notified().await,
                Found::Nothing(Some(at)) => {
                    tokio::select! {
                        () = self.wake.notified() => {}
                        () = sleep_until(at) => {}
                    }
                }
            }
        }
    }

    fn close(&mut self) {
        self.closed = true;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut inner = self.bus.inner();
        let Some(at) = inner.groups.iter().position(|group| group.id == self.id) else {
            return;
        };
        let Some(group) = inner.groups.get_mut(at) else {
            return;
        };
        group.members -= 1;
        if group.members > 0 {
            // It may have been woken for the others.
            group.wake.notify_one();
            return;
        }
        let group = inner.groups.swap_remove(at);
        let away = group.away.into_iter().map(|(_, queued)| queued);
        let lost: Vec<Queued> = group.ready.into_iter().chain(away).collect();
        if !lost.is_empty() {
            tracing::warn!(pattern = %group.wanted.pattern, messages = lost.len(), "messages were waiting for a subscription that has ended, and are gone");
        }
        for queued in lost {
            inner.less(queued.size());
            let reply_to = queued.message.reply_to.as_ref();
            inner.no_answer(reply_to, MessagingError::NobodyThere);
        }
    }
}

/// A message that is being handled.
struct InHand {
    bus: Bus,
    id: u64,
    /// There until it is settled.
    queued: Option<Queued>,
}

impl InHand {
    /// It goes back: to the front of the queue, or away for a while.
    fn back(&self, inner: &mut Inner, mut queued: Queued, pause: Option<Duration>) {
        let Some(group) = inner.group(self.id) else {
            inner.let_go(self.id, &queued);
            tracing::warn!(subject = %queued.message.subject, "a message was not handled before its subscription ended, and is gone");
            let inbox = queued.message.reply_to.clone();
            inner.no_answer(inbox.as_ref(), MessagingError::NobodyThere);
            return;
        };
        let now = Instant::now();
        match pause {
            Some(pause) => group.away.push((now + pause, queued)),
            None => {
                queued.since = now;
                group.ready.push_front(queued);
            }
        }
        group.wake.notify_one();
    }
}

#[async_trait]
impl Settle for InHand {
    async fn settle(mut self: Box<Self>, verdict: Verdict) {
        let Some(mut queued) = self.queued.take() else {
            return;
        };
        let mut inner = self.bus.inner();
        let redelivery = match inner.group(self.id) {
            Some(group) => group.wanted.redelivery.clone(),
            // Nobody is left to whom it could come back.
            None => Redelivery {
                most: 0,
                ..Redelivery::default()
            },
        };
        match verdict {
            Verdict::Handled => inner.let_go(self.id, &queued),
            Verdict::Rejected => inner.give_up(self.id, &queued, REJECTED, self.bus.room),
            Verdict::Later => {
                queued.deliveries -= 1;
                let pause = redelivery.pause(1);
                self.back(&mut inner, queued, Some(pause));
            }
            Verdict::Failed(why) => match redelivery.after(queued.deliveries) {
                Some(pause) => self.back(&mut inner, queued, Some(pause)),
                None => inner.give_up(self.id, &queued, &why, self.bus.room),
            },
        }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if let Some(mut queued) = self.queued.take() {
            queued.deliveries -= 1;
            let mut inner = self.bus.inner();
            self.back(&mut inner, queued, None);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::super::conformance;
    use super::*;
    use crate::capability::tenant::testing::tenant;

    fn bus(messages: usize, bytes: usize) -> Bus {
        Bus::new(Room { messages, bytes })
    }

    fn wanted(pattern: &str) -> Wanted {
        Wanted {
            pattern: pattern.parse().unwrap(),
            group: None,
            wait: Duration::from_secs(30),
            redelivery: Redelivery {
                most: 1,
                dead_letter: Some("dead".parse().unwrap()),
                ..Redelivery::default()
            },
        }
    }

    fn message(subject: &str, length: usize) -> Message {
        Message {
            subject: subject.parse().unwrap(),
            body: vec![b'x'; length].into(),
            reply_to: None,
        }
    }

    #[tokio::test]
    async fn a_bus_is_a_broker() {
        conformance::conforms(&bus(1000, 16 << 20)).await;
    }

    #[tokio::test]
    async fn what_waits_is_bounded_in_number() {
        let bus = bus(3, 1 << 20);
        let mut slow = bus.subscribe(wanted("a")).await.unwrap();
        for _ in 0..3 {
            bus.publish(message("a", 1)).await.unwrap();
        }
        let full = bus.publish(message("a", 1)).await;
        assert!(matches!(full, Err(MessagingError::Full)));
        // A subscriber with room gets what the other loses.
        let mut fast = bus.subscribe(wanted(">")).await.unwrap();
        bus.publish(message("a", 1)).await.unwrap();
        fast.next().await.unwrap();
        // What is being handled has its place until it is.
        let delivery = slow.next().await.unwrap();
        drop(fast);
        assert!(bus.publish(message("a", 1)).await.is_err());
        delivery.settle.settle(Verdict::Handled).await;
        bus.publish(message("a", 1)).await.unwrap();
    }

    #[tokio::test]
    async fn what_waits_is_bounded_in_size_and_room_comes_back() {
        let bus = bus(1000, 10_000);
        let all = bus.subscribe(wanted("a")).await.unwrap();
        bus.publish(message("a", 6000)).await.unwrap();
        assert!(bus.publish(message("a", 6000)).await.is_err());
        drop(all);
        assert_eq!(bus.inner().bytes, 0);
        let mut all = bus.subscribe(wanted("a")).await.unwrap();
        for verdict in [
            Verdict::Handled,
            Verdict::Rejected,
            Verdict::Failed(String::new()),
        ] {
            bus.publish(message("a", 6000)).await.unwrap();
            all.next().await.unwrap().settle.settle(verdict).await;
            assert_eq!(bus.inner().bytes, 0);
        }
        bus.publish(message("a", 6000)).await.unwrap();
        let delivery = all.next().await.unwrap();
        drop(all);
        drop(delivery);
        assert_eq!(bus.inner().bytes, 0);
        assert!(bus.is_idle());
    }

    /// Each name that a workload shared by brought as much room as it may have in all.
    #[tokio::test]
    async fn a_name_to_share_by_brings_no_room() {
        let room = Room {
            messages: 1000,
            bytes: 10_000,
        };
        let mut buses = Buses::default();
        let mut bus = |kind, name| buses.of(&tenant("a", kind, name), room);
        let (one, two) = (bus("shared", "one"), bus("shared", "two"));
        let own = bus("workload", "one");
        let mut heard = Vec::new();
        for bus in [&one, &two, &own] {
            heard.push(bus.subscribe(wanted("a")).await.unwrap());
        }
        one.publish(message("a", 6000)).await.unwrap();
        let full = two.publish(message("a", 6000)).await;
        assert!(matches!(full, Err(MessagingError::Full)), "{full:?}");
        own.publish(message("a", 6000)).await.unwrap();
        // What is handled makes room, and so does what ends with a subscription.
        let delivery = heard[0].next().await.unwrap();
        delivery.settle.settle(Verdict::Handled).await;
        two.publish(message("a", 6000)).await.unwrap();
        assert!(one.publish(message("a", 6000)).await.is_err());
        let budget = Arc::clone(&one.inner().budget);
        drop(heard);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn who_waits_for_too_long_is_told() {
        let bus = bus(10, 1 << 20);
        let mut dead = bus.subscribe(wanted("dead")).await.unwrap();
        let impatient = Wanted {
            wait: Duration::ZERO,
            ..wanted("a")
        };
        let mut all = bus.subscribe(impatient).await.unwrap();
        let time = Duration::from_secs(3600);
        let asked = bus.request("a".parse().unwrap(), "x".into(), time);
        let asked = tokio::select! {
            biased;
            asked = asked => asked,
            _ = all.next() => unreachable!("the message was too old"),
        };
        let told = asked.unwrap_err().to_string();
        assert_eq!(told, "nobody was free to handle it in time");
        assert_eq!(dead.next().await.unwrap().message.body, "x");
    }

    /// Of several who hear a request, the first that fails does not speak for the others.
    #[tokio::test]
    async fn a_request_fails_when_all_who_heard_it_have_failed() {
        let bus = bus(10, 1 << 20);
        let mut one = bus.subscribe(wanted("a")).await.unwrap();
        let mut other = bus.subscribe(wanted("a")).await.unwrap();
        let time = Duration::from_secs(3600);
        let served = async {
            let delivery = one.next().await.unwrap();
            delivery.settle.settle(Verdict::Rejected).await;
            let delivery = other.next().await.unwrap();
            let answer = Message {
                subject: delivery.message.reply_to.clone().unwrap(),
                ..message("a", 3)
            };
            bus.publish(answer).await.unwrap();
            delivery.settle.settle(Verdict::Handled).await;
        };
        let asked = bus.request("a".parse().unwrap(), "x".into(), time);
        let (asked, ()) = tokio::join!(asked, served);
        assert_eq!(asked.unwrap().body, "xxx");
        let failed = async {
            for subscription in [&mut one, &mut other] {
                let delivery = subscription.next().await.unwrap();
                delivery.settle.settle(Verdict::Rejected).await;
            }
        };
        let asked = bus.request("a".parse().unwrap(), "x".into(), time);
        let (asked, ()) = tokio::join!(asked, failed);
        assert!(matches!(asked, Err(MessagingError::Other(_))));
    }

    #[tokio::test]
    async fn a_request_fails_with_its_handler() {
        let bus = bus(10, 1 << 20);
        let mut all = bus.subscribe(wanted("a")).await.unwrap();
        let time = Duration::from_secs(3600);
        let asked = bus.request("a".parse().unwrap(), "x".into(), time);
        let served = async {
            let delivery = all.next().await.unwrap();
            let verdict = Verdict::Failed("it fell over".to_owned());
            delivery.settle.settle(verdict).await;
        };
        let (asked, ()) = tokio::join!(asked, served);
        assert_eq!(asked.unwrap_err().to_string(), "it fell over");
        let asked = bus.request("a".parse().unwrap(), "x".into(), time);
        let (asked, ()) = tokio::join!(asked, async { drop(all) });
        assert!(matches!(asked, Err(MessagingError::NobodyThere)));
        assert!(bus.inner().inboxes.is_empty());
    }
}
