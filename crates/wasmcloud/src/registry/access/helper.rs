//! Programs that know credentials: `docker-credential-NAME get`, as Docker speaks with them
//! (<https://github.com/docker/docker-credential-helpers#development>).

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::credentials::{Credentials, SecretText};

/// The most that a helper may answer, in bytes.
const LARGEST: u64 = 64 << 10;
/// The name that says that the secret is the token of a login.
const TOKEN: &str = "<token>";

/// Why a program gives no credentials. What it says is not repeated: it may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum HelperProblem {
    /// It is not there, or cannot be run.
    #[error("it cannot be run: {0}")]
    Start(#[source] std::io::Error),
    /// It broke off.
    #[error("it cannot be spoken with: {0}")]
    Io(#[source] std::io::Error),
    /// It does not end.
    #[error("it did not end within {} s", .0.as_secs())]
    Late(Duration),
    /// It fails.
    #[error("it failed ({0})")]
    Failed(std::process::ExitStatus),
    /// It answers something else.
    #[error("its answer is no JSON with `Username` and `Secret` of at most {LARGEST} bytes")]
    Answer,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: SecretText,
}

/// Asks a program for the credentials of a server. None if it has none.
pub(super) async fn ask(
    program: &str,
    server: &str,
    patience: Duration,
) -> Result<Option<Credentials>, HelperProblem> {
    let mut command = Command::new(program);
    command
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let child = command.spawn().map_err(HelperProblem::Start)?;
    let told = tokio::time::timeout(patience, talk(child, server)).await;
    told.unwrap_or(Err(HelperProblem::Late(patience)))
}

async fn talk(mut child: Child, server: &str) -> Result<Option<Credentials>, HelperProblem> {
    if let Some(mut stdin) = child.stdin.take() {
        // One that needs no question has closed its ears already.
        let _ = stdin.write_all(server.as_bytes()).await;
    }
    let mut answer = Zeroizing::new(Vec::new());
    if let Some(stdout) = child.stdout.take() {
        let mut stdout = stdout.take(LARGEST + 1);
        let read = stdout.read_to_end(&mut answer).await;
        read.map_err(HelperProblem::Io)?;
    }
    if answer.len() as u64 > LARGEST {
        return Err(HelperProblem::Answer);
    }
    let status = child.wait().await.map_err(HelperProblem::Io)?;
    if !status.success() {
        return match is_not_found(&answer) {
            true => Ok(None),
            false => Err(HelperProblem::Failed(status)),
        };
    }
    let answer: Answer = serde_json::from_slice(&answer).map_err(|_| HelperProblem::Answer)?;
    let Answer { username, secret } = answer;
    Ok(match (username.as_str(), secret.expose().is_empty()) {
        (_, true) => None,
        (TOKEN, _) => Some(Credentials::Identity(secret)),
        _ => Some(Credentials::Basic {
            username,
            password: secret,
        }),
    })
}

/// What the protocol says for "I know none" is an exit status and one of these.
fn is_not_found(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    text.contains("credentials not found")
        || text.contains("no credentials server URL")
        || text.contains("no credentials username")
}
