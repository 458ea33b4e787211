//! Runs the program in folders of its own, and speaks enough HTTP to ask what it serves.

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// How long an event may take: a cold build of a component on a busy machine takes minutes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// A folder to run the program in.
pub(crate) struct Sandbox {
    folder: TempDir,
}

/// How the program ended and what it printed.
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// All of it as one text, for snapshots.
    pub(crate) fn snapshot(&self) -> String {
        let Self {
            code,
            stdout,
            stderr,
        } = self;
        let code = code.map_or_else(|| "signal".to_owned(), |code| code.to_string());
        format!("exit: {code}\n--- stdout\n{stdout}--- stderr\n{stderr}")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.snapshot()))
    }

    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.snapshot());
        self
    }

    /// Expects that it was typed right and failed.
    pub(crate) fn failed(self) -> Self {
        assert_eq!(self.code, Some(1), "{}", self.snapshot());
        self
    }

    /// Expects these words on standard error.
    pub(crate) fn says(self, words: &str) -> Self {
        assert!(
            self.stderr.contains(words),
            "it does not say {words:?}:\n{}",
            self.snapshot()
        );
        self
    }
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A sandbox with a copy of an example in it.
    pub(crate) fn with_example(name: &str) -> Self {
        let sandbox = Self::new();
        sandbox.add_example(name);
        sandbox
    }

    /// Adds a copy of an example.
    pub(crate) fn add_example(&self, name: &str) {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        copy(&examples.join(name), &self.path(name));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file so that nobody sees half of it, the way editors do.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let (path, temporary) = (self.path(name), self.path(&format!("{name}~")));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&temporary, bytes).unwrap();
        fs::rename(temporary, path).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Replaces a text in a file.
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{name} holds no {from:?}");
        self.write(name, text.replace(from, to));
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_wash"));
        command.args(args);
        command
    }

    /// Another program, in the same surroundings.
    pub(crate) fn program(&self, program: &str) -> Command {
        let shared = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
            .env("CARGO_TARGET_DIR", shared.join("guests"))
            .env("XDG_CACHE_HOME", shared.join("cache"));
        for key in [
            "NO_COLOR",
            "RUST_LOG",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TERM_COLOR",
        ] {
            command.env_remove(key);
        }
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        self.finish(self.command(args))
    }

    pub(crate) fn finish(&self, mut command: Command) -> Run {
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| self.plain(&String::from_utf8_lossy(bytes));
        Run {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// A text without the name of this folder.
    fn plain(&self, text: &str) -> String {
        let real = self.folder.path().canonicalize().unwrap();
        text.replace(real.to_str().unwrap(), "[DIR]")
            .replace(self.folder.path().to_str().unwrap(), "[DIR]")
    }

    /// Starts `wash dev` in a folder of this one.
    pub(crate) fn dev(&self, dir: &str) -> Dev {
        Dev::start(self.command(&["dev", dir, "--http-addr", "127.0.0.1:0", "--output", "json"]))
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(name)).unwrap();
        } else if !["target", "build", ".wash"]
            .iter()
            .any(|output| name == *output)
        {
            copy(&entry.path(), &to.join(name));
        }
    }
}

/// `wash dev` while it runs.
pub(crate) struct Dev {
    child: Child,
    events: Receiver<Value>,
    talk: Arc<(Mutex<String>, Condvar)>,
    pub(crate) http: String,
}

