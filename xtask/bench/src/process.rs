//! Servers under load, each a process of its own: started, waited for, and gone with the handle.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

/// How long a server may take until it accepts; compiling counts.
const PATIENCE: Duration = Duration::from_secs(60);

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
}

/// A server that accepts connections. Dropping it ends the process.
pub(crate) struct Running {
    /// What the results call it.
    pub(crate) name: &'static str,
    /// The whole URL to put under load.
    pub(crate) url: String,
    _child: Child,
}

impl Server {
    /// Starts the process and waits until it accepts.
    pub(crate) async fn start(mut self) -> anyhow::Result<Running> {
        let started = async {
            self.command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .kill_on_drop(true);
            let mut child = self.command.spawn().context("did not start")?;
            let stdout = child.stdout.take().context("has no stdout")?;
            let address = match self.address {
                Address::Chosen(address) => {
                    drain(BufReader::new(stdout));
                    address
                }
                Address::Announced => announced(stdout).await?,
            };
            accepts(address, &mut child).await?;
            anyhow::Ok((child, address))
        };
        let started = tokio::time::timeout(PATIENCE, started).await;
        let started =
            started.unwrap_or_else(|_| bail!("does not accept connections after {PATIENCE:?}"));
        let (child, address) = started.with_context(|| format!("the server {}", self.name))?;
        Ok(Running {
            name: self.name,
            url: format!("http://{address}{}", self.path),
            _child: child,
        })
    }
}

/// A port that was free a moment ago, for programs that cannot be told to pick one.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?)
}

async fn announced(stdout: ChildStdout) -> anyhow::Result<SocketAddr> {
    let mut reader = BufReader::new(stdout);
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).await? == 0 {
            bail!("ended without saying where it listens");
        }
        if let Some(address) = address_in(&line) {
            drain(reader);
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
    async fn a_server_that_ends_is_an_error_that_names_it() {
        for address in [Address::Announced, Address::Chosen(free_address().unwrap())] {
            let error = shell("exit 3", address).start().await.err().unwrap();
            let text = format!("{error:#}");
            assert!(text.contains("sample") && text.contains("ended"), "{text}");
        }
    }
}
