//! Runs the program in a folder of its own, hears its events, and speaks enough HTTP to ask what it serves.

pub(crate) mod registry;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use wasmcloud::control::{Answered, AskError, Call, Client, Command as Question, SocketPath};

/// How long an event or an answer may take: a busy machine compiles slowly.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Everything is logged but what the compiler says of each instruction.
pub(crate) const LEVELS: &str =
    "trace,cranelift_codegen=warn,cranelift_frontend=warn,regalloc2=warn";

/// A folder to run the program in.
pub(crate) struct Sandbox(TempDir);

impl Sandbox {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// One with the component `app.wasm` and the folder `w` for workloads.
    pub(crate) fn with_app() -> Self {
        let sandbox = Self::new();
        fs::copy(test_guests::HTTP_P2, sandbox.path("app.wasm")).unwrap();
        fs::create_dir(sandbox.path("w")).unwrap();
        sandbox
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file so that nobody sees half of it.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let (path, temporary) = (self.path(name), self.path(".being-written"));
        fs::write(&temporary, bytes).unwrap();
        fs::rename(temporary, path).unwrap();
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// `wasmcloud run` with these arguments, on a free port.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wasmcloud"));
        command.arg("run").args(args).current_dir(self.0.path());
        command
            .stdin(Stdio::null())
            .env_remove("RUST_LOG")
            .env("NO_COLOR", "1");
        command
    }

    /// The same on a free port, with events in JSON.
    pub(crate) fn reporting(&self, args: &[&str]) -> Command {
        self.command(&[args, &["--http-addr", "127.0.0.1:0", "--output", "json"]].concat())
    }

    /// Starts that.
    pub(crate) fn start(&self, args: &[&str]) -> Host {
        Host::start(self.reporting(args))
    }

    /// The command, after a line of the shell that mounts something in the folder, which nobody else sees. None where the system does
    /// not let this user mount it.
    pub(crate) fn after_mounting(&self, mount: &str, command: &Command) -> Option<Command> {
        let mounts = |flags: &&str| {
            let mut shell = Command::new("unshare");
            shell.args([*flags, "sh", "-c", mount]);
            let tried = shell.current_dir(self.path("")).output();
            tried.is_ok_and(|it| it.status.success())
        };
        let flags = ["-rm", "-m"].into_iter().find(mounts)?;
        let script = format!("{mount} && exec \"$0\" \"$@\"");
        let before = [flags, "sh", "-c", &script];
        Some(through("unshare", &before, command))
    }

    /// Asks the host whose data is in the folder `data`.
    pub(crate) fn ask(&self, question: Question) -> Answered {
        self.try_to_ask(question).unwrap()
    }

    /// What is told of a call that fails.
    pub(crate) fn failure(&self, workload: &str, function: &str, args: &[&str]) -> String {
        let failed = self.try_to_ask(Self::question(workload, function, args));
        format!("{:?}", failed.expect_err("a failure"))
    }

    fn try_to_ask(&self, question: Question) -> Result<Answered, AskError> {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let socket = SocketPath::find(&self.path("data")).expect("a socket");
            let mut client = Client::connect(&socket).await.unwrap();
            client.ask(question).await
        })
    }

    /// What a function of a workload answers; `component/function` says of which component.
    pub(crate) fn call(&self, workload: &str, function: &str, args: &[&str]) -> Answered {
        self.ask(Self::question(workload, function, args))
    }

    fn question(workload: &str, function: &str, args: &[&str]) -> Question {
        let (component, function) = match function.split_once('/') {
            Some((component, function)) if !component.contains(':') => (Some(component), function),
            _ => (None, function),
        };
        Question::Call(Call {
            workload: workload.to_owned(),
            component: component.map(str::to_owned),
            function: function.to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
        })
    }

    /// The same, of one that returns.
    pub(crate) fn wave(&self, workload: &str, function: &str, args: &[&str]) -> String {
        match self.call(workload, function, args) {
            Answered::Answer { wave, .. } => wave,
            other => panic!("another answer: {other:?}"),
        }
    }

    /// Runs it to its end.
    pub(crate) fn finish(&self, args: &[&str]) -> Finished {
        Finished(self.command(args).output().unwrap())
    }
}

/// The same command, started by another program.
pub(crate) fn through(program: &str, before: &[&str], command: &Command) -> Command {
    let mut wrapped = Command::new(program);
    wrapped
        .args(before)
        .arg(command.get_program())
        .args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(key, value),
            None => wrapped.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped
}

/// A run that is over.
#[derive(Debug)]
pub(crate) struct Finished(Output);

