//! A server on one processor and its clients on another. How long one caller waits depends on which processor each side is woken on,
//! which differs from round to round by more than what is to be seen.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

/// The first processor is the clients', which are in this process; the last is the server's. Dropping it frees both.
#[derive(Debug)]
pub(super) struct Apart {
    server: u32,
    processors: usize,
}

impl Apart {
    /// Keeps them apart where there are two processors; nothing otherwise.
    pub(super) fn from(server: u32) -> anyhow::Result<Option<Self>> {
        let processors = std::thread::available_parallelism()?.get();
        if processors < 2 {
            return Ok(None);
        }
        let apart = Self { server, processors };
        bind(std::process::id(), "0")?;
        for process in family(server) {
            bind(process, &(processors - 1).to_string())?;
        }
        Ok(Some(apart))
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let all = format!("0-{}", self.processors - 1);
        let ours = std::iter::once(std::process::id());
        for process in ours.chain(family(self.server)) {
            // A process that has ended in the meantime is nowhere.
            let _ = bind(process, &all);
        }
    }
}

/// A process and those that it has started, such as those of PostgreSQL.
fn family(process: u32) -> Vec<u32> {
    let list = Path::new("/proc").join(format!("{process}/task/{process}/children"));
    let children = std::fs::read_to_string(list).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|it| it.parse().ok());
    std::iter::once(process).chain(children).collect()
}

/// Binds all threads of a process, and those that they will start.
fn bind(process: u32, processors: &str) -> anyhow::Result<()> {
    let mut taskset = Command::new("taskset");
    taskset.args(["--all-tasks", "--cpu-list", "--pid", processors]);
    taskset.arg(process.to_string()).stdout(Stdio::null());
    let bound = taskset.stderr(Stdio::null()).status();
    let bound = bound.context("`taskset` of util-linux cannot be run")?;
    ensure!(
        bound.success(),
        "process {process} cannot be bound to processor {processors}"
    );
    Ok(())
}
