//! `nats-server`, with JetStream.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::yield_now;
use std::time::{Duration, Instant};
use std::{fs, io};

use tempfile::TempDir;

use crate::certificates::Certificates;

const MISSING: &str = "this test needs NATS: `apt-get install nats-server` (Debian, Ubuntu)";
/// Longer than it takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// A port of its own choice.
const ANYWHERE: &str = "nats://127.0.0.1:-1";
/// Where nobody is. Only who has a route has a cluster.
const NOWHERE: &str = "nats://127.0.0.1:1";

/// A NATS server. It is killed when this is dropped.
#[derive(Debug)]
pub struct Nats {
    folder: TempDir,
    port: u16,
    /// What it is told besides.
    settings: Vec<String>,
    certificates: Option<Certificates>,
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
        Self::of(settings).launched()
    }

    /// Starts one that speaks TLS only, with a certificate for 127.0.0.1, `localhost` and another name, by an authority of its own.
    #[must_use]
    pub fn launch_with_tls(name: &str, settings: &[&str]) -> Self {
        let mut server = Self::of(settings);
        let certificates = Certificates::new(server.folder.path(), &[name]);
        let files = [
            ("--tlscert", &certificates.certificate),
            ("--tlskey", &certificates.key),
        ];
        server.settings.push("--tls".to_owned());
        for (setting, file) in files {
            let file = file.to_str().expect("a path of text");
            server.settings.extend([setting, file].map(str::to_owned));
        }
        server.certificates = Some(certificates);
        server.launched()
    }

    fn of(settings: &[&str]) -> Self {
        Self {
            folder: tempfile::tempdir().expect("there is room for a folder"),
            port: 0,
            settings: settings.iter().map(|&it| it.to_owned()).collect(),
            certificates: None,
            child: None,
        }
    }

    fn launched(mut self) -> Self {
        let child = self.spawn("-1");
        self.child = Some(child.unwrap_or_else(|error| panic!("{MISSING}: {error}")));
        self.port = self.told_port();
        self.wait();
        self
    }

    /// The certificate, in PEM, of the authority that its own is by.
    ///
    /// # Panics
    /// When it was started without TLS.
    #[must_use]
    pub fn ca(&self) -> &Path {
        let certificates = self.certificates.as_ref();
        &certificates.expect("it was started with TLS").ca
    }

    /// Starts several that are one cluster. Each has a route to the first, by which they find each other.
    #[must_use]
    pub fn cluster(servers: usize) -> Vec<Self> {
        let launch = |index: usize, route: &str| {
            let name = format!("server-{index}");
            let place = ["--name", &name, "--cluster_name", "tests"];
            let others = ["--cluster", ANYWHERE, "--routes", route];
            Self::launch_with(&[place, others].concat())
        };
        let mut first = launch(0, NOWHERE);
        let route = first.told("cluster").expect("it has told all of its ports");
        // It is looked for there, also when it is started again.
        for setting in &mut first.settings {
            if setting == ANYWHERE {
                setting.clone_from(&route);
            }
        }
        let others: Vec<_> = (1..servers).map(|index| launch(index, &route)).collect();
        [first].into_iter().chain(others).collect()
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

    /// The port that it has taken, as soon as it says so.
    fn told_port(&self) -> u16 {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let url = self.told("nats");
            if let Some(port) = url.and_then(|url| url.rsplit(':').next()?.parse().ok()) {
                return port;
            }
            yield_now();
        }
        panic!("nats-server does not say where it listens");
    }

    /// Where it listens, from the file in which it says so: `nats` for clients, `cluster` for other servers.
    fn told(&self, whom: &str) -> Option<String> {
        let files = fs::read_dir(self.folder.path()).ok()?;
        let mut paths = files.filter_map(|file| Some(file.ok()?.path()));
        let path = paths.find(|path| path.extension().is_some_and(|it| it == "ports"))?;
        let ports: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?;
        Some(ports.get(whom)?.get(0)?.as_str()?.to_owned())
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
