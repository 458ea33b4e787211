//! The rules of brokers over a real server, and what happens when server, network or stream fail.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

mod limits;

use std::collections::BTreeSet;
use std::sync::Mutex as Collected;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::stream::Config;
use futures::{StreamExt as _, TryStreamExt as _};
use test_servers::{Proxy, Way};
use tokio::time::timeout;

use super::place::Keep;
use super::*;
use crate::capability::messaging::memory::Room;
use crate::capability::messaging::nats::Traffic;
use crate::capability::messaging::shared_server::OnSharedServer;
use crate::capability::messaging::{Redelivery, Verdict, conformance};
use crate::capability::tenant::Tenant;
use crate::net::dial::{Dial, NamedBy};
use crate::net::resolve::SystemResolver;
use crate::policy::EgressPolicy;
use crate::workload::manifest;

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(120);
const ACK_WAIT: Duration = Duration::from_secs(30);
const SHORT_WAIT: Duration = Duration::from_secs(1);
const ROOM: Room = Room {
    messages: 1000,
    bytes: 16 << 20,
};

fn tenant(name: &str) -> Tenant {
    let text = format!(
        "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {{ name: {name} }}\nspec: {{ components: [{{ name: a, image: a.wasm }}] }}\n"
    );
    let parsed = manifest::parse(&text, std::path::Path::new("workload.yaml")).unwrap();
    Tenant::of(&parsed[0].workload)
}

fn own() -> Place {
    Place::of(&tenant("team"), Keep::default())
}

async fn link(url: &str) -> Link {
    let dial = Dial::new(EgressPolicy::default(), Arc::new(SystemResolver::default()));
    let url = url.parse().unwrap();
    let link = Link::open(&dial, &url, NamedBy::Host, "a test", PATIENCE).await;
    link.unwrap()
}

fn at(link: Link, place: Place, ack_wait: Duration) -> JetStream {
    in_room(ROOM, link, place, ack_wait)
}

fn in_room(room: Room, link: Link, place: Place, ack_wait: Duration) -> JetStream {
    let core = Nats::new(link, Traffic::of(room));
    JetStream::new(core, place, ack_wait, Known::default())
}

async fn jetstream(url: &str, place: Place, ack_wait: Duration) -> JetStream {
    at(link(url).await, place, ack_wait)
}

fn wanted(pattern: &str) -> Wanted {
    Wanted {
        pattern: pattern.parse().unwrap(),
        group: Some("g".to_owned()),
        wait: LONG,
        redelivery: Redelivery {
            most: 3,
            backoff: Duration::from_millis(20),
            dead_letter: Some("dead".parse().unwrap()),
        },
    }
}

fn about(subject: &str, body: impl Into<Bytes>) -> Message {
    Message {
        subject: subject.parse().unwrap(),
        body: body.into(),
        reply_to: None,
    }
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(LONG, what).await.unwrap()
}

async fn next(subscription: &mut Box<dyn Subscription>) -> Delivery {
    within(subscription.next()).await.unwrap()
}

async fn handled(subscription: &mut Box<dyn Subscription>) -> String {
    let delivery = next(subscription).await;
    delivery.settle.settle(Verdict::Handled).await;
    String::from_utf8(delivery.message.body.to_vec()).unwrap()
}

