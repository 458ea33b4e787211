//! Where the socket is: in a folder that only its owner may enter.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
    PermissionsExt as _,
};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// The private folder, in the folder that somebody gives.
const FOLDER: &str = "control";
/// The socket in it.
const SOCKET: &str = "socket";
/// Where a project has it.
const PROJECT: &str = ".wash";

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", .path.display())]
pub struct PlaceError {
    /// What it is about.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

impl PlaceError {
    fn new(path: &Path, reason: impl ToString) -> Self {
        Self {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// Where a socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPath(PathBuf);

impl SocketPath {
    /// The socket of a host that keeps what it keeps in this folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self(folder.join(FOLDER).join(SOCKET))
    }

    /// What a path that somebody typed leads to: a socket, the data folder of a host, or the folder of a project.
    #[must_use]
    pub fn find(path: &Path) -> Option<Self> {
        let candidates = [
            Self(path.to_owned()),
            Self::in_folder(path),
            Self::in_folder(&path.join(PROJECT)),
        ];
        candidates.into_iter().find(|it| it.is_there())
    }

    /// The socket itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.0).is_ok_and(|found| found.file_type().is_socket())
    }

    /// Listens, for this user only. A socket that is there already is taken for one that was left behind: whoever calls this holds
    /// the folder.
    pub(super) fn listen(&self) -> Result<UnixListener, PlaceError> {
        let fail = |error: io::Error| PlaceError::new(&self.0, error);
        let folder = self.0.parent().unwrap_or(Path::new("."));
        make_private(folder)?;
        match fs::symlink_metadata(&self.0) {
            Ok(found) if found.file_type().is_socket() => {
                fs::remove_file(&self.0).map_err(fail)?;
            }
            Ok(_) => {
                return Err(PlaceError::new(
                    &self.0,
                    "something else is there; remove it",
                ));
            }
            Err(_) => {}
        }
        let listener = reach(folder, UnixListener::bind).map_err(fail)?;
        fs::set_permissions(&self.0, Permissions::from_mode(0o600)).map_err(fail)?;
        Ok(listener)
    }

    /// Connects to whoever listens.
    pub(super) async fn connect(&self) -> io::Result<UnixStream> {
        let folder = self.0.parent().unwrap_or(Path::new("."));
        let name = self.0.file_name().unwrap_or_default();
        let (held, path) = short(folder, name)?;
        let connected = UnixStream::connect(path).await;
        drop(held);
        connected
    }

    /// Removes what is left of it.
    pub(super) fn remove(&self) {
        // Whoever comes next removes it, too.
        let _ = fs::remove_file(&self.0);
    }
}

/// Makes a folder that only this user may enter, or makes sure that it is one.
fn make_private(folder: &Path) -> Result<(), PlaceError> {
    let fail = |error: io::Error| PlaceError::new(folder, error);
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made.map_err(fail),
    }
    let found = fs::symlink_metadata(folder).map_err(fail)?;
    if !found.is_dir() {
        return Err(PlaceError::new(folder, "this is no folder; remove it"));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(PlaceError::new(folder, "it belongs to another user"));
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(fail)?;
    }
    Ok(())
}

fn reach<T>(folder: &Path, with: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    let (_held, path) = short(folder, SOCKET.as_ref())?;
    with(path)
}

/// A path that fits into the address of a socket, which has room for some hundred bytes: where folders are deep, one that goes through
/// an open folder.
fn short(folder: &Path, name: &std::ffi::OsStr) -> io::Result<(Option<File>, PathBuf)> {
    /// What surely fits on any system.
    const FITS: usize = 100;
    let path = folder.join(name);
    if path.as_os_str().len() < FITS {
        return Ok((None, path));
    }
    let mut options = OpenOptions::new();
    let folder = options
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC)
        .open(folder)?;
    let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string());
    Ok((Some(folder), path.join(name)))
}
