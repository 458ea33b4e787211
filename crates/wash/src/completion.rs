//! `wash completion`: a script that teaches a shell the commands.

use clap::CommandFactory as _;

use crate::cli::{Cli, CompletionArgs};
use crate::failure::Failure;
use crate::ui::Ui;

pub(crate) fn run(args: &CompletionArgs, ui: &Ui) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "wash", &mut script);
    ui.data(String::from_utf8_lossy(&script).trim_end())
}
