//! Clients that leave, at every point of an exchange: the guest goes with them. Counted, not timed: the workload must come to have
//! no instance, and what is under way must not keep it.

use bytes::Bytes;
use http_body::Frame;

use crate::stories::{Dialect, P2, P3};
use crate::support::{
    Body, Raw, TestHost, Version, body_of, empty, frames, full, h2, request, within,
};

const NAME: &str = "left";

/// More than the server reads ahead, and less than the operating system holds.
const MUCH: usize = 50_000;

async fn host(dialect: &Dialect) -> TestHost {
    let host = TestHost::start().await;
    host.run(NAME, &dialect.spec()).await;
    host
}

/// How a client without manners leaves.
#[derive(Clone, Copy, Debug)]
enum Leaving {
    /// It closes the connection.
    Closing,
    /// It breaks the connection.
    Resetting,
    /// It closes its end only, which looks the same from here.
    HalfClosing,
}

const WAYS: [Leaving; 3] = [Leaving::Closing, Leaving::Resetting, Leaving::HalfClosing];

impl Leaving {
    /// Gives the connection back if it is still there.
    async fn leave(self, mut raw: Raw) -> Option<Raw> {
        match self {
            Self::Closing => None,
            Self::Resetting => {
                raw.reset();
                None
            }
            Self::HalfClosing => {
                raw.finish_sending().await;
                Some(raw)
            }
        }
    }
}

/// Sends bytes, waits until a guest is at them, and leaves.
async fn sends_and_leaves(host: &TestHost, bytes: &[u8]) {
    for way in WAYS {
        let mut raw = host.raw().await;
        raw.send(bytes).await;
        host.instances(NAME, 1).await;
        let _open = way.leave(raw).await;
        host.instances(NAME, 0).await;
    }
}

/// A `POST` whose body is only begun.
fn begun(path: &str) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        2 * MUCH
    );
    [head.into_bytes(), vec![b'x'; MUCH]].concat()
}

/// The same over HTTP/2.
fn begun_2(path: &str) -> Vec<u8> {
    let head = h2::head(1, "POST", path, h2::END_HEADERS);
    let piece = h2::data(1, &vec![b'x'; MUCH / 5]);
    [h2::begin(), head, piece.repeat(5)].concat()
}

async fn in_the_head(dialect: &Dialect) {
    // With one place, the next client is only answered when that of the last one is free.
    let host = TestHost::with(|config| {
        config.http.as_mut().unwrap().limits.connections = 1;
    })
    .await;
    host.run(NAME, &dialect.spec()).await;
    let half = String::from_utf8(h2::begin()).unwrap();
    for beginning in [
        "",
        "GET / HT",
        "GET / HTTP/1.1\r\nHost: loc",
        "PRI * HTTP",
        &half,
    ] {
        for way in WAYS {
            let mut raw = host.raw().await;
            raw.send(beginning).await;
            let _open = way.leave(raw).await;
            assert_eq!(
                host.get("/hello").await.body,
                dialect.hello,
                "{beginning:?}"
            );
        }
    }
}

async fn in_a_body_that_nobody_reads(dialect: &Dialect) {
    let host = host(dialect).await;
    sends_and_leaves(&host, &begun("/hang")).await;
    sends_and_leaves(&host, &begun_2("/hang")).await;
    sends_and_leaves(&host, &begun("/never-ends")).await;
    sends_and_leaves(&host, &begun_2("/never-ends")).await;
}

async fn in_a_body_that_the_guest_reads(dialect: &Dialect) {
    let host = host(dialect).await;
    sends_and_leaves(&host, &begun("/slurp")).await;
    sends_and_leaves(&host, &begun_2("/slurp")).await;
    sends_and_leaves(&host, &begun("/echo")).await;
    sends_and_leaves(&host, &begun_2("/echo")).await;
}

async fn after_the_request(dialect: &Dialect) {
    let host = host(dialect).await;
    for path in ["/hang", "/spin", "/never-ends"] {
        let get = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        sends_and_leaves(&host, get.as_bytes()).await;
        sends_and_leaves(&host, &[h2::begin(), h2::get(1, path)].concat()).await;
        // One that gives up what it asked for and stays.
        let mut raw = host.raw().await;
        raw.send([h2::begin(), h2::get(1, path)].concat()).await;
        host.instances(NAME, 1).await;
        raw.send(h2::reset(1)).await;
        host.instances(NAME, 0).await;
        // Another request behind it hides the end of the stream from whoever only reads so far.
        sends_and_leaves(&host, format!("{get}{get}").as_bytes()).await;
        sends_and_leaves(&host, format!("{get}GET / HT").as_bytes()).await;
    }
}

