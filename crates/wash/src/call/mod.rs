//! `wash call`: calls a function that a component exports, here or in a host that runs, and prints what it returns.

mod local;
mod remote;
mod target;

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::{CallArgs, StatusArgs};
use crate::failure::Failure;
use crate::ui::Ui;
use target::Target;

/// What a function returned.
struct Returned {
    /// In WAVE; empty if it returns nothing.
    wave: String,
    /// In JSON.
    result: Value,
    /// Whether the function says that it failed.
    err: bool,
}

/// The call went well, and the function says that it failed.
const RETURNED_ERR: u8 = 1;

pub(crate) async fn run(args: CallArgs, ui: &Ui) -> Result<ExitCode, Failure> {
    let returned = match target::decide(&args).await? {
        Target::Here { export, values } => local::call(&args, export, values, ui).await?,
        Target::There {
            workload,
            export,
            values,
            guessed,
        } => {
            let guess = guessed.then(|| workload.clone());
            let called = remote::call(&args, workload, export, values).await;
            called.map_err(|error| error.explain(guess.as_deref()))?
        }
        Target::Schedule { workload, schedule } => {
            let run = remote::run_schedule(&args, workload, schedule).await;
            run.map_err(|error| error.explain(None))?
        }
    };
    if ui.is_json() {
        ui.data(json!({"result": returned.result, "wave": returned.wave}))?;
    } else if !returned.wave.is_empty() {
        ui.data(&returned.wave)?;
    }
    Ok(if returned.err {
        ExitCode::from(RETURNED_ERR)
    } else {
        ExitCode::SUCCESS
    })
}

/// `wash status`: how the workloads of a running host are.
pub(crate) async fn status(args: StatusArgs, ui: &Ui) -> Result<(), Failure> {
    let shown = remote::status(args.host.as_deref(), ui).await;
    shown.map_err(|error| error.explain(None))
}

/// What to do about arguments, for whoever types them into a shell.
fn in_a_shell(hint: Option<String>) -> Option<String> {
    hint.map(|hint| {
        if hint.starts_with("write ") && hint.contains(['"', '\'', '{', '[', '(']) {
            format!("{hint}; in a shell, put each between single quotes, such as '\"text\"'")
        } else {
            hint
        }
    })
}
