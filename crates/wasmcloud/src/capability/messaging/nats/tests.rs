//! The rules of brokers over a real server, what whoever asks is told, and what happens when server or network fail.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use futures::{FutureExt as _, StreamExt as _};
use test_servers::{Proxy, Way};

use super::*;
use crate::capability::messaging::shared_server::OnSharedServer;
use crate::capability::messaging::{Redelivery, conformance};
use crate::net::dial::{Dial, NamedBy};
use crate::net::resolve::SystemResolver;
use crate::policy::EgressPolicy;

const PATIENCE: Duration = Duration::from_secs(30);
const ROOM: Room = Room {
    messages: 1000,
    bytes: 16 << 20,
};

async fn nats(server: &test_servers::Nats, room: Room) -> Nats {
    nats_at(server.port(), room).await
}

async fn nats_at(port: u16, room: Room) -> Nats {
    let dial = Dial::new(EgressPolicy::default(), Arc::new(SystemResolver::default()));
    let url = format!("nats://127.0.0.1:{port}").parse().unwrap();
    let link = Link::open(&dial, &url, NamedBy::Host, "a test", PATIENCE).await;
    Nats::new(link.unwrap(), Traffic::of(room))
}

fn wanted(pattern: &str) -> Wanted {
    Wanted {
        pattern: pattern.parse().unwrap(),
        group: Some("g".to_owned()),
        wait: PATIENCE,
        redelivery: Redelivery::default(),
    }
}

fn about(subject: &str) -> Message {
    Message {
        subject: subject.parse().unwrap(),
        body: "x".into(),
        reply_to: None,
    }
}

/// A client takes 2048 messages for a server that reads none, of 1 MiB each.
#[test]
fn a_body_takes_its_room_until_the_client_has_let_go_of_it() {
    let traffic = Traffic {
        unsent: InFlight::new(10_000),
        ..Traffic::of(ROOM)
    };
    let body = || Bytes::from(vec![b'x'; 8000]);
    let first = traffic.carried(body()).now_or_never().unwrap();
    let (head, whole) = (first.slice(..10), first.clone());
    let mut second = Box::pin(traffic.carried(body()));
    for part in [head, whole, first] {
        assert!((&mut second).now_or_never().is_none());
        drop(part);
    }
    assert_eq!(second.now_or_never().unwrap(), body());
}

#[tokio::test]
async fn nats_is_a_broker() {
    let server = test_servers::Nats::launch();
    conformance::conforms(&nats(&server, ROOM).await).await;
}

/// As components have it: behind what is checked of all that they send.
#[tokio::test]
async fn nats_is_a_broker_for_components() {
    let server = test_servers::Nats::launch();
    let broker = OnSharedServer(nats(&server, ROOM).await);
    conformance::conforms(&conformance::for_components(broker)).await;
}

/// What is sent while the server is away is an error, and nobody has to do anything when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_killed_is_found_again() {
    let mut server = test_servers::Nats::launch();
    let nats = nats(&server, ROOM).await;
    let mut all = nats.subscribe(wanted("a")).await.unwrap();
    nats.publish(about("a")).await.unwrap();
    all.next().await.unwrap();
    server.stop();
    let away = async {
        while !matches!(
            nats.publish(about("a")).await,
            Err(MessagingError::Unavailable)
        ) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, away).await.unwrap();
    let asked = nats.request("a".parse().unwrap(), "x".into(), PATIENCE);
    assert!(matches!(asked.await, Err(MessagingError::Unavailable)));
    server.start();
    let back = async {
        while nats.publish(about("a")).await.is_err() {
            tokio::task::yield_now().await;
        }
        all.next().await.unwrap();
    };
    tokio::time::timeout(PATIENCE, back).await.unwrap();
}

/// Nothing passes and nobody is told: a request fails in time, and all goes on when the way is open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_that_is_held_is_an_error_in_time_and_passes() {
    let server = test_servers::Nats::launch();
    let proxy = Proxy::to(server.port());
    let (inside, outside) = (nats_at(proxy.port(), ROOM).await, nats(&server, ROOM).await);
    let mut heard = inside.subscribe(wanted("a")).await.unwrap();
    outside.publish(about("a")).await.unwrap();
    heard.next().await.unwrap();
    let _answers = outside.subscribe(wanted("b")).await.unwrap();
    proxy.set(Way::Held);
    let time = Duration::from_millis(100);
    let asked = inside.request("b".parse().unwrap(), "x".into(), time);
    let asked = tokio::time::timeout(PATIENCE, asked).await.unwrap();
    assert!(
        matches!(asked, Err(MessagingError::TimedOut(_))),
        "{asked:?}"
    );
    outside.publish(about("a")).await.unwrap();
    outside.connected().unwrap().client.flush().await.unwrap();
    proxy.set(Way::Open);
    // What the server has sent meanwhile was only late.
    let late = tokio::time::timeout(PATIENCE, heard.next()).await;
    assert!(late.unwrap().is_some());
}

