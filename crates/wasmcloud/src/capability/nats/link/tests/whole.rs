//! That a relay changes nothing of what passes: lengths, headers, order, TLS, who somebody is, and what was subscribed to.

use async_nats::HeaderMap;
use bytes::Bytes;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::*;
use crate::net::trust::Authorities;

/// As much as servers take in one message, if nobody tells them otherwise.
const MEBIBYTE: usize = 1 << 20;

fn here() -> Arc<Names> {
    let names = Arc::new(Names::default());
    names.lead_to(Ipv4Addr::LOCALHOST);
    names
}

/// What trusts the authority of a server.
fn dial_trusting(server: &Nats) -> Dial {
    let authorities = Authorities::load(&[server.ca().to_owned()]).unwrap();
    dial(&here(), "127.0.0.0/8").trusting(authorities)
}

/// Both ways, of several lengths, with headers and without.
async fn passes_whole(link: &Link) {
    let mut feed = link.subscribe("a".to_owned(), None).await;
    let client = soon(link.connected()).await.client.clone();
    let mut headers = HeaderMap::new();
    headers.insert("Name", "value with spaces");
    headers.append("Name", "another");
    // What looks like lines is none inside of a message.
    let body: Bytes = b"MSG a 1 9\r\n\r\n".repeat(MEBIBYTE / 13 + 1).into();
    for length in [0, 1, 100, 70_000, MEBIBYTE] {
        let body = body.slice(..length);
        client.publish("a", body.clone()).await.unwrap();
        let heard = soon(feed.next()).await.unwrap();
        assert!(heard.payload == body && heard.headers.is_none(), "{length}");
        // The headers count, too.
        let body = body.slice(length.min(1000)..);
        let sent = client.publish_with_headers("a", headers.clone(), body.clone());
        sent.await.unwrap();
        let heard = soon(feed.next()).await.unwrap();
        assert!(heard.payload == body, "{length}");
        assert_eq!(heard.headers.as_ref(), Some(&headers), "{length}");
    }
}

#[tokio::test]
async fn messages_pass_whole_and_as_whom_somebody_speaks() {
    for (settings, login) in [
        (&["--user", "ann", "--pass", "right"][..], "ann:right@"),
        (&["--auth", "t0ken"], "t0ken@"),
        (&[], ""),
    ] {
        let server = Nats::launch_with(settings);
        let url = format!("nats://{login}nats.test:{}", server.port());
        let link = open(&dial(&here(), "127.0.0.0/8"), &url).await.unwrap();
        passes_whole(&link).await;
    }
}

/// As `tls:` says, and also where only the server says so.
#[tokio::test]
async fn messages_pass_whole_through_tls() {
    let login = ["--user", "ann", "--pass", "right"];
    let server = Nats::launch_with_tls("nats.test", &login);
    let dial = dial_trusting(&server);
    for scheme in ["tls", "nats"] {
        let url = format!("{scheme}://ann:right@nats.test:{}", server.port());
        let link = open(&dial, &url).await.unwrap();
        passes_whole(&link).await;
    }
    let wrong = format!("tls://ann:wr0ng@nats.test:{}", server.port());
    let error = open(&dial, &wrong).await.err().unwrap();
    assert!(matches!(error, NatsError::Unauthorized), "{error}");
}

#[tokio::test]
async fn tls_is_spoken_with_nobody_who_is_not_certified() {
    let login = ["--user", "ann", "--pass", "right"];
    let server = Nats::launch_with_tls("nats.test", &login);
    let other = Nats::launch_with_tls("nats.test", &[]);
    let plain = Nats::launch();
    let (trusting, mistaken) = (dial_trusting(&server), dial_trusting(&other));
    for (dial, scheme, name, server) in [
        (&mistaken, "tls", "nats.test", &server),
        (&trusting, "tls", "other.test", &server),
        (&trusting, "nats", "other.test", &server),
        // It speaks no TLS.
        (&trusting, "tls", "nats.test", &plain),
    ] {
        let url = format!("{scheme}://ann:right@{name}:{}", server.port());
        let link = open(dial, &url).await.unwrap();
        until_told(&link, &format!("`: TLS with `{name}`: ")).await;
        assert!(link.live().is_none());
        assert!(!link.trouble().unwrap().contains("right"));
    }
}

/// As when a load balancer has had enough: whoever holds the client has it still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_broke_is_made_again_with_the_same_client() {
    let server = Nats::launch();
    let way = Proxy::to(server.port());
    let url = format!("nats://nats.test:{}", way.port());
    let link = open(&dial(&here(), "127.0.0.0/8"), &url).await.unwrap();
    let mut feed = link.subscribe("a".to_owned(), None).await;
    let client = soon(link.connected()).await.client.clone();
    for times in 2..5 {
        way.break_all();
        let again = async {
            while link.connects() != (1, times) || link.live().is_none() {
                tokio::task::yield_now().await;
            }
        };
        soon(again).await;
        client.publish("a", "x".into()).await.unwrap();
        soon(feed.next()).await.unwrap();
    }
}

/// The address of a relay is no secret on this machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_on_this_machine_gets_through_the_relay() {
    let server = Nats::launch();
    let url = format!("nats://nats.test:{}", server.port());
    let link = open(&dial(&here(), "127.0.0.0/8"), &url).await.unwrap();
    let mut feed = link.subscribe("a".to_owned(), None).await;
    let live = soon(link.connected()).await;
    let address = &live.inside.address;
    for _ in 0..100 {
        let stranger = TcpStream::connect((address.host(), address.port())).await;
        let (mut stranger, mut heard) = (stranger.unwrap(), Vec::new());
        soon(stranger.read_to_end(&mut heard)).await.unwrap();
        assert!(heard.is_empty(), "{heard:?}");
    }
    is_heard(&link, &mut feed).await;
    assert_eq!(link.connects(), (1, 1));
}
