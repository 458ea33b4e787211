//! Servers that speak S3, with one bucket.
//!
//! Two, as none does everything: `s3s-fs` keeps objects as files, checks signatures and is back with all it had, but takes no key of
//! more than about 150 bytes; Moto takes every key that AWS takes, believes any signature, and forgets everything when it ends.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::yield_now;
use std::time::{Duration, Instant};
use std::{env, fs};

use tempfile::TempDir;

use crate::free_port;

/// Longer than it takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server of S3. It is killed when this is dropped.
#[derive(Debug)]
pub struct S3 {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
    program: Program,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Files,
    Moto,
}

impl S3 {
    /// The bucket that there is.
    pub const BUCKET: &str = "blobs";
    /// Who may use it.
    pub const KEY: &str = "AKIDEXAMPLE";
    /// And the secret to sign with.
    pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    /// The name below which, at its port, it takes names for those of buckets.
    pub const DOMAIN: &str = "s3.test";

    /// One that keeps objects as files and checks signatures.
    #[must_use]
    pub fn start() -> Self {
        let mut server = Self::absent();
        server.resume();
        server
    }

    /// The same, but it does not run yet.
    #[must_use]
    pub fn absent() -> Self {
        Self::of(Program::Files)
    }

    /// One that takes every key that AWS takes, and forgets all when it ends.
    #[must_use]
    pub fn in_memory() -> Self {
        let mut server = Self::of(Program::Moto);
        server.resume();
        server.make_bucket();
        server
    }

    fn of(program: Program) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join(Self::BUCKET)).expect("a bucket");
        Self {
            folder,
            port: free_port(),
            child: None,
            program,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many files there are for parts of objects that are not finished, or were not forgotten.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        let files = fs::read_dir(self.folder.path()).expect("its folder");
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        names.filter(|name| name.starts_with(".upload")).count()
    }

    /// The keys of all objects.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let bucket = self.folder.path().join(Self::BUCKET);
        let mut keys = Vec::new();
        let mut open = vec![bucket.clone()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).expect("its folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    let key = path.strip_prefix(&bucket).expect("below it");
                    keys.push(key.to_string_lossy().into_owned());
                }
            }
        }
        keys.sort();
        keys
    }

    /// Kills it, in the middle of whatever it does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again where it was, and returns when it takes connections.
    pub fn resume(&mut self) {
        let port = self.port.to_string();
        let mut command = Command::new(self.program.path());
        match self.program {
            Program::Files => command
                .args(["--host", "127.0.0.1", "--port", &port])
                .args(["--access-key", Self::KEY, "--secret-key", Self::SECRET])
                .args(["--domain", &format!("{}:{port}", Self::DOMAIN)])
                .arg(self.folder.path()),
            Program::Moto => command.args(["-H", "127.0.0.1", "-p", &port]),
        };
        let started = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let missing = "this test needs servers of S3: `cargo xtask test` installs them";
        self.child = Some(started.unwrap_or_else(|error| panic!("{missing}: {error}")));
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let began = Instant::now();
        while TcpStream::connect(at).is_err() {
            assert!(began.elapsed() < PATIENCE, "it does not listen on {at}");
            yield_now();
        }
    }

    fn make_bucket(&self) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        let request = format!(
            "PUT /{} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            Self::BUCKET
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Program {
    /// Where it was installed for the tests, or else whatever the machine has.
    fn path(self) -> PathBuf {
        let (name, below) = match self {
            Self::Files => ("s3s-fs", "bin"),
            Self::Moto => ("moto_server", "moto/bin"),
        };
        let home = env::var_os("HOME").unwrap_or_default();
        let tools = Path::new(&home).join(".cache/wasmcloud-ci/tools");
        let installed = tools.join(below).join(name);
        if installed.is_file() {
            installed
        } else {
            name.into()
        }
    }
}
