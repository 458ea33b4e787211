//! What every broker does: the rules of [`Broker`], each as a story. Every story has subjects of its own, so that one broker can tell
//! all of them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::timeout;

use super::outlet::{Outlet, UnderWay};
use super::{
    Broker, Delivery, Message, MessagingError, Redelivery, SHORTEST_BACKOFF, Subject, Subscription,
    Verdict, Wanted,
};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Shorter than anybody would notice, for messages that come back.
const BACKOFF: Duration = Duration::from_millis(20);

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.unwrap()
}

fn subject(text: &str) -> Subject {
    text.parse().unwrap()
}

fn message(about: &str, body: impl Into<Bytes>) -> Message {
    Message {
        subject: subject(about),
        body: body.into(),
        reply_to: None,
    }
}

/// A subscription that hears everything.
fn wanted(pattern: &str) -> Wanted {
    Wanted {
        pattern: pattern.parse().unwrap(),
        group: None,
        wait: PATIENCE,
        redelivery: Redelivery::default(),
    }
}

fn in_group(pattern: &str, group: &str) -> Wanted {
    Wanted {
        group: Some(group.to_owned()),
        ..wanted(pattern)
    }
}

async fn subscribe(broker: &dyn Broker, wanted: Wanted) -> Box<dyn Subscription> {
    within(broker.subscribe(wanted)).await.unwrap()
}

async fn publish(broker: &dyn Broker, about: &str, body: &str) {
    let body = Bytes::copy_from_slice(body.as_bytes());
    within(broker.publish(message(about, body))).await.unwrap();
}

async fn next(subscription: &mut Box<dyn Subscription>) -> Delivery {
    within(subscription.next()).await.unwrap()
}

/// Takes a message, and says what it is about and what it says.
async fn handled(subscription: &mut Box<dyn Subscription>) -> (String, String) {
    let delivery = next(subscription).await;
    within(delivery.settle.settle(Verdict::Handled)).await;
    let body = String::from_utf8(delivery.message.body.to_vec()).unwrap();
    (delivery.message.subject.to_string(), body)
}

async fn settled(subscription: &mut Box<dyn Subscription>, verdict: Verdict) {
    within(next(subscription).await.settle.settle(verdict)).await;
}

fn failed() -> Verdict {
    Verdict::Failed("it was told to".to_owned())
}

/// A broker with the way in front of it that components have to it.
pub(super) fn for_components(broker: impl Broker) -> impl Broker {
    let longest = 1 << 20;
    ForComponents(Outlet::new(Arc::new(broker), longest, UnderWay::default()))
}

struct ForComponents(Outlet);

#[async_trait]
impl Broker for ForComponents {
    async fn publish(&self, message: Message) -> Result<(), MessagingError> {
        let (subject, reply_to) = (message.subject, message.reply_to);
        let reply_to = reply_to.as_ref().map(Subject::as_str);
        let published = self
            .0
            .publish(subject.as_str(), message.body, reply_to, None);
        published.await
    }

    async fn request(
        &self,
        subject: Subject,
        body: Bytes,
        time: Duration,
    ) -> Result<Message, MessagingError> {
        self.0.request(subject.as_str(), body, time, None).await
    }

    async fn subscribe(&self, wanted: Wanted) -> Result<Box<dyn Subscription>, MessagingError> {
        self.0.broker().subscribe(wanted).await
    }

    fn redelivers(&self) -> bool {
        self.0.broker().redelivers()
    }
}

/// All rules.
pub(super) async fn conforms(broker: &dyn Broker) {
    everybody_hears_what_matches(broker).await;
    one_of_a_group_hears_each(broker).await;
    nobody_hears_what_nobody_wants(broker).await;
    a_request_is_answered(broker).await;
    a_request_has_an_end(broker).await;
    a_request_that_is_rejected_fails_at_once(broker).await;
    who_takes_nothing_keeps_nobody_waiting(broker).await;
    bodies_arrive_whole(broker).await;
    if broker.redelivers() {
        what_failed_comes_back(broker).await;
        what_is_given_up_is_a_dead_letter(broker).await;
        a_dead_letter_makes_no_other(broker).await;
        what_nobody_settles_goes_to_another(broker).await;
        what_nobody_could_look_at_does_not_count(broker).await;
        nothing_comes_back_in_no_time(broker).await;
    }
}