/// Publishes as often as it takes.
async fn stored(jetstream: &JetStream, message: Message) {
    within(async {
        while jetstream.publish(message.clone()).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn context(jetstream: &JetStream) -> jetstream::Context {
    jetstream.shared.link.context().unwrap()
}

/// The consumers of the stream.
async fn consumers(jetstream: &JetStream) -> Vec<jetstream::consumer::Info> {
    let shared = &jetstream.shared;
    let stream = context(jetstream)
        .get_stream(shared.place.name())
        .await
        .unwrap();
    stream.consumers().try_collect().await.unwrap()
}

#[tokio::test]
async fn a_stream_of_our_own_is_a_broker() {
    let server = test_servers::Nats::launch();
    conformance::conforms(&jetstream(&server.url(), own(), ACK_WAIT).await).await;
}

/// As components have it: behind what is checked of all that they send.
#[tokio::test]
async fn a_stream_of_our_own_is_a_broker_for_components() {
    let server = test_servers::Nats::launch();
    let jetstream = jetstream(&server.url(), own(), ACK_WAIT).await;
    conformance::conforms(&conformance::for_components(jetstream)).await;
}

/// A stream that somebody else has made, with these subjects.
async fn existing(server: &test_servers::Nats, name: &str, subjects: &[&str]) -> JetStream {
    let link = link(&server.url()).await;
    let config = Config {
        name: name.to_owned(),
        subjects: subjects.iter().map(|&it| it.to_owned()).collect(),
        ..Config::default()
    };
    let context = link.context().unwrap();
    context.create_stream(config).await.unwrap();
    at(link, Place::existing(name).unwrap(), ACK_WAIT)
}

/// What the stories are about.
const STORIES: [&str; 4] = ["m1.>", "*", "m5.>", "dead.>"];

#[tokio::test]
async fn a_stream_that_is_there_is_a_broker_for_components() {
    let server = test_servers::Nats::launch();
    let broker = OnSharedServer(existing(&server, "STORIES", &STORIES).await);
    conformance::conforms(&conformance::for_components(broker)).await;
}

#[tokio::test]
async fn a_stream_that_is_there_is_a_broker() {
    let server = test_servers::Nats::launch();
    let jetstream = existing(&server, "STORIES", &STORIES).await;
    conformance::conforms(&jetstream).await;
    let elsewhere = jetstream.publish(about("elsewhere.a", "x")).await;
    let told = elsewhere.unwrap_err().to_string();
    assert_eq!(told, "the stream `STORIES` does not take this subject");
}

/// A manifest that names a stream that nobody has made is wrong, and that is told at once.
#[tokio::test]
async fn a_stream_that_is_not_there_is_an_error_at_the_start() {
    let server = test_servers::Nats::launch();
    let place = Place::existing("NOWHERE").unwrap();
    let jetstream = jetstream(&server.url(), place, ACK_WAIT).await;
    let Err(error) = jetstream.subscribe(wanted("a")).await else {
        panic!("there is no such stream");
    };
    let told = error.to_string();
    assert!(told.contains("no stream `NOWHERE`"), "{told}");
}

#[tokio::test]
async fn tenants_do_not_hear_each_other() {
    let server = test_servers::Nats::launch();
    let ours = jetstream(&server.url(), own(), ACK_WAIT).await;
    let other = Place::of(&tenant("others"), Keep::default());
    let theirs = jetstream(&server.url(), other, ACK_WAIT).await;
    let mut heard = theirs.subscribe(wanted(">")).await.unwrap();
    let _ours = ours.subscribe(wanted(">")).await.unwrap();
    ours.publish(about("a", "ours")).await.unwrap();
    theirs.publish(about("a", "theirs")).await.unwrap();
    assert_eq!(handled(&mut heard).await, "theirs");
    let asked = ours.request("a".parse().unwrap(), "x".into(), SHORT_WAIT);
    let (asked, ()) = tokio::join!(asked, async {
        assert!(timeout(SHORT_WAIT, heard.next()).await.is_err());
    });
    assert!(matches!(asked, Err(MessagingError::TimedOut(_))));
}

#[tokio::test]
async fn what_comes_while_nobody_is_there_is_kept() {
    let mut server = test_servers::Nats::launch();
    let one = jetstream(&server.url(), own(), ACK_WAIT).await;
    drop(one.subscribe(wanted("a.*")).await.unwrap());
    for number in 0..3 {
        one.publish(about("a.b", number.to_string())).await.unwrap();
    }
    drop(one);
    server.stop();
    server.start();
    let other = jetstream(&server.url(), own(), ACK_WAIT).await;
    let mut heard = other.subscribe(wanted("a.*")).await.unwrap();
    for number in 0..3 {
        assert_eq!(handled(&mut heard).await, number.to_string());
    }
}

/// As many as there are places for, and no more, wherever the messages are.
#[tokio::test]
async fn no_more_is_pulled_than_there_are_places() {
    let server = test_servers::Nats::launch();
    let jetstream = jetstream(&server.url(), own(), ACK_WAIT).await;
    let mut heard = jetstream.subscribe(wanted("a")).await.unwrap();
    for number in 0..10 {
        jetstream
            .publish(about("a", number.to_string()))
            .await
            .unwrap();
    }
    heard.expect(3);
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(next(&mut heard).await);
    }
    let consumer = consumers(&jetstream).await.remove(0);
    assert_eq!((consumer.num_ack_pending, consumer.num_pending), (3, 7));
}

/// The server hears that it is still being handled.
#[tokio::test]
async fn a_handler_may_take_longer_than_the_server_waits() {
    let server = test_servers::Nats::launch();
    let jetstream = jetstream(&server.url(), own(), SHORT_WAIT).await;
    let mut heard = jetstream.subscribe(wanted("a")).await.unwrap();
    jetstream.publish(about("a", "x")).await.unwrap();
    let delivery = next(&mut heard).await;
    assert!(timeout(SHORT_WAIT * 4, heard.next()).await.is_err());
    delivery.settle.settle(Verdict::Handled).await;
    jetstream.publish(about("a", "y")).await.unwrap();
    assert_eq!(handled(&mut heard).await, "y");
}

/// Somebody took it again and again, and never said what came of it: as when it takes the host down with it.
#[tokio::test]
async fn a_message_that_nobody_survives_is_a_dead_letter() {
    let server = test_servers::Nats::launch();
    let jetstream = jetstream(&server.url(), own(), SHORT_WAIT).await;
    let mut dead = jetstream.subscribe(wanted("dead")).await.unwrap();
    drop(jetstream.subscribe(wanted("a")).await.unwrap());
    jetstream.publish(about("a", "poison")).await.unwrap();
    let shared = &jetstream.shared;
    let name = named_for("a", &consumers(&jetstream).await);
    let consumer: PullConsumer = context(&jetstream)
        .get_consumer_from_stream(name, shared.place.name())
        .await
        .unwrap();
    for _ in 0..3 {
        let taken = consumer.batch().max_messages(1).expires(LONG).messages();
        let mut taken = within(taken).await.unwrap();
        within(taken.next()).await.unwrap().unwrap();
    }
    let mut heard = jetstream.subscribe(wanted("a")).await.unwrap();
    let handled = tokio::select! {
        handled = handled(&mut dead) => handled,
        _ = next(&mut heard) => panic!("it was delivered once more"),
    };
    assert_eq!(handled, "poison");
}

/// The name of the consumer that hears a subject.
fn named_for(subject: &str, consumers: &[jetstream::consumer::Info]) -> String {
    let end = format!(".stored.{subject}");
    let mut consumers = consumers.iter();
    let consumer = consumers.find(|it| it.config.filter_subject.ends_with(&end));
    consumer.unwrap().name.clone()
}

/// A start does not wait for it, what is sent is an error, and everything is well when it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_absent_at_the_start_is_found_when_it_comes() {
    let mut server = test_servers::Nats::launch();
    server.stop();
    let jetstream = jetstream(&server.url(), own(), ACK_WAIT).await;
    let mut heard = jetstream.subscribe(wanted("a")).await.unwrap();
    let away = jetstream.publish(about("a", "x")).await;
    assert!(matches!(away, Err(MessagingError::Unavailable)));
    let asked = jetstream.request("a".parse().unwrap(), "x".into(), LONG);
    assert!(matches!(asked.await, Err(MessagingError::Unavailable)));
    server.start();
    // Nobody has to have asked for anything meanwhile.
    let message = async {
        let shared = &jetstream.shared;
        let is_there =
            async || shared.stream().await.is_ok() && !consumers(&jetstream).await.is_empty();
        within(async {
            while !is_there().await {
                tokio::task::yield_now().await;
            }
        })
        .await;
        stored(&jetstream, about("a", "first")).await;
    };
    let (heard, ()) = tokio::join!(handled(&mut heard), message);
    assert_eq!(heard, "first");
}

/// Sends numbers until so many are stored, and says which.
async fn send(jetstream: JetStream, count: usize, sent: tokio::sync::watch::Sender<usize>) {
    for number in 0..count {
        stored(&jetstream, about("a", number.to_string())).await;
        sent.send_replace(number + 1);
    }
}

/// Handles numbers until all of them were handled.
async fn receive(jetstream: JetStream, count: usize, all: Arc<Collected<BTreeSet<usize>>>) {
    let mut patient = wanted("a");
    // What was in hand when the server fell over counts as delivered.
    patient.redelivery.most = 1000;
    let mut heard = jetstream.subscribe(patient).await.unwrap();
    heard.expect(8);
    while all.lock().unwrap().len() < count {
        // The other may have got the last one.
        let Ok(Some(delivery)) = timeout(Duration::from_secs(1), heard.next()).await else {
            continue;
        };
        let body = String::from_utf8(delivery.message.body.to_vec()).unwrap();
        delivery.settle.settle(Verdict::Handled).await;
        all.lock().unwrap().insert(body.parse().unwrap());
    }
}

/// Two who handle and one who sends, while something happens after every so many messages.
async fn nothing_is_lost(urls: [String; 3], count: usize, mut happens: impl FnMut(usize)) {
    let [sender, one, other] = urls;
    let handlers = [
        jetstream(&one, own(), Duration::from_secs(5)).await,
        jetstream(&other, own(), Duration::from_secs(5)).await,
    ];
    let sender = jetstream(&sender, own(), ACK_WAIT).await;
    drop(sender.subscribe(wanted("a")).await.unwrap());
    let all = Arc::default();
    let (sent, mut seen) = tokio::sync::watch::channel(0);
    let [one, other] = handlers.map(|it| tokio::spawn(receive(it, count, Arc::clone(&all))));
    let sending = tokio::spawn(send(sender, count, sent));
    for part in 1..4 {
        let so_many = |sent: &usize| *sent >= part * count / 4;
        within(seen.wait_for(so_many)).await.unwrap();
        happens(part);
    }
    within(async {
        sending.await.unwrap();
        one.await.unwrap();
        other.await.unwrap();
    })
    .await;
    assert_eq!(*all.lock().unwrap(), (0..count).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_stored_is_lost_when_the_server_is_killed() {
    let mut server = test_servers::Nats::launch();
    let urls = [(); 3].map(|()| server.url());
    nothing_is_lost(urls, 200, |_| {
        server.stop();
        server.start();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_stored_is_lost_when_connections_break() {
    let server = test_servers::Nats::launch();
    let proxies = [(); 3].map(|()| Proxy::to(server.port()));
    let urls = proxies
        .each_ref()
        .map(|proxy| format!("nats://127.0.0.1:{}", proxy.port()));
    nothing_is_lost(urls, 200, |part| {
        for proxy in proxies.iter().skip(part - 1) {
            proxy.break_all();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_way_only_takes_longer() {
    let server = test_servers::Nats::launch();
    let proxy = Proxy::to(server.port());
    proxy.set(Way::Slow(Duration::from_millis(5)));
    let url = format!("nats://127.0.0.1:{}", proxy.port());
    nothing_is_lost([server.url(), url, server.url()], 40, |_| {}).await;
}

/// Nothing passes and nobody is told. What is sent fails in time, and what was sent before is handled when the way is open again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_is_an_error_and_passes() {
    let server = test_servers::Nats::launch();
    let proxy = Proxy::to(server.port());
    let url = format!("nats://127.0.0.1:{}", proxy.port());
    let (inside, outside) = (
        jetstream(&url, own(), ACK_WAIT).await,
        jetstream(&server.url(), own(), ACK_WAIT).await,
    );
    let mut heard = inside.subscribe(wanted("a")).await.unwrap();
    inside.publish(about("a", "before")).await.unwrap();
    assert_eq!(handled(&mut heard).await, "before");
    proxy.set(Way::Held);
    let cut_off = within(inside.publish(about("lost", "x"))).await;
    assert!(
        matches!(cut_off, Err(MessagingError::Unavailable)),
        "{cut_off:?}"
    );
    outside.publish(about("a", "meanwhile")).await.unwrap();
    assert!(timeout(SHORT_WAIT, heard.next()).await.is_err());
    proxy.set(Way::Open);
    assert_eq!(handled(&mut heard).await, "meanwhile");
}

/// It is made again by whoever needs it first, with its consumers, so that nothing that is stored from then on is for nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_deleted_under_it_is_made_again() {
    let server = test_servers::Nats::launch();
    let jetstream = jetstream(&server.url(), own(), ACK_WAIT).await;
    let mut heard = jetstream.subscribe(wanted("a")).await.unwrap();
    let shared = &jetstream.shared;
    for number in 0..3 {
        context(&jetstream)
            .delete_stream(shared.place.name())
            .await
            .unwrap();
        jetstream
            .publish(about("a", number.to_string()))
            .await
            .unwrap();
        assert_eq!(handled(&mut heard).await, number.to_string());
    }
}

/// A later version of the same workload may keep more or less.
#[tokio::test]
async fn what_a_stream_keeps_is_changed_with_the_settings() {
    let server = test_servers::Nats::launch();
    for bytes in [Some(1 << 20), Some(2 << 20), None] {
        let keep = Keep {
            bytes,
            ..Keep::default()
        };
        let place = Place::of(&tenant("team"), keep);
        let jetstream = jetstream(&server.url(), place, ACK_WAIT).await;
        let _heard = jetstream.subscribe(wanted("a")).await.unwrap();
        let shared = &jetstream.shared;
        let stream = context(&jetstream)
            .get_stream(shared.place.name())
            .await
            .unwrap();
        let kept = stream.cached_info().config.max_bytes;
        assert_eq!(kept, i64::try_from(bytes.unwrap_or(2 << 20)).unwrap());
    }
}