/// What takes long arrives all the same, whole and in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_way_only_takes_longer() {
    let server = test_servers::Nats::launch();
    let proxy = Proxy::to(server.port());
    proxy.set(Way::Slow(Duration::from_millis(2)));
    let (inside, outside) = (nats_at(proxy.port(), ROOM).await, nats(&server, ROOM).await);
    let mut heard = outside.subscribe(wanted("a")).await.unwrap();
    for number in 0..10_u8 {
        let message = Message {
            body: vec![number; 3000].into(),
            ..about("a")
        };
        inside.publish(message).await.unwrap();
    }
    for number in 0..10_u8 {
        let next = tokio::time::timeout(PATIENCE, heard.next()).await.unwrap();
        assert!(next.unwrap().message.body == vec![number; 3000]);
    }
}

/// Connections that break are made again, with what was subscribed to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_that_is_cut_is_found_again() {
    let server = test_servers::Nats::launch();
    let proxy = Proxy::to(server.port());
    let nats = nats_at(proxy.port(), ROOM).await;
    let mut heard = nats.subscribe(wanted("a")).await.unwrap();
    for _ in 0..3 {
        proxy.set(Way::Cut);
        let away = async {
            while nats.trouble().is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, away).await.unwrap();
        proxy.set(Way::Open);
        let back = async {
            while nats.publish(about("a")).await.is_err() {
                tokio::task::yield_now().await;
            }
            heard.next().await.unwrap();
        };
        tokio::time::timeout(PATIENCE, back).await.unwrap();
        assert_eq!(nats.trouble(), None);
    }
}

