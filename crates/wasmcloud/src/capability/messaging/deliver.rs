//! Brings messages to whoever handles them, as many at once as may be. The subscriptions of an entry share its places: whichever has a
//! message takes the next one. So that one whose messages take long does not keep the others waiting, a part of the places is kept for
//! those that have none.

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::{pending, select_all};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Delivery, Message, Subscription, Verdict};

/// Handles messages.
#[async_trait]
pub(super) trait Handle: Send + Sync + 'static {
    async fn handle(&self, message: Message) -> Verdict;
}

/// Serves subscriptions until they are closed, and what they have taken by then, so many messages at once. Returns when all of that is
/// handled.
pub(super) async fn serve(
    subscriptions: Vec<Box<dyn Subscription>>,
    handler: Arc<dyn Handle>,
    places: usize,
    closed: CancellationToken,
) {
    let at_work = TaskTracker::new();
    let begin = |place: Place, delivery| {
        let handler = Arc::clone(&handler);
        at_work.spawn(async move {
            handle(handler.as_ref(), delivery).await;
            drop(place);
        });
    };
    let mut served = Served::new(subscriptions, places);
    let open = async {
        while let Some((place, delivery)) = served.next().await {
            begin(place, delivery);
        }
    };
    tokio::select! {
        biased;
        () = closed.cancelled() => {}
        () = open => {}
    }
    for one in &mut served.all {
        one.subscription.close();
    }
    while let Some((place, delivery)) = served.next().await {
        begin(place, delivery);
    }
    drop(served);
    at_work.close();
    at_work.wait().await;
}

/// The subscriptions of an entry, in the order of their turns, and its places.
struct Served {
    all: Vec<One>,
    /// How many places nobody has.
    free: usize,
    /// How many of these at most are kept for subscriptions that have none: half of all, so that one that is busy alone is not slowed by
    /// many that hear nothing.
    most_kept: usize,
    /// Where places are given back, by the numbers of those who had them.
    back: mpsc::UnboundedSender<usize>,
    given_back: mpsc::UnboundedReceiver<usize>,
}

/// One of the subscriptions.
struct One {
    number: usize,
    subscription: Box<dyn Subscription>,
    /// How many places it has.
    has: usize,
}

/// A place of a subscription. Dropping it gives it back.
struct Place {
    number: usize,
    back: mpsc::UnboundedSender<usize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        // Nobody wants it any more when all subscriptions have ended.
        let _ = self.back.send(self.number);
    }
}

impl One {
    /// How many places it may take now, of so many that are free and so many that are kept. A first one is there for everybody.
    fn share(&self, free: usize, kept: usize) -> usize {
        let rest = free.saturating_sub(kept);
        match self.has {
            0 => rest.max(free.min(1)),
            _ => rest,
        }
    }
}

impl Served {
    fn new(subscriptions: Vec<Box<dyn Subscription>>, places: usize) -> Self {
        let (back, given_back) = mpsc::unbounded_channel();
        let subscriptions = subscriptions.into_iter().enumerate();
        let all = subscriptions.map(|(number, subscription)| One {
            number,
            subscription,
            has: 0,
        });
        Self {
            all: all.collect(),
            free: places,
            most_kept: places / 2,
            back,
            given_back,
        }
    }

    /// The next message of any of them, with a place for it. The place comes first: what nobody can handle yet is left for others of the
    /// group. Those that have ended are dropped.
    async fn next(&mut self) -> Option<(Place, Delivery)> {
        while !self.all.is_empty() {
            while let Ok(number) = self.given_back.try_recv() {
                self.take_back(number);
            }
            let (free, most_kept) = (self.free, self.most_kept);
            let without = self.all.iter().filter(|one| one.has == 0).count();
            let waiting = self.all.iter_mut().enumerate().filter_map(|(at, one)| {
                let others = without - usize::from(one.has == 0);
                let share = one.share(free, others.min(most_kept));
                if share == 0 {
                    return None;
                }
                one.subscription.expect(share);
                Some(one.subscription.next().map(move |next| (at, next)))
            });
            let waiting: Vec<_> = waiting.collect();
            tokio::select! {
                biased;
                Some(number) = self.given_back.recv() => self.take_back(number),
                (at, next) = first(waiting) => match next {
                    Some(delivery) => return Some((self.place(at), delivery)),
                    None => drop(self.all.remove(at)),
                },
            }
        }
        None
    }