async fn in_the_answer(dialect: &Dialect) {
    let host = host(dialect).await;
    for way in WAYS {
        // Endless for the one who waits, and endless for the one who is given too much.
        for (path, line) in [("/never-ends", "first chunk"), ("/big?mib=64", "x")] {
            let mut raw = Raw::narrow(host.addr()).await;
            raw.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
                .await;
            let mut head = Vec::new();
            while let Some(text) = raw.line().await.filter(|text| !text.is_empty()) {
                head.push(text);
            }
            assert_eq!(head[0], "HTTP/1.1 200 OK");
            host.instances(NAME, 1).await;
            if path == "/never-ends" {
                raw.line().await.expect("the size of a chunk");
                assert_eq!(raw.line().await.as_deref(), Some(line));
            }
            // One who reads no more and has closed its end cannot be told from one who reads slowly; reading on would be needed.
            if matches!((path, way), ("/big?mib=64", Leaving::HalfClosing)) {
                raw.reset();
            } else {
                let _open = way.leave(raw).await;
            }
            host.instances(NAME, 0).await;
        }
    }
}

/// The client stays and gives up one stream; then it leaves in the middle of another.
async fn from_a_stream(dialect: &Dialect) {
    let host = host(dialect).await;
    let started = |path: &'static str, body: Body| {
        let wanted = request(Version::H2, "POST", "localhost", path, body);
        (path, wanted)
    };
    let mut connection = host.connect(Version::H2).await;
    for leaves in [false, true] {
        let (sender, reading) = frames();
        let (unread_sender, unread) = frames();
        for sender in [&sender, &unread_sender] {
            let piece = Frame::data(Bytes::from(vec![b'x'; MUCH]));
            sender.send(piece).await.unwrap();
        }
        for (path, wanted) in [
            started("/hang", empty()),
            started("/spin", empty()),
            started("/slurp", reading),
            started("/hang", unread),
            started("/hang", full(vec![b'x'; MUCH])),
        ] {
            let pending = connection.begin(wanted);
            host.instances(NAME, 1).await;
            assert!(!pending.is_finished(), "{path}");
            if leaves {
                connection.leave().await;
                connection = host.connect(Version::H2).await;
            }
            pending.abort();
            host.instances(NAME, 0).await;
        }
    }
    for leaves in [false, true] {
        for (path, wanted) in [
            started("/never-ends", empty()),
            started("/big?mib=64", empty()),
        ] {
            let mut response = connection.send(wanted).await;
            if path == "/never-ends" {
                body_of(response.body_mut(), "first chunk\n").await;
            }
            host.instances(NAME, 1).await;
            if leaves {
                connection.leave().await;
                connection = host.connect(Version::H2).await;
            }
            drop(response);
            host.instances(NAME, 0).await;
        }
    }
}

/// Pieces that come one by one while the guest reads none, or each: neither is taken for the end.
async fn many_small_pieces_are_no_departure(dialect: &Dialect) {
    let host = host(dialect).await;
    let mut raw = host.raw().await;
    raw.send("POST /slurp HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n")
        .await;
    let mut unread = host.raw().await;
    unread
        .send("POST /hang HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\n\r\n")
        .await;
    host.instances(NAME, 2).await;
    for _ in 0..2000 {
        raw.send("x").await;
        unread.send("x").await;
        tokio::task::yield_now().await;
    }
    let answer = within(raw.answer()).await.expect("an answer");
    assert_eq!((answer.status, answer.body().as_str()), (200, "2000\n"));
    host.instances(NAME, 1).await;
    drop(unread);
    host.instances(NAME, 0).await;
}

macro_rules! told_of {
    ($dialect:ident in $module:ident: $($story:ident),+ $(,)?) => {
        mod $module {
            $(
                #[tokio::test]
                async fn $story() {
                    super::$story(&super::$dialect).await;
                }
            )+
        }
    };
}

told_of!(P2 in wasi_0_2: in_the_head, in_a_body_that_nobody_reads, in_a_body_that_the_guest_reads, after_the_request,
    in_the_answer, from_a_stream, many_small_pieces_are_no_departure);
told_of!(P3 in wasi_0_3: in_the_head, in_a_body_that_nobody_reads, in_a_body_that_the_guest_reads, after_the_request,
    in_the_answer, from_a_stream, many_small_pieces_are_no_departure);