async fn everybody_hears_what_matches(broker: &dyn Broker) {
    let mut all = subscribe(broker, wanted("m1.>")).await;
    let mut some = subscribe(broker, wanted("m1.*.c")).await;
    publish(broker, "m1.a", "1").await;
    publish(broker, "m1.b.c", "2").await;
    publish(broker, "m1.d.c", "3").await;
    for told in [("m1.a", "1"), ("m1.b.c", "2"), ("m1.d.c", "3")] {
        assert_eq!(
            handled(&mut all).await,
            (told.0.to_owned(), told.1.to_owned())
        );
    }
    for told in ["2", "3"] {
        assert_eq!(handled(&mut some).await.1, told);
    }
}

async fn one_of_a_group_hears_each(broker: &dyn Broker) {
    let mut one = subscribe(broker, in_group("m2", "g")).await;
    let mut other = subscribe(broker, in_group("m2", "g")).await;
    let mut alone = subscribe(broker, in_group("m2", "h")).await;
    let count = 40;
    for number in 0..count {
        publish(broker, "m2", &number.to_string()).await;
    }
    let mut heard = Vec::new();
    while heard.len() < count {
        let told = within(async {
            tokio::select! {
                told = handled(&mut one) => told,
                told = handled(&mut other) => told,
            }
        });
        heard.push(told.await.1.parse::<usize>().unwrap());
    }
    heard.sort_unstable();
    assert_eq!(heard, (0..count).collect::<Vec<_>>());
    for number in 0..count {
        assert_eq!(handled(&mut alone).await.1, number.to_string());
    }
    // Whoever is left gets all that comes, once the other has ended in order.
    one.close();
    assert!(within(one.next()).await.is_none());
    publish(broker, "m2", "last").await;
    assert_eq!(handled(&mut other).await.1, "last");
}

async fn nobody_hears_what_nobody_wants(broker: &dyn Broker) {
    publish(broker, "m3", "x").await;
    let asked = within(broker.request(subject("m3"), "x".into(), PATIENCE)).await;
    assert!(
        matches!(asked, Err(MessagingError::NobodyThere)),
        "{asked:?}"
    );
}

async fn a_request_is_answered(broker: &dyn Broker) {
    let mut asked = subscribe(broker, in_group("m4", "g")).await;
    let ask = broker.request(subject("m4"), "ping".into(), PATIENCE);
    let answer = async {
        let delivery = next(&mut asked).await;
        let inbox = delivery.message.reply_to.clone().unwrap();
        within(broker.publish(message(inbox.as_str(), "pong")))
            .await
            .unwrap();
        within(delivery.settle.settle(Verdict::Handled)).await;
    };
    let (answer, ()) = within(async { tokio::join!(ask, answer) }).await;
    assert_eq!(answer.unwrap().body, "pong");
}

async fn a_request_has_an_end(broker: &dyn Broker) {
    let _asked = subscribe(broker, wanted("m4b")).await;
    let time = Duration::from_millis(50);
    let asked = within(broker.request(subject("m4b"), "ping".into(), time)).await;
    assert!(
        matches!(asked, Err(MessagingError::TimedOut(_))),
        "{asked:?}"
    );
}

async fn a_request_that_is_rejected_fails_at_once(broker: &dyn Broker) {
    let mut asked = subscribe(broker, in_group("m4c", "g")).await;
    let hour = Duration::from_secs(3600);
    let ask = broker.request(subject("m4c"), "ping".into(), hour);
    let rejected = settled(&mut asked, Verdict::Rejected);
    let (answer, ()) = within(async { tokio::join!(ask, rejected) }).await;
    let told = answer.unwrap_err().to_string();
    assert_eq!(told, "the handler has rejected it");
}

async fn who_takes_nothing_keeps_nobody_waiting(broker: &dyn Broker) {
    let _idle = subscribe(broker, wanted("m5.>")).await;
    let mut busy = subscribe(broker, wanted("m5.>")).await;
    for number in 0..500 {
        publish(broker, "m5.a", &number.to_string()).await;
        assert_eq!(handled(&mut busy).await.1, number.to_string());
    }
}

