//! A registry of OCI artifacts: Debian's `docker-registry`.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::tokens::{TokenOptions, Tokens};

const MISSING: &str =
    "this test needs a registry: `apt-get install docker-registry` (Debian, Ubuntu)";

/// What a registry is like. The default one is plain HTTP, for anybody.
#[derive(Clone, Debug, Default)]
pub struct RegistryOptions {
    /// Whether it wants TLS, with a certificate for 127.0.0.1 and `localhost` by an authority of its own.
    pub tls: bool,
    /// Who may use it, each with a password (`Basic`). Nobody: everybody may.
    pub users: Vec<(String, String)>,
    /// Has it ask for a token (`Bearer`) by a server that comes with it. Then `users` has to be empty.
    pub tokens: Option<TokenOptions>,
    /// The URL of a registry that this one is a mirror of: it takes nothing, and fetches what it has not got.
    pub mirror_of: Option<String>,
}

/// A registry that keeps what it has in a folder. It is killed when this is dropped.
#[derive(Debug)]
pub struct Registry {
    folder: TempDir,
    options: RegistryOptions,
    certificates: Option<Certificates>,
    tokens: Option<Tokens>,
    /// 0 until it was started for the first time.
    port: u16,
    server: Option<Child>,
}

impl Registry {
    /// Starts one without TLS that serves anybody.
    #[must_use]
    pub fn start() -> Self {
        Self::with(RegistryOptions::default())
    }

    /// Starts one with TLS that serves anybody.
    #[must_use]
    pub fn with_tls() -> Self {
        Self::with(RegistryOptions {
            tls: true,
            ..RegistryOptions::default()
        })
    }

    /// Starts one without TLS that wants one of these names with its password.
    #[must_use]
    pub fn with_users(users: &[(&str, &str)]) -> Self {
        Self::with(RegistryOptions {
            users: owned(users),
            ..RegistryOptions::default()
        })
    }

    /// Starts one without TLS that wants a token, and a server that gives tokens to these users and to nobody else.
    #[must_use]
    pub fn with_tokens(users: &[(&str, &str)]) -> Self {
        Self::with(RegistryOptions {
            tokens: Some(TokenOptions {
                users: owned(users),
                ..TokenOptions::default()
            }),
            ..RegistryOptions::default()
        })
    }

    /// Starts one, and returns when it answers.
    #[must_use]
    pub fn with(options: RegistryOptions) -> Self {
        assert!(
            options.users.is_empty() || options.tokens.is_none(),
            "it asks for passwords or for tokens"
        );
        let folder = tempfile::tempdir().expect("a folder");
        let certificates = options.tls.then(|| Certificates::new(folder.path(), &[]));
        let server = certificates.as_ref().map(Certificates::server);
        let tokens = options.tokens.clone();
        let tokens = tokens.map(|tokens| Tokens::start(tokens, server));
        let mut registry = Self {
            folder,
            options,
            certificates,
            tokens,
            port: 0,
            server: None,
        };
        if !registry.options.users.is_empty() {
            let lines = registry.options.users.iter();
            let lines = lines.map(|(user, password)| format!("{user}:{}\n", bcrypt(password)));
            fs::write(registry.path("htpasswd"), lines.collect::<String>()).expect("a file");
        }
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
        let scheme = if self.options.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address())
    }

    /// The certificate, in PEM, of the authority that its own is by.
    #[must_use]
    pub fn ca(&self) -> &Path {
        let certificates = self.certificates.as_ref();
        &certificates.expect("it was started with TLS").ca
    }

    /// The server that gives tokens for it.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        let tokens = self.tokens.as_ref();
        tokens.expect("it was started to ask for tokens")
    }

    /// Where it keeps what it has.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.path("data/docker/registry/v2")
    }

    /// The file of a blob or manifest, by its digest (`sha256:…`), whether it is there or not.
    #[must_use]
    pub fn blob(&self, digest: &str) -> PathBuf {
        let (algorithm, hex) = digest.split_once(':').expect("a digest");
        let begin = hex.get(..2).expect("a digest");
        let blobs = self.folder().join("blobs").join(algorithm);
        blobs.join(begin).join(hex).join("data")
    }

    /// Ends it: connections to it are refused from then on.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // It may have ended already.
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// Starts it again where it was, with all it had, and returns when it answers.
    pub fn resume(&mut self) {
        self.stop();
        let configuration = self.path("config.yml");
        fs::write(&configuration, self.configuration()).expect("a file");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(configuration);
        // Each setting could also come from a variable.
        command.env_clear().current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let started = command.stderr(Stdio::piped()).spawn();
        let mut server = started.unwrap_or_else(|error| panic!("{MISSING}: {error}"));
        let mut log = BufReader::new(server.stderr.take().expect("its log"));
        let mut said = String::new();
        self.port = loop {
            let before = said.len();
            log.read_line(&mut said).expect("a line");
            let line = &said[before..];
            assert!(!line.is_empty(), "it ended:\n{said}");
            if let Some(port) = port_told(line) {
                break port;
            }
        };
        // Somebody has to read on, or the server would wait one day.
        std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
        self.server = Some(server);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configuration(&self) -> String {
        let mut text = format!(
            "version: 0.1\n\
             log: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage:\n\
             \x20 filesystem: {{rootdirectory: '{data}'}}\n\
             \x20 delete: {{enabled: true}}\n\
             \x20 maintenance: {{uploadpurging: {{enabled: false}}}}\n\
             http:\n\
             \x20 addr: '127.0.0.1:{port}'\n\
             \x20 secret: of the test\n",
            data = self.path("data").display(),
            port = self.port,
        );
        if let Some(it) = &self.certificates {
            let (certificate, key) = (it.certificate.display(), it.key.display());
            let _ = writeln!(
                text,
                "  tls: {{certificate: '{certificate}', key: '{key}'}}"
            );
        }
        if !self.options.users.is_empty() {
            let path = self.path("htpasswd");
            let path = path.display();
            let _ = writeln!(text, "auth: {{htpasswd: {{realm: test, path: '{path}'}}}}");
        }
        if let Some(tokens) = &self.tokens {
            let _ = writeln!(text, "auth: {{token: {}}}", tokens.configuration());
        }
        if let Some(url) = &self.options.mirror_of {
            let _ = writeln!(text, "proxy: {{remoteurl: '{url}'}}");
        }
        text
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The port in the line of the log that says where it listens.
fn port_told(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("listening on 127.0.0.1:")?;
    let digits = rest.find(|it: char| !it.is_ascii_digit())?;
    rest[..digits].parse().ok()
}

fn owned(users: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |&(user, password): &(&str, &str)| (user.to_owned(), password.to_owned());
    users.iter().map(owned).collect()
}

/// The form of a password that the registry wants. Every Debian has a Perl whose `crypt` can do it.
fn bcrypt(password: &str) -> String {
    let mut perl = Command::new("perl");
    perl.args([
        "-e",
        r"print crypt($ENV{PASSWORD}, '$2y$04$ofthetestofthetestofte')",
    ]);
    let output = perl.env("PASSWORD", password).output();
    let output = output.expect("this test needs Perl, as every Debian has it");
    let hash = String::from_utf8(output.stdout).expect("a text");
    assert!(hash.starts_with("$2y$"), "Perl cannot do it: {hash}");
    hash
}
