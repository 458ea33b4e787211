//! PostgreSQL from the package of Debian: a server of its own for a test, in a folder for temporary files and on a port that was
//! free.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PASSWORD: &str = "of the test";
const MISSING: &str = "this test needs PostgreSQL: `apt-get install postgresql` (Debian, Ubuntu)";
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server with the role and the database `notes`.
pub(crate) struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    pub(crate) port: u16,
    server: Option<Child>,
}

impl Postgres {
    /// Makes a server and starts it.
    pub(crate) fn start(port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut postgres = Self {
            folder,
            programs: programs(),
            port,
            server: None,
        };
        if let Some((user, group)) = servant() {
            chown(postgres.folder.path(), Some(user), Some(group)).unwrap();
        }
        let password = postgres.folder.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        let mut initdb = postgres.program("initdb");
        initdb.args([
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
        ]);
        initdb.args(["--locale=C", "--no-sync", "--pgdata=data"]);
        initdb.arg(format!("--pwfile={}", password.display()));
        let made = initdb.output().unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        postgres.run();
        postgres.sql("postgres", "CREATE ROLE notes LOGIN PASSWORD 'notes'");
        postgres.sql("postgres", "CREATE DATABASE notes OWNER notes");
        postgres
    }

    /// Starts the server, and returns when it answers.
    pub(crate) fn run(&mut self) {
        let mut command = self.program("postgres");
        command.args(["-D", "data", "-p", &self.port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
        ] {
            command.args(["-c", setting]);
        }
        let mut server = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(server.stderr.take().unwrap()).lines();
        let mut said = String::new();
        loop {
            let line = log
                .next()
                .unwrap_or_else(|| panic!("the server ended:\n{said}"))
                .unwrap();
            said += &format!("{line}\n");
            if line.contains("database system is ready to accept connections") {
                break;
            }
        }
        // Somebody has to read on, or the server would wait one day.
        std::thread::spawn(move || log.for_each(drop));
        self.server = Some(server);
    }

    /// Ends the server and every session.
    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let kill = format!("kill -s INT {}", server.id());
            // It may have ended already.
            let _ = Command::new("sh").args(["-c", &kill]).status();
            let _ = server.wait();
        }
    }

    /// What a statement answers: lines of columns with `|` between them.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let output = self.psql(database).args(["-c", sql]).output().unwrap();
        assert!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout)
            .unwrap()
            .trim_end()
            .to_owned()
    }

    /// Asks until the answer is that one.
    pub(crate) fn until(&self, sql: &str, wanted: &str) {
        let begun = Instant::now();
        loop {
            let answer = self.sql("notes", sql);
            if answer == wanted {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{sql}: {answer} rather than {wanted}"
            );
        }
    }

    /// A session in which a statement was run, and which stays open.
    pub(crate) fn session(&self, sql: &str) -> Session {
        let mut psql = self.psql("notes");
        let mut child = psql
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut session = Session {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
        };
        let input = session.input.as_mut().unwrap();
        writeln!(input, "{sql};\nSELECT 'done';").unwrap();
        let done = session
            .output
            .find(|line| line.as_ref().is_ok_and(|line| line == "done"));
        assert!(done.is_some(), "{sql} did not work");
        session
    }

    fn psql(&self, database: &str) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args([
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
            "-U",
            "postgres",
        ]);
        psql.args([
            "-d",
            database,
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
        ]);
        psql.env("PGPASSWORD", PASSWORD).stdin(Stdio::null());
        psql
    }

    /// One of its programs, run by somebody who may run it: they refuse to be root.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = match servant() {
            Some((user, group)) => {
                let mut command = Command::new("setpriv");
                let ids = [format!("--reuid={user}"), format!("--regid={group}")];
                command.args(ids).arg("--clear-groups").arg(program);
                command
            }
            None => Command::new(program),
        };
        command.current_dir(self.folder.path()).env("LC_ALL", "C");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A session that holds what it has locked until this is dropped.
pub(crate) struct Session {
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    child: Child,
}

impl Drop for Session {
    fn drop(&mut self) {
        // The end of its input ends it, and its transaction with it.
        drop(self.input.take());
        let _ = self.output.by_ref().count();
        let _ = self.child.wait();
    }
}

/// The folder of the programs: Debian keeps those of each version apart, and out of the way.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let folders = versions.map(|version| version.path().join("bin"));
    let elsewhere = std::env::var_os("PATH").unwrap_or_default();
    let elsewhere: Vec<PathBuf> = std::env::split_paths(&elsewhere).collect();
    let whole = |folder: &Path| {
        ["initdb", "postgres", "psql"]
            .iter()
            .all(|name| folder.join(name).is_file())
    };
    let mut folders: Vec<PathBuf> = folders
        .chain(elsewhere)
        .filter(|folder| whole(folder))
        .collect();
    folders.sort();
    folders.pop().unwrap_or_else(|| panic!("{MISSING}"))
}

/// The user and the group that the package made, if this is root.
fn servant() -> Option<(u32, u32)> {
    let id = |args: &[&str]| {
        let output = Command::new("id").args(args).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.trim()
            .parse::<u32>()
            .unwrap_or_else(|_| panic!("no user `postgres`; {MISSING}"))
    };
    (id(&["-u"]) == 0).then(|| (id(&["-u", "postgres"]), id(&["-g", "postgres"])))
}
