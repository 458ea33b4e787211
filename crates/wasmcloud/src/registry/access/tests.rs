//! Files, pull secrets and helpers as others write them, and damaged ones.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

fn basic(username: &str, password: &str) -> Credentials {
    Credentials::Basic {
        username: username.to_owned(),
        password: password.into(),
    }
}

/// `{name}:pw`, as these files have it.
fn auth(name: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(format!("{name}:pw"))
}

fn file(auths: &[(&str, &str)]) -> AuthFile {
    let auths: serde_json::Map<_, _> = auths
        .iter()
        .map(|(key, name)| ((*key).to_owned(), serde_json::json!({ "auth": auth(name) })))
        .collect();
    AuthFile::parse(serde_json::json!({ "auths": auths }).to_string().as_bytes()).unwrap()
}

fn who(file: &AuthFile, registry: &str, repository: &str) -> Option<String> {
    match file.credentials(registry, repository)? {
        Credentials::Basic { username, .. } => Some(username),
        other => Some(format!("{other:?}")),
    }
}

#[test]
fn the_longest_path_of_a_registry_counts_and_no_other_registry() {
    let file = file(&[
        ("https://index.docker.io/v1/", "hub"),
        ("ghcr.io", "gh"),
        ("https://Old.example/v2/", "old"),
        ("registry.example:5000", "five"),
        ("registry.example", "plain"),
        ("registry.example/team", "team"),
        ("registry.example/team/app", "app"),
    ]);
    let is = |registry: &str, repository: &str, wanted: Option<&str>| {
        let found = who(&file, registry, repository);
        assert_eq!(found.as_deref(), wanted, "{registry}/{repository}");
    };
    is("docker.io", "acme/shop", Some("hub"));
    is("ghcr.io", "a/b", Some("gh"));
    is("old.example", "a", Some("old"));
    is("registry.example:5000", "team/app", Some("five"));
    is("registry.example", "other", Some("plain"));
    is("registry.example", "team", Some("team"));
    is("registry.example", "team/x", Some("team"));
    is("registry.example", "team/app/x", Some("app"));
    is("registry.example", "teams", Some("plain"));
    is("registry.example:5001", "a", None);
    is("evil.example", "ghcr.io", None);
    is("ghcr.io.evil.example", "a/b", None);
}

#[test]
fn each_kind_of_entry_is_read() {
    let text = serde_json::json!({"auths": {
        "a.example": {"username": "u", "password": "p"},
        "b.example": {"auth": "PHRva2VuPjp4", "identitytoken": "id"},
        "c.example": {"registrytoken": "reg"},
        "d.example": {"auth": "dTpwOndpdGg6Y29sb25z"},
        "e.example": {},
    }, "HttpHeaders": {"User-Agent": "x"}, "credsStore": ""});
    let file = AuthFile::parse(text.to_string().as_bytes()).unwrap();
    let of = |registry: &str| file.credentials(registry, "x");
    assert_eq!(of("a.example"), Some(basic("u", "p")));
    assert_eq!(of("b.example"), Some(Credentials::Identity("id".into())));
    assert_eq!(of("c.example"), Some(Credentials::Bearer("reg".into())));
    assert_eq!(of("d.example"), Some(basic("u", "p:with:colons")));
    assert_eq!(of("e.example"), None);
}

