//! One `wash dev` a folder: two would build into each other's output.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use crate::failure::Failure;
use crate::project::Project;

/// Where the lock is, in the folder of the project.
const FILE: &str = ".wash/dev.lock";

/// Holds a project until it is dropped or the process ends. The file stays: who locks counts, not whether it is there.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the project, or says who has it.
    pub(super) fn take(project: &Project) -> Result<Self, Failure> {
        let shown = project.path(FILE);
        let fail =
            |error: &io::Error| Failure::io("cannot lock the project with", shown.display(), error);
        let mut file = open(&project.dir).map_err(|error| fail(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut who = String::new();
                // Without its words the message is only less helpful.
                let _ = file.read_to_string(&mut who);
                let who = if who.trim().is_empty() {
                    "just starting".to_owned()
                } else {
                    who.trim().to_owned()
                };
                let message = format!(
                    "another `wash dev` runs in {} ({who})",
                    project.dir.display()
                );
                return Err(Failure::new(message).hint("use that one, or stop it first"));
            }
            Err(TryLockError::Error(error)) => return Err(fail(&error)),
        }
        let mut lock = Self { file };
        lock.write(&format!("process {}", std::process::id()))
            .map_err(|error| fail(&error))?;
        Ok(lock)
    }

    /// Tells others where this one serves.
    pub(super) fn serving(&mut self, http: SocketAddr) {
        let words = format!("process {}, http://{http}/", std::process::id());
        if let Err(error) = self.write(&words) {
            tracing::debug!(%error, "the lock file does not name the address");
        }
    }

    fn write(&mut self, words: &str) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "{words}")
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Whoever reads the words of one that is gone would be misled, no more.
        let _ = self.file.set_len(0);
    }
}

fn open(dir: &Path) -> io::Result<File> {
    let folder = dir.join(".wash");
    if !folder.is_dir() {
        fs::create_dir(&folder)?;
        fs::write(folder.join(".gitignore"), "/dev.lock\n/.gitignore\n")?;
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(dir.join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_held_once_and_free_again_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let project = Project::open(dir.path()).unwrap();
        let mut lock = Lock::take(&project).unwrap();
        lock.serving("127.0.0.1:8123".parse().unwrap());
        let message = Lock::take(&project).unwrap_err().message();
        assert!(
            message.contains(&format!(
                "(process {}, http://127.0.0.1:8123/)",
                std::process::id()
            )),
            "{message}"
        );
        drop(lock);
        assert!(Lock::take(&project).is_ok());
    }
}
