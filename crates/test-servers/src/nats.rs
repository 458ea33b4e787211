//! `nats-server`, with JetStream.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::yield_now;
use std::time::{Duration, Instant};
use std::{fs, io};

use tempfile::TempDir;

const MISSING: &str = "this test needs NATS: `apt-get install nats-server` (Debian, Ubuntu)";
/// Longer than it takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A NATS server. It is killed when this is dropped.
#[derive(Debug)]
pub struct Nats {
    folder: TempDir,
    port: u16,
    /// What it is told besides.
    settings: Vec<String>,
    child: Option<Child>,
}

impl Nats {
    /// Starts a server, and returns when it takes connections.
    #[must_use]
    pub fn launch() -> Self {
        Self::launch_with(&[])
    }

    /// Starts one with more on its command line.
    #[must_use]
    pub fn launch_with(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let mut server = Self {
            folder,
            port: 0,
            settings: settings.iter().map(|&it| it.to_owned()).collect(),
            child: None,
        };
        let child = server.spawn("-1");
        server.child = Some(child.unwrap_or_else(|error| panic!("{MISSING}: {error}")));
        server.port = server.told_port();
        server.wait();
        server
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it, as a power cut would.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Asks it to end, and waits until everything that it has acknowledged is on its disk, which is not so where it is killed.
    pub fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let kill = format!("kill -s TERM {}", child.id());
            let asked = Command::new("sh").args(["-c", &kill]).status();
            assert!(asked.is_ok_and(|asked| asked.success()), "it runs");
            let _ = child.wait();
        }
    }

    /// Starts it again where it was, with what it had on disk.
    pub fn start(&mut self) {
        let child = self.spawn(&self.port.to_string());
        self.child = Some(child.expect("it has started before"));
        self.wait();
    }

    fn spawn(&self, port: &str) -> io::Result<Child> {
        let folder = self.folder.path();
        Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", port, "-js", "-sd"])
            .arg(folder.join("data"))
            .arg("--ports_file_dir")
            .arg(folder)
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    }

    /// The port that it has taken, from the file in which it says so.
    fn told_port(&self) -> u16 {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(port) = self.ports_file() {
                return port;
            }
            yield_now();
        }
        panic!("nats-server does not say where it listens");
    }

    fn ports_file(&self) -> Option<u16> {
        let files = fs::read_dir(self.folder.path()).ok()?;
        let mut paths = files.filter_map(|file| Some(file.ok()?.path()));
        let path = paths.find(|path| path.extension().is_some_and(|it| it == "ports"))?;
        let ports: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
        let url = ports.get("nats")?.get(0)?.as_str()?;
        url.rsplit(':').next()?.parse().ok()
    }

    fn wait(&self) {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if TcpStream::connect(at).is_ok() {
                return;
            }
            yield_now();
        }
        panic!("nats-server does not listen on {at}");
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.stop();
    }
}