#[test]
fn a_damaged_file_is_told_without_what_is_in_it() {
    let told = |text: &str| AuthFile::parse(text.as_bytes()).unwrap_err().to_string();
    for text in [
        r#"{"auths": {"a": {"auth": hunter2}}}"#,
        r#"{"auths": {"a": "hunter2"}}"#,
        "hunter2",
    ] {
        let told = told(text);
        assert!(
            told.contains("no JSON") && !told.contains("hunter2"),
            "{told}"
        );
    }
    for auth in ["hunter2!", "aHVudGVyMg=="] {
        let told = told(&format!(r#"{{"auths": {{"a": {{"auth": "{auth}"}}}}}}"#));
        assert_eq!(told, "an `auth` in it is no base64 of `name:password`");
    }
    assert!(told(r#"{"credsStore": "../../bin/sh"}"#).contains("credential helper"));
}

#[test]
fn no_secret_is_shown() {
    let file = file(&[("a.example", "u")]);
    let all = format!(
        "{:?} {:?} {:?}",
        basic("u", "hunter2"),
        file,
        Keychain::anonymous().pull_secret("s", file.clone())
    );
    assert!(!all.contains("hunter2") && !all.contains("pw"), "{all}");
}

#[test]
fn a_mark_tells_credentials_apart() {
    let all = [
        Credentials::Anonymous,
        basic("a", "bc"),
        basic("ab", "c"),
        Credentials::Identity("a".into()),
        Credentials::Bearer("a".into()),
    ];
    let marks: std::collections::BTreeSet<_> = all.iter().map(|it| it.mark(b"salt")).collect();
    assert_eq!(marks.len(), all.len());
    assert_eq!(
        basic("a", "bc").mark(b"salt"),
        basic("a", "bc").mark(b"salt")
    );
    assert_ne!(
        basic("a", "bc").mark(b"salt"),
        basic("a", "bc").mark(b"pepper")
    );
}

/// A folder with a file of credentials that names a helper, and the helper.
struct Helped {
    folder: tempfile::TempDir,
    name: String,
}

impl Helped {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Found by its path, for this process only: the environment is that of all tests.
        let name = format!(
            "test-{}",
            folder
                .path()
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .trim_start_matches('.')
        );
        let program = folder.path().join(format!("docker-credential-{name}"));
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, name }
    }

    async fn ask(
        &self,
        server: &str,
        patience: Duration,
    ) -> Result<Option<Credentials>, HelperProblem> {
        let program = self
            .folder
            .path()
            .join(format!("docker-credential-{}", self.name));
        loop {
            // Another test may have forked while the program was written, and has it open for a moment.
            match helper::ask(program.to_str().unwrap(), server, patience).await {
                Err(HelperProblem::Start(error))
                    if error.kind() == std::io::ErrorKind::ExecutableFileBusy =>
                {
                    tokio::task::yield_now().await;
                }
                answer => return answer,
            }
        }
    }
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_helper_is_asked_for_the_server() {
    let says = Helped::new(
        r#"read -r server; echo "{\"ServerURL\":\"$server\",\"Username\":\"$1\",\"Secret\":\"for $server\"}""#,
    );
    let found = says.ask("ghcr.io", LONG).await.unwrap();
    assert_eq!(found, Some(basic("get", "for ghcr.io")));
    let token = Helped::new(r#"echo '{"Username":"<token>","Secret":"id"}'"#);
    let found = token.ask("ghcr.io", LONG).await.unwrap();
    assert_eq!(found, Some(Credentials::Identity("id".into())));
    let none = Helped::new("echo credentials not found in native keychain; exit 1");
    assert_eq!(none.ask("ghcr.io", LONG).await.unwrap(), None);
}

#[tokio::test]
async fn a_helper_that_fails_hangs_or_floods_is_an_error_without_its_words() {
    let told = async |script: &str, patience| {
        let helped = Helped::new(script);
        helped
            .ask("ghcr.io", patience)
            .await
            .unwrap_err()
            .to_string()
    };
    let failed = told("echo hunter2; echo hunter2 >&2; exit 3", LONG).await;
    assert!(
        failed.contains("failed") && !failed.contains("hunter2"),
        "{failed}"
    );
    let garbage = told("echo hunter2", LONG).await;
    assert!(
        garbage.contains("no JSON") && !garbage.contains("hunter2"),
        "{garbage}"
    );
    let late = told("exec sleep 1000", Duration::from_millis(50)).await;
    assert!(late.contains("did not end"), "{late}");
    let flood = told("exec cat /dev/zero", LONG).await;
    assert!(flood.contains("at most 65536 bytes"), "{flood}");
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn what_is_explicit_comes_before_pull_secrets_before_settings_before_files() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        r#"{{"auths": {{"r.example": {{"auth": "{}"}}}}}}"#,
        auth("in-file")
    );
    let path = write(folder.path(), "config.json", &text);
    let files = Keychain::anonymous().file(path.clone());
    let find = async |keychain: &Keychain, settings| {
        keychain.find("r.example", "a", settings).await.unwrap()
    };
    let found = find(&files, None).await;
    assert_eq!(found.credentials, basic("in-file", "pw"));
    assert_eq!(found.origin, Origin::File(path));
    let settings = basic("settings", "pw");
    assert_eq!(find(&files, Some(&settings)).await.origin, Origin::Settings);
    let secret = files.pull_secret("s", file(&[("r.example", "secret")]));
    let found = find(&secret, Some(&settings)).await;
    assert_eq!(found.credentials, basic("secret", "pw"));
    let explicit = secret.explicit("R.example", basic("me", "pw"));
    assert_eq!(
        find(&explicit, Some(&settings)).await.credentials,
        basic("me", "pw")
    );
    let other = explicit.find("other.example", "a", None).await.unwrap();
    assert_eq!(other.origin, Origin::Nowhere);
}

#[tokio::test]
async fn what_is_damaged_or_missing_is_never_silently_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = write(folder.path(), "config.json", "{");
    let told = async |path: &Path| {
        let keychain = Keychain::anonymous().file(path.to_owned());
        keychain
            .find("r.example", "a", None)
            .await
            .unwrap_err()
            .to_string()
    };
    let text = told(&damaged).await;
    assert!(
        text.contains("config.json") && text.contains("no JSON"),
        "{text}"
    );
    let text = told(&folder.path().join("gone.json")).await;
    assert!(
        text.contains("gone.json") && text.contains("No such file"),
        "{text}"
    );
    let text = told(folder.path()).await;
    assert!(text.contains("not a regular file"), "{text}");
    let helped = write(
        folder.path(),
        "helped.json",
        r#"{"credsStore": "surely-not-there"}"#,
    );
    let text = told(&helped).await;
    assert!(
        text.contains("`docker-credential-surely-not-there`, which `")
            && text.contains("cannot be run"),
        "{text}"
    );
}

#[tokio::test]
async fn a_pull_secret_runs_no_program() {
    let secret = AuthFile::parse(
        br#"{"credsStore": "surely-not-there", "credHelpers": {"r.example": "nor-this"}}"#,
    )
    .unwrap();
    let keychain = Keychain::anonymous().pull_secret("s", secret);
    let found = keychain.find("r.example", "a", None).await.unwrap();
    assert_eq!(found.origin, Origin::Nowhere);
}
