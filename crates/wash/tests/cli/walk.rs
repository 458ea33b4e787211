//! The walk of `docs/distribution.md`, gone as it stands there: each command in turn, on ports that are free.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{PATIENCE, Sandbox, free_port, get};

/// Where the registry and the host of the walk are.
const REGISTRY: &str = "127.0.0.1:5001";
const HTTP: &str = "127.0.0.1:8000";

/// A command, and what is shown of its output; nothing where that is of no interest.
struct Step {
    command: String,
    shown: Vec<String>,
}

/// The steps of a section, in order.
fn steps(section: &str) -> Vec<Step> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/distribution.md");
    let text = fs::read_to_string(docs).unwrap();
    let (_, text) = text.split_once(&format!("\n## {section}\n")).unwrap();
    let text = text.split("\n## ").next().unwrap();
    let mut steps: Vec<Step> = Vec::new();
    for block in text.split("\n```console\n").skip(1) {
        let mut lines = block.split("\n```").next().unwrap().lines();
        while let Some(line) = lines.next() {
            let Some(command) = line.strip_prefix("$ ") else {
                steps.last_mut().unwrap().shown.push(line.to_owned());
                continue;
            };
            let mut command = command.to_owned();
            if command.ends_with("<<EOF") {
                for line in lines.by_ref() {
                    command += &format!("\n{line}");
                    if line == "EOF" {
                        break;
                    }
                }
            }
            let shown = Vec::new();
            steps.push(Step { command, shown });
        }
    }
    steps
}

/// Whether a line is as it is shown, where `…` stands for anything.
fn is_like(line: &str, shown: &str) -> bool {
    match shown.split_once('…') {
        Some((begin, end)) => line
            .strip_prefix(begin)
            .is_some_and(|rest| rest.ends_with(end)),
        None => line == shown,
    }
}

/// A program of the walk that goes on until it is ended.
struct Running(Child);

impl Running {
    /// Ends it as Ctrl-C does.
    fn end(mut self) -> Option<i32> {
        // The shell's own `kill`: a small system has no other.
        let kill = format!("kill -s INT {}", self.0.id());
        let killed = Command::new("sh").args(["-c", &kill]).status();
        assert!(killed.unwrap().success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whoever walks.
struct Walker {
    sandbox: Sandbox,
    /// The port of the registry.
    port: u16,
}

impl Walker {
    /// A command for the shell, which finds the programs that were built for this test.
    fn shell(&self, command: &str) -> Command {
        let programs = Path::new(env!("CARGO_BIN_EXE_wash")).parent().unwrap();
        assert!(
            programs.join("wasmcloud").is_file(),
            "this test needs the host beside `wash`: `cargo build -p wasmcloud`, or test the whole workspace"
        );
        let path = std::env::var("PATH").unwrap();
        let mut shell = self.sandbox.program("sh");
        shell.args(["-c", command]);
        shell.env("PATH", format!("{}:{path}", programs.display()));
        shell
    }

    /// Starts a program. What it says on standard error goes to a file.
    fn start(&self, command: &str, stdout: Stdio, said: &str) -> Running {
        let said = File::create(self.sandbox.path(said)).unwrap();
        let mut shell = self.shell(&format!("exec {command}"));
        Running(shell.stdout(stdout).stderr(said).spawn().unwrap())
    }

    /// Starts a registry, and waits until it takes connections.
    fn registry(&self, command: &str) -> Running {
        let mut registry = self.start(command, Stdio::null(), "registry.said");
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = registry.0.try_wait().unwrap();
            let said = || self.sandbox.read("registry.said");
            assert!(ended.is_none(), "it ended: {}", said());
            assert!(began.elapsed() < PATIENCE, "nobody listens");
            thread::yield_now();
        }
        registry
    }

    /// Starts a host. What it says first.
    fn host(&self, command: &str) -> (Running, String) {
        let mut host = self.start(command, Stdio::piped(), "host.said");
        let mut stdout = BufReader::new(host.0.stdout.take().unwrap());
        let (sender, first) = channel();
        thread::spawn(move || {
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = sender.send(line);
            // Somebody has to read on, or the host would wait one day.
            let _ = io::copy(&mut stdout, &mut io::sink());
        });
        let line = first.recv_timeout(PATIENCE).unwrap();
        let said = || self.sandbox.read("host.said");
        assert!(!line.is_empty(), "it ended: {}", said());
        (host, line.trim_end().to_owned())
    }

    /// Runs a host as it is shown; then the registry goes, and the host runs again from what it has kept.
    fn serves_also_without(&self, registry: Running, step: &Step) {
        let greeting = (200, "Hello from wasmCloud!\n".to_owned());
        let command = format!("{} --http-addr 127.0.0.1:0", step.command);
        let (host, ready) = self.host(&command);
        let told = || format!("{ready}\n{}", self.sandbox.read("host.said"));
        let (_, rest) = ready.split_once("http://").unwrap();
        let (http, _) = rest.split_once(' ').unwrap();
        assert_eq!(step.shown, [ready.replace(http, HTTP)], "{}", told());
        assert_eq!(get(http, "/", &[]), greeting);
        assert_eq!(host.end(), Some(0), "{}", told());

        drop(registry);
        let (host, ready) = self.host(&format!("{command} --output json"));
        let told = || format!("{ready}\n{}", self.sandbox.read("host.said"));
        let event: Value = serde_json::from_str(&ready).unwrap();
        let workloads = (&event["workloads"], &event["compiled"]);
        assert_eq!(
            workloads,
            (&json!(["default:hello"]), &json!(0)),
            "{}",
            told()
        );
        assert_eq!(get(event["http"].as_str().unwrap(), "/", &[]), greeting);
        assert_eq!(host.end(), Some(0), "{}", told());
    }

    /// Runs a command to its end, and compares what it prints with what is shown.
    fn done(&self, step: &Step) {
        let run = self.sandbox.finish(self.shell(&step.command)).succeeded();
        if step.shown.is_empty() {
            return;
        }
        let lines: Vec<&str> = run.stdout.lines().collect();
        let same = lines.len() == step.shown.len()
            && lines
                .iter()
                .zip(&step.shown)
                .all(|(line, shown)| is_like(line, shown));
        assert!(same, "{}\n{:#?}\n{lines:#?}", step.command, step.shown);
    }
}

#[test]
fn the_walk_with_a_registry_on_this_machine_goes_as_it_is_told() {
    let walker = Walker {
        sandbox: Sandbox::new(),
        port: free_port(),
    };
    let here = format!("127.0.0.1:{}", walker.port);
    let mut registry = None;
    let mut hosts = 0;
    for mut step in steps("A walk with a registry on this machine") {
        step.command = step.command.replace(REGISTRY, &here);
        for line in &mut step.shown {
            *line = line.replace(REGISTRY, &here);
        }
        if step.command.starts_with("docker-registry ") {
            registry = Some(walker.registry(&step.command));
        } else if step.command.starts_with("wasmcloud run ") {
            let registry = registry.take().expect("it was started before");
            walker.serves_also_without(registry, &step);
            hosts += 1;
        } else {
            walker.done(&step);
        }
    }
    assert_eq!(hosts, 2, "without rules, and with some");
}
