//! A folder that stands for a registry, as `wkg` has it: `NAMESPACE/NAME/VERSION.wasm`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wasm_pkg_common::package::{PackageRef, Version};

use super::files;
use super::remote::MOST_BYTES;
use crate::failure::Failure;

/// The folder of one package.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(root: &Path, package: &PackageRef) -> Self {
        let (namespace, name) = (package.namespace().as_ref(), package.name().as_ref());
        Self(root.join(namespace).join(name))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The versions that are there; none if there is no such folder.
    pub(super) fn versions(&self) -> Result<Option<Vec<Version>>, Failure> {
        let wrong = |error: &io::Error| Failure::io("cannot read", self.0.display(), error);
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(&error)),
        };
        let mut versions = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| wrong(&error))?.file_name();
            let version = name.to_str().and_then(|it| it.strip_suffix(".wasm"));
            versions.extend(version.and_then(|it| it.parse::<Version>().ok()));
        }
        versions.sort();
        Ok(Some(versions))
    }

    /// The content of a version, if it is there.
    pub(super) fn content(&self, version: &Version) -> Result<Option<Vec<u8>>, Failure> {
        let file = self.file(version);
        match files::read(&file, MOST_BYTES) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::io("cannot read", file.display(), &error)),
        }
    }

    pub(super) fn publish(&self, version: &Version, bytes: &[u8]) -> Result<(), Failure> {
        let file = self.file(version);
        files::replace(&file, bytes)
            .map_err(|error| Failure::io("cannot write", file.display(), &error))
    }

    fn file(&self, version: &Version) -> PathBuf {
        self.0.join(format!("{version}.wasm"))
    }
}
