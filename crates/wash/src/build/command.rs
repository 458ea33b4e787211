//! Builds with a command of the user's.

use tokio::process::Command;

use super::{BuildError, relay};
use crate::failure::Failure;
use crate::project::Project;
use crate::ui::Ui;

/// Runs the command in a shell, in the folder of the project. What it prints is talk, so it goes to standard error.
pub(super) async fn run(project: &Project, command: &str, ui: &Ui) -> Result<(), BuildError> {
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(command)
        .current_dir(&project.dir)
        .envs(&project.config.build_env);
    let ran = relay::run(shell, ui, |line| ui.say(line)).await;
    let ran = ran.map_err(|error| {
        BuildError::hopeless(Failure::new(format!(
            "cannot run `sh`, which runs `build.command`: {error}"
        )))
    })?;
    if ran.status.success() {
        return Ok(());
    }
    let summary = format!("the build failed: `{command}` ended with {}", ran.status);
    let message = match ran.said.as_deref().map(str::trim) {
        Some(said) if !said.is_empty() => format!("{summary}\n{said}"),
        _ => summary.clone(),
    };
    Err(Failure::new(message).shown(summary).into())
}
