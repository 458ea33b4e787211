//! The files of the encrypted store, which no workload may read as a secret, whatever way leads to them: who has them has the
//! secrets of all.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What workloads are told of such a file.
pub(super) const REFUSED: &str =
    "it is part of the encrypted store of the host, which no workload may read as a file";

/// Where these files are. The default guards nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Guarded {
    files: Arc<[PathBuf]>,
    /// The folder in which the host keeps what it keeps.
    data: Option<PathBuf>,
}

impl Guarded {
    pub(super) fn new(files: Vec<PathBuf>, data: Option<&Path>) -> Self {
        Self {
            files: files.into(),
            data: data.map(Path::to_owned),
        }
    }

    /// Whether a folder, by its real path, is one in which the host keeps its own. Blocks.
    pub(super) fn has_folder(&self, folder: &Path) -> bool {
        let data = self.data.as_ref().and_then(|data| data.canonicalize().ok());
        data.is_some_and(|data| folder.starts_with(data))
    }

    /// Whether a path leads to one of these files now. Blocks.
    pub(super) fn has_path(&self, path: &Path) -> bool {
        path.metadata().is_ok_and(|found| self.has(&found))
    }

    /// Whether a file that was opened is one of them. By what it is and not by its name, so that no link helps. Blocks.
    pub(super) fn has_file(&self, file: &File) -> io::Result<bool> {
        Ok(!self.files.is_empty() && self.has(&file.metadata()?))
    }

    fn has(&self, found: &Metadata) -> bool {
        let number = |of: &Metadata| (of.dev(), of.ino());
        let mut own = self.files.iter().filter_map(|path| path.metadata().ok());
        own.any(|own| number(&own) == number(found))
    }
}
