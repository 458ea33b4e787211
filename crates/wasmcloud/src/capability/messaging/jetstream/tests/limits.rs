//! What a host takes from servers and keeps while it is handled, whatever the servers do, and what becomes of what is too much for them.

use async_nats::{Client, Subscriber};

use super::*;

/// Room for four large messages.
const SMALL_ROOM: Room = Room {
    messages: 1000,
    bytes: 4 << 20,
};

fn large() -> Vec<u8> {
    vec![b'x'; 900_000]
}

async fn in_small_room(server: &test_servers::Nats) -> JetStream {
    let link = link(&server.url()).await;
    in_room(SMALL_ROOM, link, own(), ACK_WAIT)
}

/// How many messages of a consumer are with somebody, and how many wait in the stream.
async fn out_and_waiting(jetstream: &JetStream) -> (usize, u64) {
    let consumer = consumers(jetstream).await.remove(0);
    (consumer.num_ack_pending, consumer.num_pending)
}

/// There were places for all of them, so all of them came.
#[tokio::test]
async fn no_more_is_pulled_than_there_is_room_for() {
    let server = test_servers::Nats::launch();
    let jetstream = in_small_room(&server).await;
    let mut heard = jetstream.subscribe(wanted("a")).await.unwrap();
    for _ in 0..10 {
        jetstream.publish(about("a", large())).await.unwrap();
    }
    heard.expect(64);
    let mut in_hand = Vec::new();
    for _ in 0..4 {
        in_hand.push(next(&mut heard).await);
    }
    assert_eq!(out_and_waiting(&jetstream).await, (4, 6));
    // What is handled makes room for the others.
    for _ in 4..10 {
        in_hand.remove(0).settle.settle(Verdict::Handled).await;
        in_hand.push(next(&mut heard).await);
    }
}

/// Each asks for what there is room for; together that is more. What is too much comes back, and is no dead letter.
#[tokio::test]
async fn all_subscriptions_of_a_workload_have_one_room() {
    let server = test_servers::Nats::launch();
    let jetstream = in_small_room(&server).await;
    let mut heard = Vec::new();
    for subject in ["a", "b", "c"] {
        let mut subscription = jetstream.subscribe(wanted(subject)).await.unwrap();
        subscription.expect(64);
        heard.push(subscription);
        for _ in 0..4 {
            jetstream.publish(about(subject, large())).await.unwrap();
        }
    }
    let mut in_hand = Vec::new();
    for _ in 0..4 {
        in_hand.push(within(first(&mut heard)).await);
    }
    let too_much = timeout(SHORT_WAIT, first(&mut heard)).await;
    assert!(too_much.is_err(), "four take all of the room");
    for _ in 4..12 {
        in_hand.remove(0).settle.settle(Verdict::Handled).await;
        in_hand.push(within(first(&mut heard)).await);
    }
}

/// The next message of any of them.
async fn first(heard: &mut [Box<dyn Subscription>]) -> Delivery {
    let all = heard.iter_mut().map(|subscription| subscription.next());
    let (next, _, _) = futures::future::select_all(all).await;
    next.unwrap()
}

/// What a host asks for, as anybody sees it who may see everything on a server.
struct Spy {
    client: Client,
    asked: Subscriber,
}

impl Spy {
    async fn on(server: &test_servers::Nats) -> Self {
        let client = async_nats::connect(server.url()).await.unwrap();
        let asked = client.subscribe("$JS.API.CONSUMER.MSG.NEXT.>").await;
        client.flush().await.unwrap();
        let asked = asked.unwrap();
        Self { client, asked }
    }

    /// Where the next answer is awaited.
    async fn next(&mut self) -> String {
        let asked = within(self.asked.next()).await.unwrap();
        asked.reply.unwrap().to_string()
    }

    /// Sends there what no stream has. (Servers do not let clients say where a stream would want to be told of it.)
    async fn send(&self, to: &str) {
        let sent = self.client.publish(to.to_owned(), Bytes::from("forged"));
        sent.await.unwrap();
    }
}

/// A server might send without end: nothing asks for it, and nobody listens any more.
#[tokio::test]
async fn who_sends_more_than_was_asked_for_is_not_listened_to() {
    let server = test_servers::Nats::launch();
    let jetstream = jetstream(&server.url(), own(), ACK_WAIT).await;
    let mut heard = jetstream.subscribe(wanted("a")).await.unwrap();
    let mut spy = Spy::on(&server).await;
    let prefix = |inbox: &str| inbox.rsplit_once('.').unwrap().0.to_owned();
    let forging = async {
        let inbox = spy.next().await;
        // Now and then one comes just when it is asked for.
        for _ in 0..64 {
            spy.send(&inbox).await;
        }
        while prefix(&spy.next().await) == prefix(&inbox) {}
        jetstream.publish(about("a", "real")).await.unwrap();
    };
    let (first, ()) = tokio::join!(next(&mut heard), forging);
    assert_eq!(first.message.body, "real");
}

/// What is full is full for who sends, and nothing that waits makes room for it.
#[tokio::test]
async fn a_full_stream_refuses_what_comes() {
    let server = test_servers::Nats::launch();
    let keep = Keep {
        bytes: Some(1 << 20),
        ..Keep::default()
    };
    let place = Place::of(&tenant("team"), keep);
    let jetstream = jetstream(&server.url(), place, ACK_WAIT).await;
    let mut heard = jetstream.subscribe(wanted("a")).await.unwrap();
    let body = vec![b'x'; 400_000];
    let mut waiting = 0;
    let full = loop {
        match jetstream.publish(about("a", body.clone())).await {
            Ok(()) => waiting += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, MessagingError::Full), "{full:?}");
    assert_eq!(waiting, 2);
    let large = jetstream.publish(about("a", vec![b'x'; 2 << 20])).await;
    assert!(
        matches!(large, Err(MessagingError::TooLarge { .. })),
        "{large:?}"
    );
    for _ in 0..waiting {
        handled(&mut heard).await;
    }
    stored(&jetstream, about("a", "small")).await;
    assert_eq!(handled(&mut heard).await, "small");
}

/// A disk has an end as well. NATS 2.9 counts as kept what was removed, until it is started again, so nothing is sent after that here.
#[tokio::test]
async fn a_server_that_is_full_is_told_as_full_and_has_what_it_has_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nats.conf");
    std::fs::write(&config, "jetstream: { max_file_store: 8MB }\n").unwrap();
    let server = test_servers::Nats::launch_with(&["-c", config.to_str().unwrap()]);
    let jetstream = existing(&server, "JOBS", &["a"]).await;
    let mut heard = jetstream.subscribe(wanted("a")).await.unwrap();
    let numbered = |number: usize| format!("{number} {}", "x".repeat(500_000));
    let mut acknowledged = 0;
    let filling = async {
        loop {
            match jetstream.publish(about("a", numbered(acknowledged))).await {
                Ok(()) => acknowledged += 1,
                Err(error) => break error,
            }
        }
    };
    let full = within(filling).await;
    assert!(matches!(full, MessagingError::Full), "{full:?}");
    assert!(acknowledged > 1, "{acknowledged}");
    for number in 0..acknowledged {
        assert!(handled(&mut heard).await == numbered(number), "{number}");
    }
}
