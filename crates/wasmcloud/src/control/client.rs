//! The side of a program that asks.

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use super::protocol::{Answered, Command, Problem, Question, Reply, VERSION};
use super::socket::SocketPath;

/// How long an answer may be.
const LONGEST: u64 = 64 << 20;

/// A connection to a host. Dropping it ends what was asked for and not answered yet.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens there any more, or not for this user.
    #[error("cannot connect to the host: {0}")]
    Connect(io::Error),
    /// It ended in the middle.
    #[error("the host went away before it had answered")]
    Gone,
    /// It says something that is not understood.
    #[error("the answer of the host is not understood: {0}")]
    Odd(serde_json::Error),
    /// It said no.
    #[error("{}", .0.message)]
    Refused(Problem),
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there, or not for this user.
    pub async fn connect(path: &SocketPath) -> Result<Self, AskError> {
        let stream = path.connect().await.map_err(AskError::Connect)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Asks, and waits for the answer however long that takes.
    ///
    /// # Errors
    /// When the host cannot do it, or goes away.
    pub async fn ask(&mut self, command: Command) -> Result<Answered, AskError> {
        let question = Question {
            version: VERSION,
            command,
        };
        let mut line = serde_json::to_vec(&question).map_err(AskError::Odd)?;
        line.push(b'\n');
        let sent = self.stream.write_all(&line).await;
        sent.map_err(|_| AskError::Gone)?;
        let mut answer = Vec::new();
        let mut bounded = (&mut self.stream).take(LONGEST);
        let read = bounded.read_until(b'\n', &mut answer).await;
        if read.is_err() || answer.is_empty() {
            return Err(AskError::Gone);
        }
        let reply: Reply = serde_json::from_slice(&answer).map_err(AskError::Odd)?;
        match reply.answered {
            Answered::Error(problem) => Err(AskError::Refused(problem)),
            answered => Ok(answered),
        }
    }
}
