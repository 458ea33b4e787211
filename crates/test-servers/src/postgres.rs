//! PostgreSQL.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::free_port;

const PASSWORD: &str = "of the test";
const MISSING: &str = "this test needs PostgreSQL: `apt-get install postgresql` (Debian, Ubuntu)";
/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server with the role and the database `notes`, whose password is `notes` as well.
#[derive(Debug)]
pub struct Postgres {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    tls: bool,
    server: Option<Child>,
}

impl Postgres {
    /// Makes a server and starts it.
    #[must_use]
    pub fn start() -> Self {
        let mut postgres = Self::made();
        postgres.resume();
        postgres.fill();
        postgres
    }

    /// The same with TLS, by a certificate and its key in PEM.
    #[must_use]
    pub fn with_tls(certificate: &str, key: &str) -> Self {
        let mut postgres = Self::made();
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let path = postgres.folder.path().join("data").join(name);
            fs::write(&path, text).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
            if let Some((user, group)) = servant() {
                chown(&path, Some(user), Some(group)).expect("an owner");
            }
        }
        postgres.tls = true;
        postgres.resume();
        postgres.fill();
        postgres
    }

    /// One that does not run yet.
    fn made() -> Self {
        let postgres = Self {
            folder: tempfile::tempdir().expect("a folder"),
            programs: programs(),
            port: free_port(),
            tls: false,
            server: None,
        };
        let folder = postgres.folder.path();
        if let Some((user, group)) = servant() {
            chown(folder, Some(user), Some(group)).expect("an owner");
        }
        let password = folder.join("password");
        fs::write(&password, PASSWORD).expect("a file");
        let mut initdb = postgres.program("initdb");
        initdb.args([
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
        ]);
        initdb.args(["--locale=C", "--no-sync", "--pgdata=data"]);
        initdb.arg(format!("--pwfile={}", password.display()));
        let made = initdb.output().expect("it runs");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        postgres
    }

    fn fill(&self) {
        self.sql("postgres", "CREATE ROLE notes LOGIN PASSWORD 'notes'");
        self.sql("postgres", "CREATE DATABASE notes OWNER notes");
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a database for the role `notes`.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_by(self.port, database)
    }

    /// The same by another way.
    #[must_use]
    pub fn url_by(&self, port: u16, database: &str) -> String {
        format!("postgres://notes:notes@127.0.0.1:{port}/{database}")
    }

    /// Starts the server where it was, and returns when it answers.
    pub fn resume(&mut self) {
        let mut command = self.program("postgres");
        command.args(["-D", "data", "-p", &self.port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "fsync=off",
        ] {
            command.args(["-c", setting]);
        }
        if self.tls {
            command.args(["-c", "ssl=on"]);
        }
        let mut server = command.stderr(Stdio::piped()).spawn().expect("it runs");
        let mut log = BufReader::new(server.stderr.take().expect("its log")).lines();
        let mut said = String::new();
        loop {
            let line = log
                .next()
                .unwrap_or_else(|| panic!("the server ended:\n{said}"))
                .expect("a line");
            said += &format!("{line}\n");
            if line.contains("database system is ready to accept connections") {
                break;
            }
        }
        // Somebody has to read on, or the server would wait one day.
        std::thread::spawn(move || log.for_each(drop));
        self.server = Some(server);
    }

    /// Ends the server and every session, and says goodbye to them.
    pub fn stop(&mut self) {
        self.end("INT");
    }

    /// Ends it in the middle of whatever it does: it has to recover when it is started again.
    pub fn kill(&mut self) {
        self.end("QUIT");
    }

    fn end(&mut self, signal: &str) {
        if let Some(mut server) = self.server.take() {
            // The shell's own `kill`: a small system has no other.
            let kill = format!("kill -s {signal} {}", server.id());
            // It may have ended already.
            let _ = Command::new("sh").args(["-c", &kill]).status();
            let _ = server.wait();
        }
    }

    /// What a statement answers: lines of columns with `|` between them.
    #[expect(
        clippy::must_use_candidate,
        reason = "some statements are run for what they do"
    )]
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = self.psql(database).args(["-c", sql]).output();
        let output = output.expect("it runs");
        assert!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let answer = String::from_utf8(output.stdout).expect("a text");
        answer.trim_end().to_owned()
    }

    /// Asks until the answer is that one.
    pub fn until(&self, database: &str, sql: &str, wanted: &str) {
        let begun = Instant::now();
        loop {
            let answer = self.sql(database, sql);
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
    #[must_use]
    pub fn session(&self, database: &str, sql: &str) -> PostgresSession {
        let mut psql = self.psql(database);
        let child = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("it runs");
        let output = child.stdout.take().expect("its answers");
        let mut session = PostgresSession {
            input: child.stdin.take(),
            output: BufReader::new(output).lines(),
            child,
        };
        let input = session.input.as_mut().expect("its questions");
        writeln!(input, "{sql};\nSELECT 'done';").expect("it reads");
        let done = session
            .output
            .find(|line| line.as_ref().is_ok_and(|line| line == "done"));
        assert!(done.is_some(), "{sql} did not work");
        session
    }

    fn psql(&self, database: &str) -> Command {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        psql.args(["-U", "postgres", "-d", database, "-X", "-q", "-A", "-t"]);
        psql.args(["-v", "ON_ERROR_STOP=1"]);
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
        self.kill();
    }
}

/// A session that holds what it has locked until this is dropped.
#[derive(Debug)]
pub struct PostgresSession {
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    child: Child,
}

impl Drop for PostgresSession {
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
        let output = Command::new("id").args(args).output().expect("it runs");
        let text = String::from_utf8(output.stdout).expect("a text");
        text.trim()
            .parse::<u32>()
            .unwrap_or_else(|_| panic!("no user `postgres`; {MISSING}"))
    };
    (id(&["-u"]) == 0).then(|| (id(&["-u", "postgres"]), id(&["-g", "postgres"])))
}
