//! A second registry, by other people: what works with one may be an accident.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::clients::installed;
use crate::free_port;

const MISSING: &str = "this test needs a second registry: `cargo xtask test` installs it";

/// A registry with the referrers API (`ferro-oci-server`), for anybody and without TLS. It is killed when this is dropped.
#[derive(Debug)]
pub struct OtherRegistry {
    folder: TempDir,
    port: u16,
    server: Option<Child>,
}

impl OtherRegistry {
    /// Starts one, and returns when it takes connections.
    #[must_use]
    pub fn start() -> Self {
        let mut registry = Self {
            folder: tempfile::tempdir().expect("a folder"),
            port: free_port(),
            server: None,
        };
        registry.resume();
        registry
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What stands before the `/` of an image: `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The same with its scheme, and no `/` at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Where it keeps what it has.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it: connections to it are refused from then on.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // It may have ended already.
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// Starts it again where it was, with all it had, and returns when it takes connections.
    pub fn resume(&mut self) {
        self.stop();
        let mut command = Command::new(installed("bin/ferro-oci-server"));
        command.env_clear().env("NO_COLOR", "1");
        command.env("FERRO_OCI_LISTEN", self.address());
        command.env("FERRO_OCI_STORAGE_DIR", self.folder.path());
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let started = command.stdout(Stdio::piped()).spawn();
        let mut server = started.unwrap_or_else(|error| panic!("{MISSING}: {error}"));
        let mut log = BufReader::new(server.stdout.take().expect("its log")).lines();
        let mut said = String::new();
        loop {
            let line = log.next().unwrap_or_else(|| panic!("it ended:\n{said}"));
            let line = line.expect("a line");
            said += &format!("{line}\n");
            if line.contains(" listening ") {
                break;
            }
        }
        // Somebody has to read on, or the server would wait one day.
        std::thread::spawn(move || log.for_each(drop));
        self.server = Some(server);
    }
}

impl Drop for OtherRegistry {
    fn drop(&mut self) {
        self.stop();
    }
}
