//! What both sides say before anything else: the server what it is, the client who it is. The client does not hear all of the one, and
//! does not know all of the other.

use async_nats::ServerAddr;
use bytes::BytesMut;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::NatsError;
use super::frames::{Refused, SAYS_WHAT_IT_IS, end_of_line};

/// How much is read at once. As a rule all of it is less.
const PIECE: usize = 4 << 10;

/// Reads the line that a connection begins with, which may be so long. What has come behind it is the second of the two.
pub(super) async fn first_line(
    from: &mut (impl AsyncRead + Unpin),
    longest: usize,
) -> Result<(BytesMut, BytesMut), NatsError> {
    let mut read = BytesMut::with_capacity(PIECE);
    loop {
        // One half of its end may be there.
        let seen = read.len().saturating_sub(1);
        match from.read_buf(&mut read).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(NatsError::Away),
        }
        let end = end_of_line(read.get(seen..).unwrap_or_default());
        let end = end.map(|end| seen + end);
        if end.unwrap_or(read.len()) > longest {
            return Err(Refused::Line(longest).into());
        }
        if let Some(end) = end {
            let line = read.split_to(end);
            return Ok((line, read));
        }
    }
}

/// What a server says of itself.
pub(super) struct Info(Map<String, Value>);

impl Info {
    pub(super) fn read(line: &[u8]) -> Result<Self, Refused> {
        let told = line.strip_prefix(SAYS_WHAT_IT_IS).ok_or(Refused::Odd)?;
        serde_json::from_slice(told)
            .map(Self)
            .map_err(|_| Refused::Odd)
    }

    /// Whether it speaks nothing but TLS from here on.
    pub(super) fn wants_tls(&self) -> bool {
        self.0.get("tls_required") == Some(&Value::Bool(true))
    }

    /// What the client hears of it. TLS is none of its business, and neither are other servers, of which there may be many. It sends
    /// messages that are as long as it hears they may be, and others go by that, too.
    pub(super) fn for_client(mut self, largest: usize) -> Vec<u8> {
        let Self(told) = &mut self;
        told.insert("tls_required".to_owned(), json!(false));
        told.remove("connect_urls");
        told.remove("ws_connect_urls");
        if let Some(most) = told.get_mut("max_payload")
            && most.as_u64().is_some_and(|most| most > largest as u64)
        {
            *most = json!(largest);
        }
        format!("INFO {}\r\n", Value::Object(self.0)).into_bytes()
    }
}

/// As whom servers are spoken to.
pub(super) struct Login {
    user: Option<String>,
    password: Option<String>,
    token: Option<String>,
}

impl Login {
    /// As the first of them says that says anything.
    pub(super) fn of(servers: &[ServerAddr]) -> Self {
        let user = servers
            .iter()
            .find_map(|server| Some((server.username()?, server.password())));
        let (user, password, token) = match user {
            Some((user, Some(password))) => (Some(user), Some(password), None),
            Some((token, None)) => (None, None, Some(token)),
            None => (None, None, None),
        };
        Self {
            user: user.map(str::to_owned),
            password: password.map(str::to_owned),
            token: token.map(str::to_owned),
        }
    }

