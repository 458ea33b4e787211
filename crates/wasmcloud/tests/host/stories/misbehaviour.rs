//! Guests that fail, and clients that go away.

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt as _;
use wasmcloud::capability::http::{ErrorDetail, HttpOptions};

use super::Dialect;
use crate::support::{
    Answer, Body, Log, TestHost, Version, body_of, empty, frames, full, request, within,
};

/// More than the server reads ahead.
const UNREAD: &[u8] = &[7; 100_000];

const BOTH: [Version; 2] = [Version::H1, Version::H2];

pub(crate) async fn a_trap_is_explained_to_developers(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("trap", &dialect.spec()).await;
    let answer = host.get("/trap-before").await;
    assert_eq!(answer.status, 500);
    let first = answer.body.lines().next().unwrap();
    assert_eq!(
        first,
        "500 component `api` trapped: wasm trap: wasm `unreachable` instruction executed"
    );
    assert!(answer.body.contains("Wasm backtrace"), "{}", answer.body);
    assert!(answer.body.contains("handle"), "{}", answer.body);
    // The guest's own last words are its output.
    let lines = host.lines(1).await;
    assert!(
        lines
            .iter()
            .any(|line| line.text.contains("told to trap before the response")),
        "{lines:?}"
    );
    assert_eq!(host.get("/hello").await.body, dialect.hello);
    host.stop_finds_nothing_running("trap").await;
}

pub(crate) async fn a_trap_is_a_reference_to_the_log_elsewhere(dialect: &Dialect) {
    let log = Log::capture();
    let host = TestHost::with(|config| {
        config.http = Some(HttpOptions {
            errors: ErrorDetail::Reference,
            ..HttpOptions::new(([127, 0, 0, 1], 0).into())
        });
    })
    .await;
    host.run("trap", &dialect.spec()).await;
    let answer = host.get("/trap-before").await;
    assert_eq!(answer.status, 500);
    let (text, id) = answer.body.trim_end().split_once("id: ").expect("an id");
    assert_eq!(text, "500 Internal Server Error\n");
    let log = log.text();
    let entry = log.split("ERROR").find(|entry| entry.contains(id));
    let entry = entry.unwrap_or_else(|| panic!("no {id} in {log}"));
    for wanted in ["trap", "`api`", "unreachable", "Wasm backtrace"] {
        assert!(entry.contains(wanted), "no {wanted} in {entry}");
    }
}

/// The head is out, so all that is left is to break off: the client must not take what it has for the whole.
pub(crate) async fn a_trap_in_the_body_breaks_the_answer_off(dialect: &Dialect) {
    let log = Log::capture();
    let host = TestHost::start().await;
    host.run("trap", &dialect.spec()).await;
    for version in BOTH {
        let mut connection = host.connect(version).await;
        let wanted = request(version, "GET", "localhost", "/trap-after", empty());
        let mut response = connection.send(wanted).await;
        assert_eq!(response.status(), 200);
        body_of(response.body_mut(), "first chunk\n").await;
        let end = within(response.body_mut().collect()).await;
        assert!(end.is_err(), "{version:?}: {end:?}");
    }
    assert_eq!(host.get("/hello").await.body, dialect.hello);
    host.stop_finds_nothing_running("trap").await;
    let log = log.text();
    assert!(
        log.contains("`api` failed after it began to answer"),
        "{log}"
    );
}

/// Sends a request and goes away while the guest is at it.
async fn leave(host: &TestHost, workload: &str, version: Version, body: Body) {
    let mut connection = host.connect(version).await;
    let pending = connection.begin(request(version, "POST", "localhost", "/hang", body));
    host.instances(workload, 1).await;
    connection.leave().await;
    pending.abort();
}

pub(crate) async fn a_guest_that_hangs_ends_with_its_client(dialect: &Dialect) {
    let host = TestHost::start().await;
    for version in BOTH {
        host.run("hang", &dialect.spec()).await;
        leave(&host, "hang", version, empty()).await;
        host.stop_finds_nothing_running("hang").await;
    }
}

/// The guest never looks at the body, so nobody reads what the client sends.
pub(crate) async fn a_guest_that_leaves_the_body_unread_ends_with_its_client(dialect: &Dialect) {
    let host = TestHost::start().await;
    for version in BOTH {
        host.run("hang", &dialect.spec()).await;
        leave(&host, "hang", version, full(UNREAD)).await;
        host.stop_finds_nothing_running("hang").await;
    }
}

pub(crate) async fn a_guest_ends_with_a_client_that_leaves_while_it_sends(dialect: &Dialect) {
    let host = TestHost::start().await;
    for version in BOTH {
        host.run("hang", &dialect.spec()).await;
        let (sender, body) = frames();
        sender
            .send(Frame::data(Bytes::from_static(UNREAD)))
            .await
            .unwrap();
        leave(&host, "hang", version, body).await;
        host.stop_finds_nothing_running("hang").await;
        drop(sender);
    }
}

pub(crate) async fn a_body_without_end_ends_with_its_client(dialect: &Dialect) {
    let host = TestHost::start().await;
    for (version, body) in [
        (Version::H1, empty()),
        (Version::H2, empty()),
        (Version::H1, full(UNREAD)),
        (Version::H2, full(UNREAD)),
    ] {
        host.run("endless", &dialect.spec()).await;
        let mut connection = host.connect(version).await;
        let wanted = request(version, "POST", "localhost", "/never-ends", body);
        let mut response = connection.send(wanted).await;
        body_of(response.body_mut(), "first chunk\n").await;
        connection.leave().await;
        drop(response);
        host.stop_finds_nothing_running("endless").await;
    }
}

/// One stream of a connection is given up, the connection stays.
pub(crate) async fn a_stream_that_is_reset_ends_its_guest_only(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("endless", &dialect.spec()).await;
    let mut connection = host.connect(Version::H2).await;
    let wanted = |path| request(Version::H2, "GET", "localhost", path, empty());
    let mut given_up = connection.send(wanted("/never-ends")).await;
    body_of(given_up.body_mut(), "first chunk\n").await;
    let pending = connection.begin(wanted("/hang"));
    host.instances("endless", 2).await;
    drop(given_up);
    pending.abort();
    let answer = Answer::of(connection.send(wanted("/hello")).await).await;
    assert_eq!(answer.body, dialect.hello);
    host.stop_finds_nothing_running("endless").await;
}

/// Guests that compute for good on every core leave room for others, and end with their clients.
pub(crate) async fn a_guest_that_spins_does_not_stall_its_neighbours(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("spin", &dialect.spec()).await;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut spinning = Vec::new();
    for index in 0..2 * cores {
        let version = BOTH[index % 2];
        let mut connection = host.connect(version).await;
        let wanted = request(version, "GET", "localhost", "/spin", empty());
        spinning.push((connection.begin(wanted), connection));
    }
    host.instances("spin", 2 * cores).await;
    for _ in 0..10 {
        assert_eq!(host.get("/hello").await.body, dialect.hello);
    }
    for (pending, connection) in spinning {
        assert!(!pending.is_finished());
        connection.leave().await;
        pending.abort();
    }
    host.stop_finds_nothing_running("spin").await;
}
