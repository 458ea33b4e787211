//! What is not granted is denied with the interface's own error, so that programs cope.

use super::Dialect;
use crate::support::{Log, TestHost};

pub(crate) async fn requests_to_elsewhere_are_denied(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("reach", &dialect.spec()).await;
    let answer = host.get("/http").await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.as_str()),
        (200, "ErrorCode::HttpRequestDenied\n")
    );
}

/// Guests seldom say why their requests fail, so the log does, once.
pub(crate) async fn a_denial_is_told_once(dialect: &Dialect) {
    let log = Log::capture();
    let host = TestHost::start().await;
    host.run("reach", &dialect.spec()).await;
    for _ in 0..3 {
        host.get("/http").await;
    }
    let text = log.text();
    assert_eq!(
        text.matches("`allowedHosts` does not list").count(),
        1,
        "{text}"
    );
    assert!(text.contains("default/reach"), "{text}");
}

pub(crate) async fn files_are_denied(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("reach", &dialect.spec()).await;
    let answer = host.get("/files").await;
    assert_eq!(answer.status, 200);
    assert!(!answer.body.contains("Ok("), "{}", answer.body);
    let mut lines = answer.body.lines();
    assert!(
        lines.next().unwrap().starts_with("read Err("),
        "{}",
        answer.body
    );
    assert!(!std::path::Path::new("/tmp/written-by-a-guest").exists());
}

/// 127.0.0.1 is the workload itself, where nobody listens; outside there is nothing.
pub(crate) async fn sockets_lead_nowhere(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("reach", &dialect.spec()).await;
    let answer = host.get("/sockets").await;
    assert_eq!(answer.status, 200);
    let mut lines = answer.body.lines();
    let mut next = || lines.next().unwrap();
    assert!(next().contains("ConnectionRefused"), "{}", answer.body);
    assert_eq!(next(), "udp Ok(\"bound\")");
    assert!(next().starts_with("dns Err("), "{}", answer.body);
}