impl Dev {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, events) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let event =
                    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                let _ = sender.send(event);
            }
        });
        let talk = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let (heard, stderr) = (
            Arc::clone(&talk),
            BufReader::new(child.stderr.take().unwrap()),
        );
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                *heard.0.lock().unwrap() += &format!("{line}\n");
                heard.1.notify_all();
            }
        });
        Self {
            child,
            events,
            talk,
            http: String::new(),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next event but requests and lines of guests.
    pub(crate) fn next(&mut self) -> Value {
        loop {
            let event = self.any();
            if event["event"] != "request" && event["event"] != "log" {
                return event;
            }
        }
    }

    /// The next event of all.
    pub(crate) fn any(&mut self) -> Value {
        match self.events.recv_timeout(PATIENCE) {
            Ok(event) => {
                if event["event"] == "ready" {
                    event["http"].as_str().unwrap().clone_into(&mut self.http);
                }
                event
            }
            Err(RecvTimeoutError::Timeout) => panic!("no event came; it said:\n{}", self.talk()),
            Err(RecvTimeoutError::Disconnected) => panic!("it ended; it said:\n{}", self.talk()),
        }
    }

    /// The next event, which must be of that kind.
    pub(crate) fn expect(&mut self, kind: &str) -> Value {
        let event = self.next();
        assert_eq!(event["event"], kind, "{event}\nit said:\n{}", self.talk());
        event
    }

    /// The next event of that kind, whatever comes before it.
    pub(crate) fn wait_for(&mut self, kind: &str) -> Value {
        loop {
            let event = self.any();
            if event["event"] == kind {
                return event;
            }
        }
    }

    /// The next event about a service in that state.
    pub(crate) fn service_is(&mut self, state: &str) -> Value {
        loop {
            let event = self.wait_for("service");
            if event["state"] == state {
                return event;
            }
        }
    }

    /// Waits until these are the ports on which the workload listens.
    pub(crate) fn ports_are(&mut self, wanted: &Value) {
        while self.wait_for("ports")["ports"] != *wanted {}
    }

    pub(crate) fn talk(&self) -> String {
        self.talk.0.lock().unwrap().clone()
    }

    /// Waits until it has said something on standard error.
    pub(crate) fn wait_for_talk(&self, words: &str) {
        let (said, news) = &*self.talk;
        let missing = |said: &mut String| !said.contains(words);
        let (said, outcome) = news
            .wait_timeout_while(said.lock().unwrap(), PATIENCE, missing)
            .unwrap();
        assert!(
            !outcome.timed_out(),
            "it never said {words:?}, but:\n{said}"
        );
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        get(&self.http, path, &[])
    }

    /// Asks it politely to end, and expects it to end well.
    pub(crate) fn stop(mut self, signal: &str) {
        // The shell's own `kill`: a small system has no other.
        let kill = format!("kill -s {signal} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
        // What was told about services before is of no interest any more.
        let last = loop {
            let event = self.next();
            if event["event"] != "service" && event["event"] != "ports" {
                break event;
            }
        };
        assert_eq!(
            last["event"],
            "stopped",
            "{last}\nit said:\n{}",
            self.talk()
        );
        assert_eq!(
            self.child.wait().unwrap().code(),
            Some(0),
            "{}",
            self.talk()
        );
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of 127.0.0.1 that nobody had a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A connection to a port of this machine.
pub(crate) fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).unwrap();
    stream
}

/// A request with headers, and the status and body of its answer.
pub(crate) fn get(http: &str, path: &str, headers: &[&str]) -> (u16, String) {
    request(http, "GET", path, headers, "")
}

/// A request with a body, and the status and body of its answer.
pub(crate) fn post(http: &str, path: &str, body: &str) -> (u16, String) {
    let length = format!("content-length: {}", body.len());
    request(http, "POST", path, &[&length], body)
}

/// The same, to keep something.
pub(crate) fn put(http: &str, path: &str, body: &str) -> (u16, String) {
    let length = format!("content-length: {}", body.len());
    request(http, "PUT", path, &[&length], body)
}

pub(crate) fn delete(http: &str, path: &str) -> (u16, String) {
    request(http, "DELETE", path, &[], "")
}

fn request(http: &str, method: &str, path: &str, headers: &[&str], body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(http).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let headers: String = headers
        .iter()
        .map(|header| format!("{header}\r\n"))
        .collect();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {http}\r\nconnection: close\r\n{headers}\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    (
        status,
        if chunked {
            unchunked(body)
        } else {
            body.to_owned()
        },
    )
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    loop {
        let (length, rest) = body.split_once("\r\n").expect("a chunk has a length");
        let length = usize::from_str_radix(length.trim(), 16).unwrap();
        if length == 0 {
            return whole;
        }
        whole.push_str(&rest[..length]);
        body = &rest[length + 2..];
    }
}

/// The smallest component there is: it imports and exports nothing.
pub(crate) const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