    /// A place for the subscription there, after which it is the turn of the others.
    fn place(&mut self, at: usize) -> Place {
        self.all.rotate_left(at);
        let mut one = self.all.remove(0);
        let (number, back) = (one.number, self.back.clone());
        one.has += 1;
        self.free -= 1;
        self.all.push(one);
        Place { number, back }
    }

    fn take_back(&mut self, number: usize) {
        self.free += 1;
        if let Some(one) = self.all.iter_mut().find(|one| one.number == number) {
            one.has -= 1;
        }
    }
}

/// The first of them that is there; without any, none ever is.
async fn first<F: Future + Unpin>(waiting: Vec<F>) -> F::Output {
    match waiting.is_empty() {
        true => pending().await,
        false => select_all(waiting).await.0,
    }
}

async fn handle(handler: &dyn Handle, delivery: Delivery) {
    let Delivery { message, settle } = delivery;
    let verdict = handler.handle(message).await;
    settle.settle(verdict).await;
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::expect_used,
        clippy::unwrap_used,
        reason = "a failed unwrap is a failed test"
    )]
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::sync::Semaphore;
    use tokio::time::timeout;

    use super::super::memory::{Bus, Room};
    use super::super::{Broker as _, Redelivery, Wanted};
    use super::*;

    /// Tells what it gets, and waits to be let go where the subject says so.
    struct Hand {
        told: mpsc::UnboundedSender<String>,
        go: Semaphore,
        at_work: AtomicUsize,
        most: AtomicUsize,
    }

    #[async_trait]
    impl Handle for Hand {
        async fn handle(&self, message: Message) -> Verdict {
            let at_work = self.at_work.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(at_work, Ordering::SeqCst);
            let _ = self.told.send(message.subject.to_string());
            if message.subject.as_str() == "slow" {
                self.go.acquire().await.unwrap().forget();
            }
            self.at_work.fetch_sub(1, Ordering::SeqCst);
            Verdict::Handled
        }
    }

    fn hand() -> (Arc<Hand>, mpsc::UnboundedReceiver<String>) {
        let (told, heard) = mpsc::unbounded_channel();
        let hand = Hand {
            told,
            go: Semaphore::new(0),
            at_work: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        };
        (Arc::new(hand), heard)
    }

    async fn subscribed(bus: &Bus, pattern: &str) -> Box<dyn Subscription> {
        let wanted = Wanted {
            pattern: pattern.parse().unwrap(),
            group: Some("all".to_owned()),
            wait: Duration::from_secs(30),
            redelivery: Redelivery::default(),
        };
        bus.subscribe(wanted).await.unwrap()
    }

    async fn all(bus: &Bus, patterns: &[&str]) -> Vec<Box<dyn Subscription>> {
        let mut all = Vec::new();
        for pattern in patterns {
            all.push(subscribed(bus, pattern).await);
        }
        all
    }

    /// What is handled next, which nothing may hold up.
    async fn next(heard: &mut mpsc::UnboundedReceiver<String>) -> String {
        let next = timeout(Duration::from_secs(30), heard.recv());
        next.await.expect("nobody handles it").unwrap()
    }

    async fn publish(bus: &Bus, subject: &str) {
        let message = Message {
            subject: subject.parse().unwrap(),
            body: "x".into(),
            reply_to: None,
        };
        bus.publish(message).await.unwrap();
    }

    fn bus() -> Bus {
        Bus::new(Room {
            messages: 100,
            bytes: 1 << 20,
        })
    }

    #[tokio::test]
    async fn no_more_are_handled_at_once_than_there_are_places() {
        let (bus, (hand, mut heard)) = (bus(), hand());
        let closed = CancellationToken::new();
        let slow = vec![subscribed(&bus, "slow").await];
        tokio::spawn(serve(slow, Arc::clone(&hand) as _, 2, closed.clone()));
        for _ in 0..10 {
            publish(&bus, "slow").await;
        }
        for _ in 0..10 {
            assert_eq!(heard.recv().await.unwrap(), "slow");
            hand.go.add_permits(1);
        }
        assert_eq!(hand.most.load(Ordering::SeqCst), 2);
        closed.cancel();
    }

    #[tokio::test]
    async fn a_slow_one_slows_nobody_else() {
        let (bus, (hand, mut heard)) = (bus(), hand());
        let closed = CancellationToken::new();
        for pattern in ["slow", "fast"] {
            let subscriptions = vec![subscribed(&bus, pattern).await];
            let hand = Arc::clone(&hand);
            tokio::spawn(serve(subscriptions, hand, 1, closed.clone()));
        }
        for _ in 0..5 {
            publish(&bus, "slow").await;
        }
        assert_eq!(heard.recv().await.unwrap(), "slow");
        for _ in 0..5 {
            publish(&bus, "fast").await;
            assert_eq!(heard.recv().await.unwrap(), "fast");
        }
        closed.cancel();
    }

    /// They share the places, and a slow one took all of them.
    #[tokio::test]
    async fn a_slow_subscription_slows_no_other_of_its_entry() {
        let (bus, (hand, mut heard)) = (bus(), hand());
        let closed = CancellationToken::new();
        let all = all(&bus, &["slow", "fast", "idle"]).await;
        let serving = serve(all, Arc::clone(&hand) as _, 4, closed.clone());
        let serving = tokio::spawn(serving);
        for _ in 0..5 {
            publish(&bus, "slow").await;
        }
        // One place for each of the others.
        for _ in 0..2 {
            assert_eq!(next(&mut heard).await, "slow");
        }
        for _ in 0..5 {
            publish(&bus, "fast").await;
            assert_eq!(next(&mut heard).await, "fast");
        }
        // What is slow goes on when it can, and all is handled.
        hand.go.add_permits(5);
        for _ in 0..3 {
            assert_eq!(next(&mut heard).await, "slow");
        }
        closed.cancel();
        serving.await.unwrap();
        assert!(hand.most.load(Ordering::SeqCst) <= 4);
    }

    /// Keeping a place for each of many would leave none to who is busy.
    #[tokio::test]
    async fn many_that_hear_nothing_leave_half_of_the_places_to_who_is_busy() {
        let (bus, (hand, mut heard)) = (bus(), hand());
        let closed = CancellationToken::new();
        let all = all(&bus, &["slow", "a", "b", "c", "d", "e", "f"]).await;
        let serving = serve(all, Arc::clone(&hand) as _, 4, closed.clone());
        let serving = tokio::spawn(serving);
        for _ in 0..4 {
            publish(&bus, "slow").await;
        }
        for _ in 0..2 {
            assert_eq!(next(&mut heard).await, "slow");
        }
        for subject in ["f", "a", "b", "c", "d", "e", "f"] {
            publish(&bus, subject).await;
            assert_eq!(next(&mut heard).await, subject);
        }
        assert!(heard.try_recv().is_err(), "the rest is kept for others");
        hand.go.add_permits(4);
        for _ in 0..2 {
            assert_eq!(next(&mut heard).await, "slow");
        }
        closed.cancel();
        serving.await.unwrap();
    }

    /// A place that waits for one of them would be missing to the others.
    #[tokio::test]
    async fn one_place_serves_several_subscriptions() {
        let (bus, (hand, mut heard)) = (bus(), hand());
        let closed = CancellationToken::new();
        let all = all(&bus, &["a", "b", "c"]).await;
        let serving = serve(all, Arc::clone(&hand) as _, 1, closed.clone());
        let serving = tokio::spawn(serving);
        for _ in 0..3 {
            for subject in ["c", "a", "b"] {
                publish(&bus, subject).await;
                assert_eq!(heard.recv().await.unwrap(), subject);
            }
        }
        closed.cancel();
        serving.await.unwrap();
        assert_eq!(hand.most.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn closing_leaves_the_rest_to_others_and_lets_the_begun_finish() {
        let (bus, (hand, mut heard)) = (bus(), hand());
        let closed = CancellationToken::new();
        let (old, mut new) = (
            subscribed(&bus, "slow").await,
            subscribed(&bus, "slow").await,
        );
        let serving = serve(vec![old], Arc::clone(&hand) as _, 1, closed.clone());
        let serving = tokio::spawn(serving);
        publish(&bus, "slow").await;
        assert_eq!(heard.recv().await.unwrap(), "slow");
        publish(&bus, "slow").await;
        closed.cancel();
        let delivery = new.next().await.unwrap();
        delivery.settle.settle(Verdict::Handled).await;
        assert!(!serving.is_finished(), "the first is still being handled");
        hand.go.add_permits(1);
        serving.await.unwrap();
        assert!(
            heard.try_recv().is_err(),
            "the second was not handled twice"
        );
    }
}