impl Finished {
    pub(crate) fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        let stdout = self.stdout();
        stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// A manifest whose component is the app, with a version that it tells under `/env`.
pub(crate) fn manifest(name: &str, version: u32, config: &str) -> String {
    format!(
        "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {{ name: {name} }}\nspec:\n  components:\n    \
         - {{ name: app, image: ../app.wasm, localResources: {{ environment: {{ config: {{ VERSION: \"{version}\" }} }} }} }}\n  \
         hostInterfaces:\n    - {{ namespace: wasi, package: http, interfaces: [incoming-handler], config: {config} }}\n"
    )
}

/// A manifest that answers for one host name.
pub(crate) fn at(name: &str, version: u32) -> String {
    manifest(name, version, &format!("{{ host: {name}.localhost }}"))
}

/// A manifest with a component more: `teller`, in `teller.wasm`, which calls the plugin that is a ledger.
pub(crate) fn with_teller(manifest: &str) -> String {
    manifest.replace(
        "  hostInterfaces:\n",
        "    - { name: teller, image: ../teller.wasm }\n  hostInterfaces:\n    - { namespace: test, package: ledger, interfaces: [book] }\n",
    )
}

/// The program while it runs.
pub(crate) struct Host {
    child: Child,
    events: Receiver<Value>,
    talk: Arc<Mutex<String>>,
    listener: Option<JoinHandle<()>>,
    pub(crate) http: String,
}

impl Host {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, events) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let event =
                    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                let _ = sender.send(event);
            }
        });
        let talk = Arc::new(Mutex::new(String::new()));
        let (heard, stderr) = (
            Arc::clone(&talk),
            BufReader::new(child.stderr.take().unwrap()),
        );
        let listener = thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                *heard.lock().unwrap() += &format!("{line}\n");
            }
        });
        Self {
            child,
            events,
            talk,
            listener: Some(listener),
            http: String::new(),
        }
    }

    pub(crate) fn next(&mut self) -> Value {
        match self.events.recv_timeout(PATIENCE) {
            Ok(event) => event,
            Err(why) => panic!("no event came ({why}); it said:\n{}", self.talk()),
        }
    }

    /// The next event, which must be of that kind.
    pub(crate) fn expect(&mut self, kind: &str) -> Value {
        let event = self.next();
        assert_eq!(event["event"], kind, "{event}\nit said:\n{}", self.talk());
        if kind == "ready" {
            event["http"].as_str().unwrap().clone_into(&mut self.http);
        }
        event
    }

    /// Expects that it is ready, that nothing has failed, and that so many workloads needed something compiled.
    pub(crate) fn ready(&mut self, compiled: usize) {
        let ready = self.expect("ready");
        let found = (&ready["failed"], &ready["compiled"]);
        assert_eq!(found, (&json!([]), &json!(compiled)), "{}", self.talk());
    }

    /// Has it look at everything, and expects that there is nothing to tell.
    pub(crate) fn nothing_new(&mut self) {
        self.signal("HUP");
        self.expect("reloaded");
    }

    pub(crate) fn talk(&self) -> String {
        self.talk.lock().unwrap().clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        // The shell's own `kill`: a small system has no other.
        let kill = format!("kill -s {signal} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for its end, and gives its exit code and everything that it said.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        self.listener.take().unwrap().join().unwrap();
        (code, self.talk())
    }

    /// Asks it to end, expects it to end well, and gives everything that it said.
    pub(crate) fn stop(mut self) -> String {
        self.signal("TERM");
        self.expect("stopping");
        assert_eq!(self.expect("stopped")["drained"], true);
        let (code, talk) = self.ended();
        assert_eq!(code, Some(0), "{talk}");
        talk
    }

    /// What a workload answers.
    pub(crate) fn get(&self, host: &str, path: &str) -> (u16, String) {
        Request::begin(
            &self.http,
            &format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"),
        )
        .answer()
    }

    /// What a workload answers to a text.
    pub(crate) fn post(&self, host: &str, path: &str, body: &str) -> (u16, String) {
        let length = body.len();
        Request::begin(
            &self.http,
            &format!("POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"),
        )
        .answer()
    }

    /// The version of the workload that answers for `NAME.localhost`; none if nobody does.
    pub(crate) fn version(&self, name: &str) -> Option<u32> {
        let (status, body) = self.get(&format!("{name}.localhost"), "/env");
        (status == 200).then(|| body.trim().trim_start_matches("VERSION=").parse().unwrap())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request that was begun.
pub(crate) struct Request(TcpStream);

impl Request {
    pub(crate) fn begin(http: &str, head: &str) -> Self {
        let stream = TcpStream::connect(http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut request = Self(stream);
        request.send(head);
        request
    }

    /// One that the guest has begun to answer, and will when it gets the rest.
    pub(crate) fn in_flight(http: &str, host: &str) -> Self {
        let head = format!(
            "POST /echo HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n6\r\nbegin \r\n"
        );
        let mut request = Self::begin(http, &head);
        let mut got = Vec::new();
        while !got.ends_with(b"begin \r\n") {
            let mut byte = [0];
            request.0.read_exact(&mut byte).unwrap();
            got.push(byte[0]);
        }
        assert!(
            got.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&got)
        );
        request
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).unwrap();
    }

    /// The rest of what comes, until the other side closes.
    pub(crate) fn rest(mut self) -> std::io::Result<String> {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest)?;
        Ok(rest)
    }

    fn answer(self) -> (u16, String) {
        let answer = self.rest().unwrap();
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

/// Copies a folder without what tools put there.
pub(crate) fn copy(from: &Path, to: &Path) {
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