async fn bodies_arrive_whole(broker: &dyn Broker) {
    let mut all = subscribe(broker, wanted("m6")).await;
    let long: Bytes = (0..=255_u8).cycle().take(900_000).collect();
    for body in [Bytes::new(), Bytes::from_static(b"\0\xff\r\n"), long] {
        within(broker.publish(message("m6", body.clone())))
            .await
            .unwrap();
        let delivery = next(&mut all).await;
        assert!(delivery.message.body == body, "{} bytes", body.len());
        within(delivery.settle.settle(Verdict::Handled)).await;
    }
}

fn redelivered(pattern: &str, most: u32) -> Wanted {
    Wanted {
        redelivery: Redelivery {
            most,
            backoff: BACKOFF,
            dead_letter: Some(subject(&format!("dead.{pattern}"))),
        },
        ..in_group(pattern, "g")
    }
}

async fn what_failed_comes_back(broker: &dyn Broker) {
    let mut all = subscribe(broker, redelivered("m7", 3)).await;
    let began = tokio::time::Instant::now();
    publish(broker, "m7", "x").await;
    settled(&mut all, failed()).await;
    settled(&mut all, failed()).await;
    assert_eq!(handled(&mut all).await.1, "x");
    // Twice as long the second time.
    assert!(began.elapsed() >= BACKOFF * 3, "{:?}", began.elapsed());
    publish(broker, "m7", "y").await;
    assert_eq!(handled(&mut all).await.1, "y", "it comes back no more");
}

async fn what_is_given_up_is_a_dead_letter(broker: &dyn Broker) {
    let mut dead = subscribe(broker, wanted("dead.m8")).await;
    let mut all = subscribe(broker, redelivered("m8", 2)).await;
    publish(broker, "m8", "failed").await;
    settled(&mut all, failed()).await;
    settled(&mut all, failed()).await;
    assert_eq!(handled(&mut dead).await.1, "failed");
    publish(broker, "m8", "rejected").await;
    settled(&mut all, Verdict::Rejected).await;
    assert_eq!(handled(&mut dead).await.1, "rejected");
    publish(broker, "m8", "fine").await;
    assert_eq!(handled(&mut all).await.1, "fine", "both are gone");
}

async fn a_dead_letter_makes_no_other(broker: &dyn Broker) {
    let mut wanted = redelivered("m8b", 1);
    wanted.redelivery.dead_letter = Some(subject("m8b"));
    let mut all = subscribe(broker, wanted).await;
    publish(broker, "m8b", "x").await;
    settled(&mut all, failed()).await;
    assert_eq!(next(&mut all).await.message.body, "x");
    let mut all = {
        drop(all);
        let mut wanted = redelivered("m8c", 1);
        wanted.redelivery.dead_letter = Some(subject("m8c"));
        subscribe(broker, wanted).await
    };
    publish(broker, "m8c", "x").await;
    settled(&mut all, failed()).await;
    settled(&mut all, Verdict::Rejected).await;
    publish(broker, "m8c", "y").await;
    assert_eq!(handled(&mut all).await.1, "y");
}

async fn what_nobody_settles_goes_to_another(broker: &dyn Broker) {
    let mut one = subscribe(broker, redelivered("m9", 1)).await;
    publish(broker, "m9", "x").await;
    let delivery = next(&mut one).await;
    let mut other = subscribe(broker, redelivered("m9", 1)).await;
    drop(one);
    drop(delivery);
    assert_eq!(handled(&mut other).await.1, "x");
}

async fn what_nobody_could_look_at_does_not_count(broker: &dyn Broker) {
    let mut all = subscribe(broker, redelivered("m10", 1)).await;
    publish(broker, "m10", "x").await;
    for _ in 0..3 {
        settled(&mut all, Verdict::Later).await;
    }
    assert_eq!(handled(&mut all).await.1, "x");
}

/// It would be given back and taken again as fast as processors go, for as long as there is no room.
async fn nothing_comes_back_in_no_time(broker: &dyn Broker) {
    let mut impatient = redelivered("m11", 1);
    impatient.redelivery.backoff = Duration::ZERO;
    let mut all = subscribe(broker, impatient).await;
    let began = tokio::time::Instant::now();
    publish(broker, "m11", "x").await;
    for _ in 0..3 {
        settled(&mut all, Verdict::Later).await;
    }
    assert_eq!(handled(&mut all).await.1, "x");
    let took = began.elapsed();
    assert!(took >= SHORTEST_BACKOFF * 3, "{took:?}");
}
