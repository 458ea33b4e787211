//! That a faulty registry does what it is told, and nothing else.

use std::io::{self, BufReader, Read as _, Write as _};

use super::*;
use crate::Registry;
use crate::wire::{Body, Head};

const OF_AB: &str = "sha256:fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603";

/// A client that keeps its connection.
struct Client(BufReader<Link>);

impl Client {
    fn to(port: u16) -> Self {
        Self(BufReader::new(Link::connect(port).expect("it listens")))
    }

    fn ask(&mut self, head: &str, body: &str) -> io::Result<(Head, Vec<u8>)> {
        let text = format!("{head}\r\n\r\n{body}");
        self.0.get_mut().write_all(text.as_bytes())?;
        let ended = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let answer = Head::read(&mut self.0).ok_or_else(ended)?;
        let mut bytes = Vec::new();
        let method = head.split(' ').next().unwrap_or_default();
        let framing = answer.body_of_answer(method);
        Body::new(&mut self.0, framing).read_to_end(&mut bytes)?;
        Ok((answer, bytes))
    }
}

fn get(faulty: &FaultyRegistry, path: &str) -> io::Result<(Head, Vec<u8>)> {
    Client::to(faulty.port()).ask(&format!("GET {path} HTTP/1.1\r\nHost: x"), "")
}

/// Pushes the blob `ab` by three requests.
fn push(faulty: &FaultyRegistry) -> String {
    let mut client = Client::to(faulty.port());
    let host = faulty.address();
    let head = format!("POST /v2/a/b/blobs/uploads/ HTTP/1.1\r\nHost: {host}");
    let (begun, _) = client.ask(&head, "").expect("an answer");
    assert_eq!(begun.word(1), "202");
    let place = begun.header("location").expect("a place");
    let begin = format!("http://{host}");
    let place = place.strip_prefix(&begin).expect("it is at the proxy");
    let chunked = "Transfer-Encoding: chunked\r\nContent-Type: application/octet-stream";
    let head = format!("PATCH {place} HTTP/1.1\r\nHost: {host}\r\n{chunked}");
    let patched = client.ask(&head, "1\r\na\r\n1\r\nb\r\n0\r\n\r\n");
    let (patched, _) = patched.expect("an answer");
    assert_eq!(patched.word(1), "202");
    let place = patched.header("location").expect("a place");
    let place = place.strip_prefix(&begin).expect("it is at the proxy");
    let head = format!("PUT {place}&digest={OF_AB} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0");
    let (put, _) = client.ask(&head, "").expect("an answer");
    assert_eq!(put.word(1), "201");
    format!("/v2/a/b/blobs/{OF_AB}")
}

#[test]
fn what_no_rule_is_for_passes_unchanged() {
    let registry = Registry::start();
    let faulty = FaultyRegistry::to(registry.port());
    let path = push(&faulty);
    assert!(registry.blob(OF_AB).is_file());
    let mut client = Client::to(faulty.port());
    let head = format!("HEAD {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic abc");
    let (answer, _) = client.ask(&head, "").expect("an answer");
    assert_eq!(answer.header("content-length"), Some("2"));
    let (answer, body) = get(&faulty, &path).expect("an answer");
    assert_eq!((answer.word(1), body.as_slice()), ("200", b"ab".as_slice()));
    assert_eq!(faulty.bytes(&path), 2);
    assert_eq!(faulty.count("PATCH", "/uploads/"), 1);
    assert_eq!(faulty.requests_of("PATCH", "")[0].received, 2);
    let heads = faulty.requests_of("HEAD", OF_AB);
    assert_eq!(heads[0].authorization(), Some("Basic abc"));
    faulty.forget();
    assert!(faulty.requests().is_empty());
}

