//! What becomes of a connection whose server goes on and on, or says what the client does not survive: what is held of it has an end, it
//! is told, and another server that takes its place is spoken to.

use std::io;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::*;

/// What a server says of itself. It would take messages of a tebibyte.
const INFO: &[u8] =
    b"INFO {\"server_id\":\"N\",\"headers\":true,\"max_payload\":1099511627776}\r\n";
/// What is held of a server that goes on and on, in the host and by the operating system on both sides, is less.
const MUCH: usize = 32 << 20;
/// What ends the client, without a word too many. Anybody who can publish may have put this header into a message.
const DEADLY: &[u8] = b"HMSG a 1 20 20\r\nNATS/1.0\r\nA: x\ry\r\n\r\n\r\n";

/// Listens in the place of a server, and serves whoever comes, one after the other. Tells what came of those who have left.
struct Pretender {
    port: u16,
    served: mpsc::UnboundedReceiver<usize>,
    _listens: AbortOnDropHandle<()>,
}

impl Pretender {
    const PLACE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

    async fn start<S>(serve: impl Fn(TcpStream) -> S + Send + 'static) -> Self
    where
        S: Future<Output = usize> + Send + 'static,
    {
        let listener = TcpListener::bind((Self::PLACE, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, served) = mpsc::unbounded_channel();
        let listens = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // Nobody may want to know any more.
                let _ = tell.send(serve(stream).await);
            }
        });
        Self {
            port,
            served,
            _listens: AbortOnDropHandle::new(listens),
        }
    }

    async fn next(&mut self) -> usize {
        soon(self.served.recv()).await.unwrap()
    }
}

/// Reads until a client has said this.
async fn until_said(stream: &mut TcpStream, what: &str) -> io::Result<()> {
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains(what) {
        if stream.read_buf(&mut said).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Lets a client in as a server does, and waits until it wants to hear something.
async fn let_in(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(INFO).await?;
    until_said(stream, "PING\r\n").await?;
    stream.write_all(b"PONG\r\n").await?;
    until_said(stream, "SUB a ").await
}

/// Goes on for as long as somebody takes it. How much that was.
async fn goes_on(mut stream: TcpStream, begin: &[u8]) -> usize {
    let more = vec![b'x'; 1 << 16];
    let mut taken = 0;
    if stream.write_all(begin).await.is_ok() {
        while stream.write_all(&more).await.is_ok() {
            taken += more.len();
        }
    }
    taken
}

/// The same with a client that was let in.
async fn lets_in_and_goes_on(mut stream: TcpStream, begin: &[u8]) -> usize {
    match let_in(&mut stream).await {
        Ok(()) => goes_on(stream, begin).await,
        Err(_) => 0,
    }
}

/// Says something to a client that was let in, and no more until it has left.
async fn lets_in_and_says(mut stream: TcpStream, what: &[u8]) -> usize {
    let said = async {
        let_in(&mut stream).await?;
        stream.write_all(what).await
    };
    // It may leave at any time, and in disorder.
    let _ = said.await;
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard).await;
    heard.len()
}

/// A link to where a pretender is, and something that it hears.
async fn heard_from(pretender: &Pretender) -> (Arc<Names>, Link, Feed) {
    let names = Arc::new(Names::default());
    names.lead_to(Pretender::PLACE);
    let url = format!("nats://nats.test:{}", pretender.port);
    let link = open(&dial(&names, "127.0.0.0/8"), &url).await.unwrap();
    let feed = link.subscribe("a".to_owned(), None).await;
    (names, link, feed)
}

/// From now on, the name of a pretender leads to a server.
fn takes_over(server: &Nats, pretender: &Pretender, names: &Names) -> Proxy {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, pretender.port));
    let way = Proxy::between(at, server.port());
    names.lead_to(Ipv4Addr::LOCALHOST);
    way
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_end_is_not_held_and_another_server_is_spoken_to() {
    let server = Nats::launch();
    let long = "it sends a message of 99999999999 bytes, of at most 67108864";
    for (begin, why) in [
        (&b"MSG a 1 99999999999\r\n"[..], long),
        (b"HMSG a 1 12 99999999999\r\n", long),
        (b"PING", "it sends a line of more than 65536 bytes"),
        (b"INFO ", "it sends a line of more than 1048576 bytes"),
    ] {
        let pretender = Pretender::start(move |it| lets_in_and_goes_on(it, begin)).await;
        is_not_held(pretender, why, &server).await;
    }
}

/// It says more and more, of which little is taken, and another one that comes in its place is spoken to.
async fn is_not_held(mut pretender: Pretender, why: &str, server: &Nats) {
    let (names, link, mut feed) = heard_from(&pretender).await;
    until_told(&link, why).await;
    let taken = pretender.next().await;
    assert!(taken < MUCH, "{taken} bytes were taken");
    let _way = takes_over(server, &pretender, &names);
    is_heard(&link, &mut feed).await;
    assert_eq!(link.trouble(), None);
}

