//! What everybody has for files: `dd`, which waits for the disk at the end as the host does, and `cat`.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;
use tokio::process::Command;

use super::{Mover, Way};
use crate::capabilities::servers;

/// A folder with a file.
pub(super) struct Files {
    folder: Arc<TempDir>,
}

impl Files {
    pub(super) fn new() -> anyhow::Result<Self> {
        let folder = servers::folder()?;
        Ok(Self { folder })
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("blob")
    }
}

impl Mover for Files {
    fn name(&self, way: Way) -> &'static str {
        match way {
            Way::Write => "dd-fsync",
            Way::Read => "cat",
        }
    }

    async fn flow(&self, way: Way, bytes: u64) -> anyhow::Result<f64> {
        let mut command = match way {
            Way::Write => {
                let mut dd = Command::new("dd");
                dd.args(["if=/dev/zero", "bs=64K", "conv=fsync", "status=none"])
                    .args(["iflag=count_bytes", &format!("count={bytes}")])
                    .arg(format!("of={}", self.file().display()));
                dd
            }
            Way::Read => {
                let mut cat = Command::new("cat");
                cat.arg(self.file()).stdout(Stdio::null());
                cat
            }
        };
        let begun = Instant::now();
        let status = command.stdin(Stdio::null()).status().await;
        let status = status.with_context(|| format!("{command:?} did not start"))?;
        ensure!(status.success(), "{command:?} ended with {status}");
        Ok(begun.elapsed().as_secs_f64())
    }
}