/// Whoever asks is told that there is no room, instead of waiting for nothing.
#[tokio::test]
async fn who_is_too_busy_says_so() {
    let server = test_servers::Nats::launch();
    let room = Room {
        messages: 1,
        bytes: 16 << 20,
    };
    let (asker, busy) = (nats(&server, ROOM).await, nats(&server, room).await);
    let _idle = busy.subscribe(wanted("a")).await.unwrap();
    let asked = async {
        loop {
            let time = Duration::from_millis(200);
            let asked = asker.request("a".parse().unwrap(), "x".into(), time).await;
            if matches!(asked, Err(MessagingError::Full)) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap();
}

/// Asks somebody who answers over another connection: of whom the server may hear a moment later than of the question.
async fn ask(asker: &dyn Broker, time: Duration) -> Result<Message, MessagingError> {
    loop {
        let asked = asker.request("a".parse().unwrap(), "x".into(), time).await;
        if !matches!(asked, Err(MessagingError::NobodyThere)) {
            return asked;
        }
    }
}

/// What is asked of somebody else, and the verdict that this comes to.
async fn asked(asker: &dyn Broker, answers: &mut dyn Subscription, verdict: Verdict) -> String {
    let hour = Duration::from_secs(3600);
    let asking = ask(asker, hour);
    let settling = async { answers.next().await.unwrap().settle.settle(verdict).await };
    let both = async { tokio::join!(asking, settling) };
    let (asked, ()) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    asked.unwrap_err().to_string()
}

/// Whoever asked waited out the time, though there was nobody left who would have answered.
#[tokio::test]
async fn a_request_fails_with_its_handler() {
    let server = test_servers::Nats::launch();
    let (asker, other) = (nats(&server, ROOM).await, nats(&server, ROOM).await);
    let mut heard = other.subscribe(wanted("a")).await.unwrap();
    let failed = |why: &str| Verdict::Failed(why.to_owned());
    let full = MessagingError::Full.to_string();
    for (verdict, told) in [
        (failed("it fell over"), "it fell over"),
        // A header is one line; what comes after it would be headers of the guest's.
        (failed("it fell\rover\r\nStatus: 200"), "it fell over"),
        (failed(""), "whoever was asked has failed"),
        (Verdict::Rejected, "the handler has rejected it"),
        (Verdict::Later, full.as_str()),
    ] {
        assert_eq!(asked(&asker, &mut *heard, verdict).await, told);
    }
}

/// Programs that know nothing of us are answered as services on NATS do that have failed.
#[tokio::test]
async fn any_client_sees_by_the_headers_that_there_is_no_answer() {
    let server = test_servers::Nats::launch();
    let nats = nats(&server, ROOM).await;
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut heard = nats.subscribe(wanted("a")).await.unwrap();
    let failing = async {
        let verdict = Verdict::Failed("it fell over".to_owned());
        heard.next().await.unwrap().settle.settle(verdict).await;
    };
    let asking = async {
        loop {
            match client.request("a", "x".into()).await {
                Err(error) if error.kind() == RequestErrorKind::NoResponders => {}
                asked => return asked,
            }
        }
    };
    let both = async { tokio::join!(asking, failing) };
    let (answer, ()) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    let answer = answer.unwrap();
    let headers = answer.headers.unwrap();
    let header = |name: &str| headers.get(name).unwrap().as_str();
    assert_eq!(header("Nats-Service-Error-Code"), "500");
    assert_eq!(header("Nats-Service-Error"), "it fell over");
    assert!(answer.payload.is_empty());
}

/// Where a handler hears the answers, it sees no headers: an empty message would look like one.
#[tokio::test]
async fn that_there_is_no_answer_is_no_message_to_handle() {
    let server = test_servers::Nats::launch();
    let nats = nats(&server, ROOM).await;
    let mut asked = nats.subscribe(wanted("a")).await.unwrap();
    let mut answers = nats.subscribe(wanted("answers")).await.unwrap();
    let message = Message {
        reply_to: Some("answers".parse().unwrap()),
        ..about("a")
    };
    nats.publish(message).await.unwrap();
    let delivery = asked.next().await.unwrap();
    delivery.settle.settle(Verdict::Rejected).await;
    nats.publish(about("answers")).await.unwrap();
    let next = tokio::time::timeout(PATIENCE, answers.next())
        .await
        .unwrap();
    assert_eq!(next.unwrap().message.body, "x");
}

/// A service may have more to say about its failure than a header holds: that is an answer.
#[tokio::test]
async fn an_error_with_a_body_is_an_answer() {
    let server = test_servers::Nats::launch();
    let nats = nats(&server, ROOM).await;
    let service = async_nats::connect(server.url()).await.unwrap();
    let mut requests = service.subscribe("a").await.unwrap();
    service.flush().await.unwrap();
    let serving = async {
        let asked = requests.next().await.unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(CODE, "500");
        headers.insert(ERROR, "it fell over");
        let reply_to = asked.reply.unwrap();
        let told = service.publish_with_headers(reply_to, headers, "in full".into());
        told.await.unwrap();
    };
    let both = async { tokio::join!(ask(&nats, PATIENCE), serving) };
    let (answer, ()) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert_eq!(answer.unwrap().body, "in full");
}

/// What is asked for leaves room for what comes, and something larger than all of the room goes alone.
#[tokio::test]
async fn what_is_heard_has_its_room_until_it_is_let_go_of() {
    let traffic = Traffic::of(Room {
        messages: 10,
        bytes: 100 << 10,
    });
    let body = |kib: usize| Bytes::from(vec![b'x'; kib << 10]);
    assert_eq!(traffic.room_for(30 << 10).await, 3);
    let most = traffic.hear(&body(90)).unwrap();
    assert!(traffic.hear(&body(11)).is_none());
    assert_eq!(traffic.room_for(10 << 10).await, 1);
    assert!(traffic.room_for(11 << 10).now_or_never().is_none());
    drop(most);
    let all = traffic.hear(&body(300)).unwrap();
    assert!(traffic.hear(&body(0)).is_none());
    drop(all);
    assert_eq!(traffic.room_for(300 << 10).await, 1);
}

/// What it has taken when it closes is still handled: the server gives it to nobody else.
#[tokio::test]
async fn closing_gives_what_was_taken() {
    let server = test_servers::Nats::launch();
    let nats = nats(&server, ROOM).await;
    let mut all = nats.subscribe(wanted("a")).await.unwrap();
    for _ in 0..10 {
        nats.publish(about("a")).await.unwrap();
    }
    // All ten have arrived when the first has come back from the server.
    all.next().await.unwrap();
    let mut last = nats.subscribe(wanted("b")).await.unwrap();
    nats.publish(about("b")).await.unwrap();
    last.next().await.unwrap();
    all.close();
    let mut taken = 1;
    while all.next().await.is_some() {
        taken += 1;
    }
    assert_eq!(taken, 10);
}
