//! A server of Redis.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::free_port;

const MISSING: &str = "this test needs Redis: `apt-get install redis-server` (Debian, Ubuntu)";

/// A server that writes every change to its disk before it answers, so that it can be killed and has them when it is back.
#[derive(Debug)]
pub struct Redis {
    folder: TempDir,
    port: u16,
    /// What it is told besides.
    settings: Vec<String>,
    server: Option<Child>,
}

impl Redis {
    /// Starts one for anybody.
    #[must_use]
    pub fn start() -> Self {
        let mut redis = Self::absent();
        redis.resume();
        redis
    }

    /// Starts one that wants a password.
    #[must_use]
    pub fn with_password(password: &str) -> Self {
        let mut redis = Self::of(&["--requirepass", password]);
        redis.resume();
        redis
    }

    /// Starts one with more on its command line.
    #[must_use]
    pub fn with_settings(settings: &[&str]) -> Self {
        let mut redis = Self::of(settings);
        redis.resume();
        redis
    }

    /// Where it keeps its files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts one that speaks TLS only, with a certificate and its key, both in PEM.
    #[must_use]
    pub fn with_tls(certificate: &str, key: &str) -> Self {
        let mut redis = Self::absent();
        let file = |name: &str, text: &str| {
            let path = redis.folder.path().join(name);
            std::fs::write(&path, text).expect("there is room for a file");
            path.to_str().expect("a path of text").to_owned()
        };
        let (certificate, key) = (file("tls.pem", certificate), file("tls.key", key));
        let port = redis.port.to_string();
        let settings = [
            ["--port", "0"],
            ["--tls-port", &port],
            ["--tls-cert-file", &certificate],
            ["--tls-key-file", &key],
            ["--tls-ca-cert-file", &certificate],
            ["--tls-auth-clients", "no"],
        ];
        redis.settings = settings.concat().into_iter().map(str::to_owned).collect();
        redis.resume();
        redis
    }

    /// One that does not run yet.
    #[must_use]
    pub fn absent() -> Self {
        Self::of(&[])
    }

    fn of(settings: &[&str]) -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            port: free_port(),
            settings: settings.iter().map(|&it| it.to_owned()).collect(),
            server: None,
        }
    }

    /// Where it is, without the password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again where it was, and returns when it answers.
    pub fn resume(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string()]);
        command.args([
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
        ]);
        command.arg("--dir").arg(self.folder.path());
        // The last of several counts.
        command.args(&self.settings);
        let started = command.stdout(Stdio::piped()).spawn();
        let mut server = started.unwrap_or_else(|error| panic!("{MISSING}: {error}"));
        let mut log = BufReader::new(server.stdout.take().expect("its log")).lines();
        let mut said = String::new();
        loop {
            let line = log.next().unwrap_or_else(|| panic!("it ended:\n{said}"));
            let line = line.expect("a line");
            said += &format!("{line}\n");
            if line.contains("Ready to accept connections") {
                break;
            }
        }
        // Somebody has to read on, or the server would wait one day.
        std::thread::spawn(move || log.for_each(drop));
        self.server = Some(server);
    }

    /// Has it stop in the middle of whatever it does: it takes connections and questions, and answers none.
    pub fn hang(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.server.as_ref().expect("it runs").id();
        // The shell's own `kill`: a small system has no other.
        let kill = format!("kill -s {signal} {id}");
        let status = Command::new("sh").args(["-c", &kill]).status();
        assert!(status.expect("a shell").success());
    }

    /// Kills it, in the middle of whatever it does.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            // It may have ended already.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