    /// What the server hears of a client that has said this. `None`: it is a stranger, who does not know the secret.
    pub(super) fn of_client(&self, line: &[u8], secret: &str, tls: bool) -> Option<Vec<u8>> {
        let told = line.strip_prefix(b"CONNECT ")?;
        let mut told: Map<String, Value> = serde_json::from_slice(told).ok()?;
        if told.get("auth_token")?.as_str()? != secret {
            return None;
        }
        for (key, value) in [
            ("user", json!(self.user)),
            ("pass", json!(self.password)),
            ("auth_token", json!(self.token)),
            ("tls_required", json!(tls)),
        ] {
            told.insert(key.to_owned(), value);
        }
        Some(format!("CONNECT {}\r\n", Value::Object(told)).into_bytes())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    const LARGEST: usize = 1000;

    fn heard(info: &Value) -> Value {
        let line = format!("INFO {info} \r\n");
        let info = Info::read(line.as_bytes()).unwrap();
        let told = info.for_client(LARGEST);
        let told = told.strip_prefix(b"INFO ").unwrap();
        serde_json::from_slice(told.strip_suffix(b"\r\n").unwrap()).unwrap()
    }

    #[test]
    fn a_client_hears_what_a_server_is_and_nothing_that_it_could_act_on() {
        let info = json!({
            "server_id": "N",
            "version": "2.9.10",
            "tls_required": true,
            "max_payload": 1_u64 << 60,
            "connect_urls": ["10.0.0.1:4222"],
        });
        let line = format!("INFO {info}\r\n");
        assert!(Info::read(line.as_bytes()).unwrap().wants_tls());
        let wanted = json!({
            "server_id": "N",
            "version": "2.9.10",
            "tls_required": false,
            "max_payload": LARGEST,
        });
        assert_eq!(heard(&info), wanted);
        let small = heard(&json!({"max_payload": 10}));
        assert_eq!(small, json!({"max_payload": 10, "tls_required": false}));
        for odd in ["PING\r\n", "INFO \r\n", "INFO []\r\n", "INFO {\r\n"] {
            let told = Info::read(odd.as_bytes()).err();
            assert_eq!(told, Some(Refused::Odd), "{odd}");
        }
    }

    #[test]
    fn a_server_hears_the_login_and_not_the_secret_and_a_stranger_is_not_passed_on() {
        let servers = ["nats://a", "nats://ann:s3cret@b", "nats://t0ken@c"];
        let servers: [ServerAddr; 3] = servers.map(|server| server.parse().unwrap());
        let said = br#"CONNECT {"verbose":false,"auth_token":"key","user":null}"#;
        for (servers, user, password, token) in [
            (&servers[..], json!("ann"), json!("s3cret"), Value::Null),
            (&servers[2..], Value::Null, Value::Null, json!("t0ken")),
            (&servers[..1], Value::Null, Value::Null, Value::Null),
        ] {
            let login = Login::of(servers);
            let told = login.of_client(said, "key", true).unwrap();
            let told = told.strip_prefix(b"CONNECT ").unwrap();
            let told: Value = serde_json::from_slice(told).unwrap();
            let wanted = json!({
                "verbose": false,
                "user": user,
                "pass": password,
                "auth_token": token,
                "tls_required": true,
            });
            assert_eq!(told, wanted);
            for stranger in [
                &br#"CONNECT {"auth_token":"another"}"#[..],
                br#"CONNECT {"auth_token":null}"#,
                b"CONNECT {}",
                b"CONNECT key",
                b"SUB > 1",
            ] {
                assert_eq!(login.of_client(stranger, "key", true), None);
            }
        }
    }

    #[tokio::test]
    async fn the_first_line_is_read_in_whatever_pieces_it_comes_and_has_an_end() {
        for size in [1, 2, 5, 100] {
            let (mut near, mut far) = tokio::io::duplex(size);
            let writing = near.write_all(b"INFO {}\r\n");
            let (written, read) = tokio::join!(writing, first_line(&mut far, 9));
            written.unwrap();
            let (line, rest) = read.unwrap();
            assert_eq!((&line[..], rest.len()), (&b"INFO {}\r\n"[..], 0), "{size}");
        }
        let (line, rest) = first_line(&mut &b"INFO {}\r\nPONG"[..], 9).await.unwrap();
        assert_eq!((&line[..], &rest[..]), (&b"INFO {}\r\n"[..], &b"PONG"[..]));
        let long = first_line(&mut &b"INFO {}\r\n"[..], 8).await.err().unwrap();
        assert!(
            matches!(long, NatsError::Refused(Refused::Line(8))),
            "{long}"
        );
        let endless = first_line(&mut tokio::io::repeat(b'x'), 100_000).await;
        let told = endless.err().unwrap().to_string();
        assert_eq!(told, "it sends a line of more than 100000 bytes");
        let half = first_line(&mut &b"INFO {}\r"[..], 100).await.err().unwrap();
        assert!(matches!(half, NatsError::Away), "{half}");
    }
}
