//! One connection to PostgreSQL: its protocol over a TCP socket of the component.

use bytes::BytesMut;
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::IsNull;
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::backend::{
    AuthenticationSaslBody, DataRowBody, ErrorResponseBody, Message,
};
use postgres_protocol::message::frontend;
use protocol::{Query, connect};
use wstd::io::{self, AsyncRead as _, AsyncWrite as _};
use wstd::net::TcpStream;

use crate::settings::Settings;

/// What the server calls a session outside of a transaction.
const IDLE: u8 = b'I';
/// Texts, rather than the binary forms of values.
const TEXT: i16 = 0;

/// What the database says to a query.
pub enum Outcome {
    Rows(Vec<Vec<Option<String>>>),
    Refused { code: String, message: String },
}

/// A session of the database.
pub struct Connection {
    stream: TcpStream,
    received: BytesMut,
    /// Whether a transaction is open, in the words of the server.
    status: u8,
}

impl Connection {
    /// Connects and logs in.
    pub async fn open(settings: &Settings) -> io::Result<Self> {
        let stream = connect(&settings.host, settings.port).await?;
        let mut connection = Self {
            stream,
            received: BytesMut::new(),
            status: IDLE,
        };
        let parameters = [
            ("user", settings.user.as_str()),
            ("database", settings.database.as_str()),
            ("application_name", "connection-pool"),
            ("client_encoding", "UTF8"),
        ];
        let mut out = BytesMut::new();
        frontend::startup_message(parameters, &mut out)?;
        connection.send(&out).await?;
        connection.log_in(settings).await?;
        connection.until_ready().await?;
        Ok(connection)
    }

    async fn log_in(&mut self, settings: &Settings) -> io::Result<()> {
        let mut out = BytesMut::new();
        match self.next().await? {
            Message::AuthenticationOk => return Ok(()),
            Message::AuthenticationCleartextPassword => {
                frontend::password_message(settings.password.as_bytes(), &mut out)?;
            }
            Message::AuthenticationMd5Password(body) => {
                let (user, password) = (settings.user.as_bytes(), settings.password.as_bytes());
                let hash = md5_hash(user, password, body.salt());
                frontend::password_message(hash.as_bytes(), &mut out)?;
            }
            Message::AuthenticationSasl(body) => self.scram(&body, settings).await?,
            Message::ErrorResponse(body) => return Err(failed(&body)),
            _ => {
                return Err(io::Error::other(
                    "the server asks for an unknown way to log in",
                ));
            }
        }
        self.send(&out).await?;
        match self.next().await? {
            Message::AuthenticationOk => Ok(()),
            Message::ErrorResponse(body) => Err(failed(&body)),
            _ => Err(unexpected()),
        }
    }

    /// Proves to know the password without sending it, and sees the server prove the same.
    async fn scram(
        &mut self,
        body: &AuthenticationSaslBody,
        settings: &Settings,
    ) -> io::Result<()> {
        let offered = body
            .mechanisms()
            .any(|one| Ok(one == sasl::SCRAM_SHA_256))?;
        if !offered {
            return Err(io::Error::other("the server does not offer SCRAM-SHA-256"));
        }
        let password = settings.password.as_bytes();
        let mut scram = sasl::ScramSha256::new(password, sasl::ChannelBinding::unsupported());
        let mut out = BytesMut::new();
        frontend::sasl_initial_response(sasl::SCRAM_SHA_256, scram.message(), &mut out)?;
        self.send(&out).await?;
        match self.next().await? {
            Message::AuthenticationSaslContinue(body) => scram.update(body.data())?,
            Message::ErrorResponse(body) => return Err(failed(&body)),
            _ => return Err(unexpected()),
        }
        out.clear();
        frontend::sasl_response(scram.message(), &mut out)?;
        self.send(&out).await?;
        match self.next().await? {
            Message::AuthenticationSaslFinal(body) => scram.finish(body.data()),
            Message::ErrorResponse(body) => Err(failed(&body)),
            _ => Err(unexpected()),
        }
    }

    /// Finds out whether the server is still there.
    pub async fn check(&mut self) -> io::Result<()> {
        let mut out = BytesMut::new();
        frontend::sync(&mut out);
        self.send(&out).await?;
        self.until_ready().await
    }

    /// Whether the next query finds the session as this one found it.
    pub fn is_clean(&self) -> bool {
        self.status == IDLE
    }

    /// Runs a statement with values. An error means that the connection is of no use any more.
    pub async fn query(&mut self, query: &Query) -> io::Result<Outcome> {
        let mut out = BytesMut::new();
        frontend::parse("", &query.sql, [], &mut out)?;
        let value = |value: &String, out: &mut BytesMut| {
            out.extend_from_slice(value.as_bytes());
            Ok(IsNull::No)
        };
        frontend::bind("", "", [TEXT], &query.values, value, [TEXT], &mut out)
            .map_err(|_| io::Error::other("the values cannot be sent"))?;
        frontend::execute("", 0, &mut out)?;
        frontend::sync(&mut out);
        self.send(&out).await?;
        let mut rows = Vec::new();
        let mut refused = None;
        loop {
            match self.next().await? {
                Message::DataRow(body) => rows.push(row(&body)?),
                Message::ErrorResponse(body) => refused = Some(told(&body)),
                Message::ReadyForQuery(body) => {
                    self.status = body.status();
                    let refused = refused.map(|(code, message)| Outcome::Refused { code, message });
                    return Ok(refused.unwrap_or(Outcome::Rows(rows)));
                }
                _ => {}
            }
        }
    }

    /// Ends the session.
    pub async fn close(mut self) {
        let mut out = BytesMut::new();
        frontend::terminate(&mut out);
        // Who is gone already needs no goodbye.
        let _ = self.send(&out).await;
    }

    async fn until_ready(&mut self) -> io::Result<()> {
        loop {
            match self.next().await? {
                Message::ReadyForQuery(body) => {
                    self.status = body.status();
                    return Ok(());
                }
                Message::ErrorResponse(body) => return Err(failed(&body)),
                _ => {}
            }
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    async fn next(&mut self) -> io::Result<Message> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(message) = Message::parse(&mut self.received)? {
                return Ok(message);
            }
            let length = self.stream.read(&mut buffer).await?;
            let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            };
            self.received.extend_from_slice(bytes);
        }
    }
}

/// The texts of a row.
fn row(body: &DataRowBody) -> io::Result<Vec<Option<String>>> {
    let column = |range: Option<std::ops::Range<usize>>| {
        let bytes = range.and_then(|range| body.buffer().get(range));
        Ok(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
    };
    body.ranges().map(column).collect()
}

/// The code and the message of an error.
fn told(body: &ErrorResponseBody) -> (String, String) {
    let field = |wanted| {
        let found = body.fields().find(|field| Ok(field.type_() == wanted));
        let found = found.ok().flatten();
        found.map_or_else(String::new, |field| {
            String::from_utf8_lossy(field.value_bytes()).into_owned()
        })
    };
    (field(b'C'), field(b'M'))
}

fn failed(body: &ErrorResponseBody) -> io::Error {
    let (code, message) = told(body);
    io::Error::other(format!("the database says: {message} ({code})"))
}

fn unexpected() -> io::Error {
    io::Error::other("the server says something unexpected")
}
