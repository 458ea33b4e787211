//! One `wash dev` a folder: two would build into each other's output.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::failure::Failure;
use crate::project::Project;
use crate::ui::printable;

/// The folder of the lock, in that of the project.
const FOLDER: &str = ".wash";
/// Where the lock is, in the folder of the project.
const FILE: &str = ".wash/dev.lock";
/// What is read of another's words, which are no longer than this.
const LONGEST_WORDS: u64 = 200;

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
        make_folder(project)?;
        let file = open(&project.dir).map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => odd(&shown, "is a symbolic link"),
            _ => fail(&error),
        })?;
        refuse_odd(&file, &shown)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let message = format!(
                    "another `wash dev` runs in {} ({})",
                    project.dir.display(),
                    holder(&file)
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

/// What the holder of the lock says of itself. Anybody may have written the file, and without it the message is only less helpful.
fn holder(file: &File) -> String {
    let mut words = Vec::new();
    let _ = file.take(LONGEST_WORDS).read_to_end(&mut words);
    let words = String::from_utf8_lossy(&words);
    match words.trim() {
        "" => "just starting".to_owned(),
        words => printable(words).into_owned(),
    }
}

/// Makes the folder of the lock. One that is a link is refused: a project that was only downloaded must not lead to files elsewhere.
fn make_folder(project: &Project) -> Result<(), Failure> {
    let (folder, shown) = (project.dir.join(FOLDER), project.path(FOLDER));
    let fail = |error: &io::Error| Failure::io("cannot make", shown.display(), error);
    match folder.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(metadata) if metadata.is_symlink() => Err(odd(&shown, "is a symbolic link")),
        Ok(_) => Err(odd(&shown, "is not a folder")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(&folder)
            .and_then(|()| fs::write(folder.join(".gitignore"), "/dev.lock\n/.gitignore\n"))
            .map_err(|error| fail(&error)),
        Err(error) => Err(Failure::io("cannot open", shown.display(), &error)),
    }
}

/// Opens the lock, but follows no link, and does not wait for the other end of a pipe.
fn open(dir: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(dir.join(FILE))
}

/// Refuses what is not a plain file of its own, because the lock is emptied and written.
fn refuse_odd(file: &File, shown: &Path) -> Result<(), Failure> {
    let metadata = file
        .metadata()
        .map_err(|error| Failure::io("cannot lock the project with", shown.display(), &error))?;
    if !metadata.is_file() {
        Err(odd(shown, "is not a regular file"))
    } else if metadata.nlink() != 1 {
        Err(odd(shown, "has another name elsewhere"))
    } else {
        Ok(())
    }
}

fn odd(shown: &Path, what: &str) -> Failure {
    let message = format!(
        "cannot lock the project: {} {what}",
        printable(&shown.display().to_string())
    );
    Failure::new(message).hint("remove it; `wash dev` makes its own")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

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

    /// A project whose lock is made by `make`, which gets its path and that of a file with content.
    fn refused(make: impl FnOnce(&Path, &Path)) -> String {
        let dir = tempfile::tempdir().unwrap();
        let (inside, precious) = (dir.path().join("p"), dir.path().join("precious"));
        fs::create_dir_all(inside.join(FOLDER)).unwrap();
        fs::write(&precious, "content").unwrap();
        make(&inside.join(FILE), &precious);
        let message = Lock::take(&Project::open(&inside).unwrap())
            .unwrap_err()
            .message();
        assert_eq!(fs::read_to_string(&precious).unwrap(), "content");
        message
    }

    #[test]
    fn a_lock_that_is_a_link_is_refused_and_what_it_leads_to_is_left_alone() {
        let message = refused(|lock, precious| symlink(precious, lock).unwrap());
        assert!(message.contains("dev.lock is a symbolic link"), "{message}");
        let message = refused(|lock, precious| fs::hard_link(precious, lock).unwrap());
        assert!(message.contains("has another name elsewhere"), "{message}");
        let message = refused(|lock, _| drop(UnixListener::bind(lock).unwrap()));
        assert!(message.contains("cannot lock the project"), "{message}");
    }

    #[test]
    fn a_folder_of_the_lock_that_is_a_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, elsewhere) = (dir.path().join("p"), dir.path().join("elsewhere"));
        fs::create_dir_all(&inside).unwrap();
        fs::create_dir_all(&elsewhere).unwrap();
        symlink(&elsewhere, inside.join(FOLDER)).unwrap();
        let message = Lock::take(&Project::open(&inside).unwrap())
            .unwrap_err()
            .message();
        assert!(message.contains(".wash is a symbolic link"), "{message}");
        assert_eq!(elsewhere.read_dir().unwrap().count(), 0);
    }

    #[test]
    fn what_the_holder_says_is_cut_and_printable() {
        let dir = tempfile::tempdir().unwrap();
        let project = Project::open(dir.path()).unwrap();
        let mut lock = Lock::take(&project).unwrap();
        lock.write(&format!("\u{1b}[2J{}", "x".repeat(1000)))
            .unwrap();
        let message = Lock::take(&project).unwrap_err().message();
        // The folder may have such letters in its name, too.
        let (_, words) = message.split_once("(\\u{1b}[2J").unwrap();
        assert_eq!(words.matches('x').count(), 196, "{message}");
    }
}