#[test]
fn a_rule_is_for_the_requests_that_it_names() {
    let faulty = FaultyRegistry::alone();
    faulty.rule(Rule::on("/a", Fault::too_many(7)).nth(2));
    faulty.rule(Rule::on("/b", Fault::status(500)).first(1));
    faulty.rule(Rule::on("/b", Fault::status(503)).after(2));
    faulty.rule(Rule::on("/c", Fault::status(204)).method("POST"));
    let status = |path| get(&faulty, path).expect("an answer").0.word(1).to_owned();
    assert_eq!(
        [status("/a"), status("/a"), status("/a")],
        ["404", "429", "404"]
    );
    assert_eq!(
        [status("/b"), status("/b"), status("/b")],
        ["500", "404", "503"]
    );
    assert_eq!(status("/c"), "404");
    faulty.heal();
    assert_eq!(status("/b"), "404");
    assert_eq!(faulty.requests()[1].status, 429);
}

#[test]
fn answers_go_wrong_as_they_are_told() {
    let registry = Registry::start();
    let faulty = FaultyRegistry::to(registry.port());
    let path = push(&faulty);
    let with = |fault| {
        faulty.heal();
        faulty.rule(Rule::on("/blobs/", fault));
        get(&faulty, &path)
    };
    let kind = |answer: io::Result<(Head, Vec<u8>)>| answer.expect_err("a failure").kind();
    let body = |answer: io::Result<(Head, Vec<u8>)>| answer.expect("an answer").1;
    assert_eq!(kind(with(Fault::Close)), io::ErrorKind::UnexpectedEof);
    assert!(with(Fault::Reset).is_err());
    assert!(with(Fault::ResetAfter).is_err());
    let reset = with(Fault::TruncateAndReset(1));
    assert_eq!(kind(reset), io::ErrorKind::ConnectionReset);
    let closed = with(Fault::TruncateAndClose(1));
    assert_eq!(kind(closed), io::ErrorKind::UnexpectedEof);
    assert_eq!(kind(with(Fault::length(3))), io::ErrorKind::UnexpectedEof);
    assert_eq!(body(with(Fault::length(1))), b"a");
    assert_eq!(body(with(Fault::Shorten(1))), b"a");
    assert_eq!(body(with(Fault::Corrupt(1))), b"ac");
    assert_eq!(body(with(Fault::Body(b"other".to_vec()))), b"other");
    assert_eq!(body(with(Fault::Chunked)), b"ab");
    let (head, _) = with(Fault::digest("sha256:0")).expect("an answer");
    assert_eq!(head.header("docker-content-digest"), Some("sha256:0"));
    let (head, _) = with(Fault::Redirect("http://127.0.0.1:1".to_owned())).expect("an answer");
    let place = format!("http://127.0.0.1:1{path}");
    assert_eq!(head.header("location"), Some(place.as_str()));
}

#[test]
fn what_is_held_up_goes_on_when_it_is_released() {
    let registry = Registry::start();
    let faulty = FaultyRegistry::to(registry.port());
    let path = push(&faulty);
    for fault in [Fault::Hold, Fault::Stall(1)] {
        faulty.forget();
        faulty.rule(Rule::on(OF_AB, fault.clone()));
        let (_, body) = std::thread::scope(|scope| {
            let asking = scope.spawn(|| get(&faulty, &path).expect("an answer"));
            faulty.until_held(1);
            let sent = if matches!(fault, Fault::Hold) { 0 } else { 1 };
            assert_eq!(faulty.bytes(&path), sent);
            faulty.release();
            asking.join().expect("it goes on")
        });
        assert_eq!(body, b"ab");
        faulty.heal();
    }
}

#[test]
fn an_endless_body_ends_when_the_client_leaves() {
    let registry = Registry::start();
    let faulty = FaultyRegistry::to(registry.port());
    let path = push(&faulty);
    faulty.rule(Rule::on(OF_AB, Fault::Endless));
    let mut client = Client::to(faulty.port());
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    client
        .0
        .get_mut()
        .write_all(request.as_bytes())
        .expect("it reads");
    client
        .0
        .read_exact(&mut vec![0; 1 << 20])
        .expect("more than there is");
    drop(client);
    faulty.until_requests(|requests| requests.iter().all(|request| request.over));
}
