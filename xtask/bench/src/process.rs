//! Servers under load, each a process of its own: started, waited for, and gone with the handle.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::talk::Question;

/// How long a server may take until it accepts; compiling counts.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an answer to a question may take: some ask for ten thousand workloads.
const ANSWER: Duration = Duration::from_secs(600);

/// A server: how to start it and where to find it.
pub(crate) struct Server {
    /// What the results call it.
    pub(crate) name: &'static str,
    /// The program and its arguments.
    pub(crate) command: Command,
    /// Where it listens.
    pub(crate) address: Address,
    /// What to ask for.
    pub(crate) path: &'static str,
}

/// How the port is agreed on.
pub(crate) enum Address {
    /// Told to the server in its arguments.
    Chosen(SocketAddr),
    /// Picked by the server, which prints `127.0.0.1:PORT` in a line on stdout.
    Announced,
    /// The same, by a server that answers a [`Question`] on stdin with one line on stdout.
    Talking,
}

/// A server that accepts connections. Dropping it ends the process.
pub(crate) struct Running {
    /// What the results call it.
    pub(crate) name: &'static str,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The whole URL to put under load.
    pub(crate) url: String,
    child: Child,
    talk: Option<Talk>,
}

/// Both ends of a conversation with a server.
struct Talk {
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Server {
    /// Starts the process and waits until it accepts.
    pub(crate) async fn start(mut self) -> anyhow::Result<Running> {
        let started = async {
            let talks = matches!(self.address, Address::Talking);
            self.command
                .stdin(if talks { Stdio::piped() } else { Stdio::null() })
                .stdout(Stdio::piped())
                .kill_on_drop(true);
            let mut child = self.command.spawn().context("did not start")?;
            let mut stdout = BufReader::new(child.stdout.take().context("has no stdout")?);
            let address = match self.address {
                Address::Chosen(address) => address,
                Address::Announced | Address::Talking => announced(&mut stdout).await?,
            };
            let talk = match child.stdin.take() {
                Some(ask) => Some(Talk {
                    ask,
                    answers: stdout,
                }),
                None => {
                    drain(stdout);
                    None
                }
            };
            accepts(address, &mut child).await?;
            anyhow::Ok((child, talk, address))
        };
        let started = tokio::time::timeout(PATIENCE, started).await;
        let started =
            started.unwrap_or_else(|_| bail!("does not accept connections after {PATIENCE:?}"));
        let (child, talk, address) =
            started.with_context(|| format!("the server {}", self.name))?;
        Ok(Running {
            name: self.name,
            address,
            url: format!("http://{address}{}", self.path),
            child,
            talk,
        })
    }
}

impl Running {
    /// The process.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        let pid = self.child.id();
        pid.with_context(|| format!("the server {} has ended", self.name))
    }

    /// Asks the server something.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &mut self,
        question: &Question,
    ) -> anyhow::Result<T> {
        let talk = self.talk.as_mut().context("this server does not talk")?;
        let answered = tokio::time::timeout(ANSWER, talk.ask(question)).await;
        let answered = answered.unwrap_or_else(|_| bail!("no answer after {ANSWER:?}"));
        answered.with_context(|| format!("the server {} was asked {question:?}", self.name))
    }
}

impl Talk {
    async fn ask<T: DeserializeOwned>(&mut self, question: &Question) -> anyhow::Result<T> {
        let mut line = serde_json::to_string(question)?;
        line.push('\n');
        self.ask.write_all(line.as_bytes()).await?;
        line.clear();
        if self.answers.read_line(&mut line).await? == 0 {
            bail!("it ended without an answer");
        }
        serde_json::from_str(&line).with_context(|| format!("it answered {}", line.trim_end()))
    }
}

/// A port that was free a moment ago, for programs that cannot be told to pick one.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?)
}

async fn announced(stdout: &mut BufReader<ChildStdout>) -> anyhow::Result<SocketAddr> {
    let mut line = String::new();
    loop {
        line.clear();
        if stdout.read_line(&mut line).await? == 0 {
            bail!("ended without saying where it listens");
        }
        if let Some(address) = address_in(&line) {
            return Ok(address);
        }
    }
}

/// Keeps reading: a server that logs would stop for good once the pipe is full.
fn drain(mut reader: BufReader<ChildStdout>) {
    tokio::spawn(async move { tokio::io::copy_buf(&mut reader, &mut tokio::io::sink()).await });
}

/// The first loopback address in a line, whatever is around it.
fn address_in(line: &str) -> Option<SocketAddr> {
    let host = "127.0.0.1:";
    let rest = line.get(line.find(host)? + host.len()..)?;
    let port = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?)))
}

async fn accepts(address: SocketAddr, child: &mut Child) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    loop {
        ticks.tick().await;
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            bail!("ended before it accepted a connection: {status}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, address: Address) -> Server {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Server {
            name: "sample",
            command,
            address,
            path: "/hello",
        }
    }

    #[test]
    fn an_address_is_found_in_talk_and_in_json() {
        let port = |line| address_in(line).map(|address| address.port());
        assert_eq!(port("listening on http://127.0.0.1:8123/\n"), Some(8123));
        assert_eq!(port(r#"{"event":"ready","http":"127.0.0.1:80"}"#), Some(80));
        assert_eq!(port("127.0.0.1:99999"), None);
        assert_eq!(port("starting"), None);
    }

    #[tokio::test]
    async fn a_server_is_waited_for_where_it_says_it_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let script = format!("echo starting; echo 'http://{address}/'; exec cat /dev/zero");
        let running = shell(&script, Address::Announced).start().await.unwrap();
        assert_eq!(running.url, format!("http://{address}/hello"));
    }

    #[tokio::test]
    async fn a_server_that_talks_answers_and_its_end_is_an_error() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let script = format!("echo 'http://{address}/'; read -r line; echo \"[$line]\"");
        let mut running = shell(&script, Address::Talking).start().await.unwrap();
        let answer: Vec<Question> = running.ask(&Question::Copies(3)).await.unwrap();
        assert_eq!(answer, [Question::Copies(3)]);
        assert!(running.ask::<usize>(&Question::Copies(3)).await.is_err());
    }

    #[tokio::test]
    async fn a_server_that_ends_is_an_error_that_names_it() {
        for address in [Address::Announced, Address::Chosen(free_address().unwrap())] {
            let error = shell("exit 3", address).start().await.err().unwrap();
            let text = format!("{error:#}");
            assert!(text.contains("sample") && text.contains("ended"), "{text}");
        }
    }
}
