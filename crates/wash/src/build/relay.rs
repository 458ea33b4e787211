//! Runs a build tool: what it says goes to standard error as it is, and its end is kept for the tools that read our output.

use std::io::Write as _;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::Command;

use crate::ui::Ui;

/// How much of what a tool said is kept.
const KEPT: usize = 256 * 1024;

/// How a tool ended.
pub(super) struct Ran {
    pub(super) status: ExitStatus,
    /// The end of what it said, if it was listened to.
    pub(super) said: Option<String>,
}

/// Runs a tool that talks on standard error; each line of its standard output is handed to `line`.
///
/// On a terminal the tool has it for itself, because only then it draws its progress.
pub(super) async fn run(
    mut command: Command,
    ui: &Ui,
    mut line: impl FnMut(&str),
) -> std::io::Result<Ran> {
    let listen = ui.is_json() || !ui.is_terminal();
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command.stderr(if listen {
        Stdio::piped()
    } else {
        Stdio::inherit()
    });
    let mut child = command.spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let lines = async {
        let Some(stdout) = stdout else { return };
        let mut lines = BufReader::new(stdout).split(b'\n');
        while let Ok(Some(bytes)) = lines.next_segment().await {
            line(&String::from_utf8_lossy(&bytes));
        }
    };
    let said = async {
        match stderr {
            Some(stderr) => Some(tee(stderr).await),
            None => None,
        }
    };
    let ((), said, status) = tokio::join!(lines, said, child.wait());
    Ok(Ran {
        status: status?,
        said,
    })
}

/// Passes everything on to standard error and keeps the end of it.
async fn tee(mut from: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut chunk = [0; 8192];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        let bytes = chunk.get(..length).unwrap_or_default();
        // Nobody is left to tell when standard error is closed.
        let _ = std::io::stderr().lock().write_all(bytes);
        kept.extend_from_slice(bytes);
        if kept.len() > 2 * KEPT {
            kept.drain(..kept.len() - KEPT);
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}
