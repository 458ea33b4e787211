//! What becomes of a connection whose server, or its name, goes away or elsewhere.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use async_trait::async_trait;
use test_servers::{Nats, Proxy};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use super::*;
use crate::net::resolve::{Resolve, ResolveError};
use crate::policy::{EgressOptions, EgressPolicy};

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// Knows where every name leads now, if anywhere.
#[derive(Default)]
struct Names(Mutex<Option<Ipv4Addr>>);

impl Names {
    fn lead_to(&self, address: Ipv4Addr) {
        *self.0.lock().unwrap() = Some(address);
    }
}

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, _: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let address = *self.0.lock().unwrap();
        address
            .map(|address| vec![address.into()])
            .ok_or(ResolveError::NotFound)
    }
}

fn dial(names: &Arc<Names>, allow: &str) -> Dial {
    let options = EgressOptions {
        allow: vec![allow.parse().unwrap()],
        ..EgressOptions::default()
    };
    Dial::new(EgressPolicy::new(options), Arc::clone(names) as _)
}

async fn open(dial: &Dial, url: &str) -> Result<Link, NatsError> {
    let url = url.parse().unwrap();
    Link::open(dial, &url, NamedBy::Workload, "a test", LONG).await
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(LONG, what).await.unwrap()
}

/// Sends until it is heard: what a server gets that is about to be left is lost.
async fn is_heard(link: &Link, feed: &mut Feed) {
    let heard = async {
        loop {
            let live = link.connected().await;
            let _ = live.client.publish("a", "x".into()).await;
            tokio::select! {
                message = feed.next() => return message,
                () = live.gone.cancelled() => {}
            }
        }
    };
    soon(heard).await.unwrap();
}

async fn until_told(link: &Link, why: &str) {
    let told = async {
        while !link.trouble().is_some_and(|told| told.contains(why)) {
            tokio::task::yield_now().await;
        }
    };
    soon(told).await;
}

/// As when a cluster starts, and the names of its services are not there yet.
#[tokio::test]
async fn a_name_that_leads_nowhere_yet_is_waited_for() {
    let (server, names) = (Nats::launch(), Arc::new(Names::default()));
    let dial = dial(&names, "127.0.0.0/8");
    let url = format!("nats://ann:s3cret@nats.test:{}", server.port());
    let link = open(&dial, &url).await.unwrap();
    let mut feed = link.subscribe("a".to_owned(), None).await;
    assert!(link.live().is_none());
    let told = link.trouble().unwrap();
    let wanted = format!(
        "nats at `nats.test:{}`: `nats.test`: there is no such name",
        server.port()
    );
    assert_eq!(told, wanted);
    names.lead_to(Ipv4Addr::LOCALHOST);
    is_heard(&link, &mut feed).await;
    assert_eq!(link.trouble(), None);
}

/// The server comes back elsewhere, under the same name. Subscriptions go with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_moved_is_found_by_its_name() {
    let (server, names) = (Nats::launch(), Arc::new(Names::default()));
    let here = Proxy::to(server.port());
    names.lead_to(Ipv4Addr::LOCALHOST);
    let dial = dial(&names, "127.0.0.0/8");
    let url = format!("nats://nats.test:{}", here.port());
    let link = open(&dial, &url).await.unwrap();
    let mut feed = link
        .subscribe("a".to_owned(), Some("group".to_owned()))
        .await;
    is_heard(&link, &mut feed).await;
    let there = Ipv4Addr::new(127, 0, 0, 2);
    let _there = Proxy::between(SocketAddr::from((there, here.port())), server.port());
    names.lead_to(there);
    let before = link.connects();
    drop(here);
    let moved = async {
        while link.connects() == before || link.live().is_none() {
            tokio::task::yield_now().await;
        }
    };
    soon(moved).await;
    is_heard(&link, &mut feed).await;
    feed.drain().await;
    assert!(soon(feed.next()).await.is_none());
}

/// A name that leads elsewhere later leads only where the policy allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_has_moved_to_where_nobody_may_go_is_not_followed() {
    let (server, names) = (Nats::launch(), Arc::new(Names::default()));
    let here = Proxy::to(server.port());
    names.lead_to(Ipv4Addr::LOCALHOST);
    let dial = dial(&names, "127.0.0.1/32");
    let url = format!("nats://nats.test:{}", here.port());
    let link = open(&dial, &url).await.unwrap();
    let there = Ipv4Addr::new(127, 0, 0, 2);
    let _there = Proxy::between(SocketAddr::from((there, here.port())), server.port());
    names.lead_to(there);
    drop(here);
    until_told(&link, "127.0.0.2").await;
    assert!(link.live().is_none());
    let error = open(&dial, &url).await.err().unwrap();
    assert!(error.is_lasting(), "{error}");
}

/// What is known to be wrong is told at once.
#[tokio::test]
async fn a_server_that_does_not_accept_who_asks_is_an_error_at_the_start() {
    let server = Nats::launch_with(&["--user", "ann", "--pass", "right"]);
    let names = Arc::new(Names::default());
    names.lead_to(Ipv4Addr::LOCALHOST);
    let dial = dial(&names, "127.0.0.0/8");
    let url = format!("nats://ann:wr0ng@nats.test:{}", server.port());
    let error = open(&dial, &url).await.err().unwrap();
    assert!(matches!(error, NatsError::Unauthorized), "{error}");
    assert!(!error.to_string().contains("wr0ng"));
}

/// The client would panic on what this one says, and does not come to hear it.
#[tokio::test]
async fn a_server_that_does_not_say_what_it_is_is_told_and_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://nats.test:{}", listener.local_addr().unwrap().port());
    let tried = tokio::spawn(async move {
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let said = format!("MSG a 1 {}\r\n\r\n", u64::MAX);
            stream.write_all(said.as_bytes()).await.unwrap();
        }
    });
    let names = Arc::new(Names::default());
    names.lead_to(Ipv4Addr::LOCALHOST);
    let link = open(&dial(&names, "127.0.0.0/8"), &url).await.unwrap();
    let told = link.trouble().unwrap();
    assert!(told.ends_with("what it says is not understood"), "{told}");
    soon(tried).await.unwrap();
    assert!(link.live().is_none());
}

mod hostile;
mod whole;