/// Before there is a client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_on_and_on_about_itself_is_not_held_either() {
    let server = Nats::launch();
    for (begin, why) in [
        (&b"INFO "[..], "it sends a line of more than 1048576 bytes"),
        (
            b"INFO {}\r\nPING",
            "it sends a line of more than 65536 bytes",
        ),
        (b"MSG a 1 99999999999\r\n", "what it says is not understood"),
    ] {
        let pretender = Pretender::start(move |it| goes_on(it, begin)).await;
        is_not_held(pretender, why, &server).await;
    }
}

/// Lines that are short enough, and that the client would panic on or not understand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_ends_the_connection_and_is_told() {
    let server = Nats::launch();
    let odd = "what it says is not understood";
    let long = "it sends a message of 18446744073709551615 bytes, of at most 67108864";
    for (what, why) in [
        (&b"-ERR\r\n"[..], odd),
        (b"HMSG a 1 15 12\r\nNATS/1.0\r\n\r\nabc\r\n", odd),
        (b"\r\n", odd),
        (b"MSG a 1 18446744073709551615\r\nx\r\n", long),
    ] {
        let pretender = Pretender::start(move |it| lets_in_and_says(it, what)).await;
        let (names, link, mut feed) = heard_from(&pretender).await;
        until_told(&link, why).await;
        let _way = takes_over(&server, &pretender, &names);
        is_heard(&link, &mut feed).await;
    }
}

/// It ends the client, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_on_which_the_client_panics_ends_the_connection_which_is_made_again() {
    let server = Nats::launch();
    let mut pretender = Pretender::start(|it| lets_in_and_says(it, DEADLY)).await;
    let (names, link, mut feed) = heard_from(&pretender).await;
    for _ in 0..2 {
        pretender.next().await;
    }
    let _way = takes_over(&server, &pretender, &names);
    is_heard(&link, &mut feed).await;
}

/// It says the same to whoever comes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lets_in_and_is_left_again_is_not_tried_all_the_time() {
    for what in [&b"-ERR\r\n"[..], DEADLY] {
        let mut pretender = Pretender::start(move |it| lets_in_and_says(it, what)).await;
        let _link = heard_from(&pretender).await;
        pretender.next().await;
        let since = Instant::now();
        for _ in 0..5 {
            pretender.next().await;
        }
        // The pauses are 50, 100, 200, 400 and 800 ms, or fewer where a connection took a second by itself.
        assert!(since.elapsed() >= STEADY, "{:?}", since.elapsed());
    }
}

/// Those who count what is on its way go by it.
#[tokio::test]
async fn a_server_is_not_believed_that_takes_messages_of_any_length() {
    let pretender = Pretender::start(|it| lets_in_and_says(it, b"")).await;
    let (names, link, feed) = heard_from(&pretender).await;
    let live = soon(link.connected()).await;
    assert_eq!(link.max_payload(), LARGEST);
    assert_eq!(live.client.server_info().max_payload, LARGEST);
    let url = format!("nats://nats.test:{}", pretender.port);
    let (url, dial) = (url.parse().unwrap(), dial(&names, "127.0.0.0/8"));
    drop((live, link, feed));
    let by = NamedBy::Workload;
    let small = Link::open_within(&dial, &url, by, "a test", LONG, 1000).await;
    let small = small.unwrap();
    soon(small.connected()).await;
    assert_eq!(small.max_payload(), 1000);
}

/// Of two on the same server, one may hear what ends the connection of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_longer_than_somebody_takes_ends_no_connection_of_others() {
    let (server, names) = (Nats::launch(), Arc::new(Names::default()));
    names.lead_to(Ipv4Addr::LOCALHOST);
    let (dial, by) = (dial(&names, "127.0.0.0/8"), NamedBy::Workload);
    let url = format!("nats://nats.test:{}", server.port());
    let large = open(&dial, &url).await.unwrap();
    let url = url.parse().unwrap();
    let small = Link::open_within(&dial, &url, by, "a test", LONG, 1000).await;
    let small = small.unwrap();
    let mut all = large.subscribe("a".to_owned(), None).await;
    let mut short = small.subscribe("a".to_owned(), None).await;
    let live = soon(large.connected()).await;
    for length in [1000, 1001] {
        let body = vec![b'x'; length].into();
        live.client.publish("a", body).await.unwrap();
        assert_eq!(soon(all.next()).await.unwrap().payload.len(), length);
    }
    assert_eq!(soon(short.next()).await.unwrap().payload.len(), 1000);
    let again = async {
        while small.connects().0 == 1 {
            tokio::task::yield_now().await;
        }
    };
    soon(again).await;
    is_heard(&small, &mut short).await;
    assert!(live.is_there());
}
