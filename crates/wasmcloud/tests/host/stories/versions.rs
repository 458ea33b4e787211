//! What the two versions of HTTP have to themselves.

use super::Dialect;
use crate::support::{Answer, TestHost, Version, empty, request, within};

/// Requests sent without waiting are answered in their order.
pub(crate) async fn pipelined_requests_are_answered_in_order(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("pipe", &dialect.spec()).await;
    let mut raw = host.raw().await;
    let get = |path| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let codes = [201, 404, 202, 500, 203];
    let requests = codes.map(|code| get(format!("/status?code={code}")));
    raw.send(requests.concat()).await;
    for code in codes {
        let answer = raw.answer().await.expect("an answer");
        assert_eq!((answer.status, answer.body()), (code, format!("{code}\n")));
    }
}

pub(crate) async fn a_connection_serves_many_requests(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("keep", &dialect.spec()).await;
    let mut connection = host.connect(Version::H1).await;
    for _ in 0..5 {
        let wanted = request(Version::H1, "GET", "localhost", "/hello", empty());
        let answer = Answer::of(connection.send(wanted).await).await;
        assert_eq!(answer.body, dialect.hello);
    }
}

/// A hundred at once on one connection; each must begin before any may end, or the echo of the last would never come.
pub(crate) async fn a_hundred_streams_share_a_connection(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("many", &dialect.spec()).await;
    let mut connection = host.connect(Version::H2).await;
    let mut open = Vec::new();
    for _ in 0..100 {
        let (sender, body) = crate::support::frames();
        let wanted = request(Version::H2, "POST", "localhost", "/echo", body);
        open.push((sender, connection.begin(wanted)));
    }
    let mut answers = Vec::new();
    for (number, (sender, pending)) in open.into_iter().enumerate() {
        let response = within(pending).await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        answers.push((number, sender, response));
    }
    for (number, sender, response) in answers.into_iter().rev() {
        let text = number.to_string();
        sender
            .send(http_body::Frame::data(text.clone().into()))
            .await
            .unwrap();
        drop(sender);
        assert_eq!(Answer::of(response).await.body, text);
    }
    host.stop_finds_nothing_running("many").await;
}
