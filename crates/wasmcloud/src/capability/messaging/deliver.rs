//! Brings messages to whoever handles them, as many at once as may be. The subscriptions of an entry share its places: whichever has a
//! message takes the next one.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::select_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Delivery, Message, Subscription, Verdict};

/// Handles messages.
#[async_trait]
pub(super) trait Handle: Send + Sync + 'static {
    async fn handle(&self, message: Message) -> Verdict;
}

/// Serves subscriptions until they are closed, and what they have taken by then. Returns when all of that is handled.
pub(super) async fn serve(
    mut subscriptions: Vec<Box<dyn Subscription>>,
    handler: Arc<dyn Handle>,
    places: Arc<Semaphore>,
    closed: CancellationToken,
) {
    let at_work = TaskTracker::new();
    let begin = |place, delivery| {
        let handler = Arc::clone(&handler);
        at_work.spawn(async move {
            handle(handler.as_ref(), delivery).await;
            drop(place);
        });
    };
    let open = async {
        while let Some((place, delivery)) = next(&mut subscriptions, &places).await {
            begin(place, delivery);
        }
    };
    tokio::select! {
        biased;
        () = closed.cancelled() => {}
        () = open => {}
    }
    for subscription in &mut subscriptions {
        subscription.close();
    }
    while let Some((place, delivery)) = next(&mut subscriptions, &places).await {
        begin(place, delivery);
    }
    drop(subscriptions);
    at_work.close();
    at_work.wait().await;
}

/// The next message of any of them, with a place for it. The place comes first: what nobody can handle yet is left for others of the
/// group. Those that have ended are dropped.
async fn next(
    subscriptions: &mut Vec<Box<dyn Subscription>>,
    places: &Arc<Semaphore>,
) -> Option<(OwnedSemaphorePermit, Delivery)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    while !subscriptions.is_empty() {
        let free = places.available_permits() + 1;
        let waiting = subscriptions.iter_mut().map(|subscription| {
            subscription.expect(free);
            subscription.next()
        });
        let (next, at, _) = select_all(waiting).await;
        if let Some(delivery) = next {
            // The others come first now.
            subscriptions.rotate_left(at + 1);
            return Some((place, delivery));
        }
        subscriptions.swap_remove(at);
    }
    None
}

async fn handle(handler: &dyn Handle, delivery: Delivery) {
    let Delivery { message, settle } = delivery;
    let verdict = handler.handle(message).await;
    settle.settle(verdict).await;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::sync::mpsc;

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
        let places = Arc::new(Semaphore::new(2));
        let closed = CancellationToken::new();
        let slow = vec![subscribed(&bus, "slow").await];
        tokio::spawn(serve(slow, Arc::clone(&hand) as _, places, closed.clone()));
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
            let places = Arc::new(Semaphore::new(1));
            let hand = Arc::clone(&hand);
            tokio::spawn(serve(subscriptions, hand, places, closed.clone()));
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

    /// A place that waits for one of them would be missing to the others.
    #[tokio::test]
    async fn one_place_serves_several_subscriptions() {
        let (bus, (hand, mut heard)) = (bus(), hand());
        let closed = CancellationToken::new();
        let mut subscriptions = Vec::new();
        for pattern in ["a", "b", "c"] {
            subscriptions.push(subscribed(&bus, pattern).await);
        }
        let places = Arc::new(Semaphore::new(1));
        let serving = serve(
            subscriptions,
            Arc::clone(&hand) as _,
            places,
            closed.clone(),
        );
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
        let places = Arc::new(Semaphore::new(1));
        let serving = serve(vec![old], Arc::clone(&hand) as _, places, closed.clone());
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
