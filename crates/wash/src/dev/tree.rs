//! The sources of a project by content: what differs, not what was touched.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use wasmcloud::artifact::Digest;

/// Folders and files that are nobody's sources, wherever they are.
const NEVER: [&str; 10] = [
    ".git",
    ".hg",
    ".svn",
    ".jj",
    ".idea",
    ".vscode",
    ".DS_Store",
    "node_modules",
    "__pycache__",
    ".direnv",
];
/// What builds leave in the folder of a project.
const OUTPUT: [&str; 2] = ["target", crate::build::OUTPUT];
/// Files of more bytes are told apart by length and time.
const HASHED: u64 = 16 << 20;

/// Which files count.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    /// Folders whose files count, absolute.
    pub(super) roots: Vec<PathBuf>,
    /// Files that count although they are elsewhere or among what is left out, absolute.
    pub(super) extra: BTreeSet<PathBuf>,
    /// Files that do not count although they are in a root, absolute.
    pub(super) without: BTreeSet<PathBuf>,
}

impl Filter {
    /// Whether a path counts, be it a file or a folder.
    pub(super) fn counts(&self, path: &Path) -> bool {
        if self.extra.contains(path) {
            return true;
        }
        if self.without.contains(path) {
            return false;
        }
        self.roots
            .iter()
            .filter_map(|root| path.strip_prefix(root).ok())
            .any(is_source)
    }
}

/// Whether a path relative to a root may be a source.
fn is_source(path: &Path) -> bool {
    let names: Vec<String> = path
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let first = names.first().map(String::as_str).unwrap_or_default();
    if OUTPUT.contains(&first)
        || names
            .iter()
            .any(|name| NEVER.contains(&name.as_str()) || is_temporary(name))
    {
        return false;
    }
    // Of this program's own folder, only the configuration is a source.
    first != ".wash" || names.get(1).is_none_or(|name| name.starts_with("config."))
}

/// What editors leave beside a file while it is edited or saved.
fn is_temporary(name: &str) -> bool {
    let ends = [
        "~",
        ".swp",
        ".swo",
        ".swx",
        ".tmp",
        ".bak",
        "___jb_tmp___",
        "___jb_old___",
    ];
    let starts = [".#", ".goutputstream-", ".wash-new-"];
    name == "4913"
        || ends.iter().any(|end| name.ends_with(end))
        || starts.iter().any(|start| name.starts_with(start))
        || (name.starts_with('#') && name.ends_with('#'))
}

/// The digests of all files that count.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: BTreeMap<PathBuf, Digest>,
}

impl Tree {
    /// Reads everything that counts.
    pub(super) fn read(filter: &Filter) -> Self {
        let mut tree = Self::default();
        tree.update(filter, &all(filter));
        tree
    }

    /// Looks again at some paths, be they files or folders, there or gone, and says which files differ.
    pub(super) fn update(
        &mut self,
        filter: &Filter,
        paths: &BTreeSet<PathBuf>,
    ) -> BTreeSet<PathBuf> {
        let mut found = BTreeMap::new();
        for path in paths {
            walk(path, filter, &mut found);
        }
        let known = self
            .files
            .keys()
            .filter(|file| paths.iter().any(|path| file.starts_with(path)));
        let gone: Vec<PathBuf> = known
            .filter(|file| !found.contains_key(*file))
            .cloned()
            .collect();
        let mut changed: BTreeSet<PathBuf> = BTreeSet::new();
        for file in gone {
            self.files.remove(&file);
            changed.insert(file);
        }
        for (file, digest) in found {
            if self.files.insert(file.clone(), digest) != Some(digest) {
                changed.insert(file);
            }
        }
        changed
    }
}

/// Everything that a filter is about.
pub(super) fn all(filter: &Filter) -> BTreeSet<PathBuf> {
    filter.roots.iter().chain(&filter.extra).cloned().collect()
}

fn walk(path: &Path, filter: &Filter, found: &mut BTreeMap<PathBuf, Digest>) {
    if !filter.counts(path) {
        return;
    }
    // Links to folders are not followed: they may lead in a circle.
    if path
        .symlink_metadata()
        .is_ok_and(|metadata| metadata.is_dir())
    {
        for entry in path.read_dir().into_iter().flatten().flatten() {
            walk(&entry.path(), filter, found);
        }
    } else if let Some(digest) = digest(path) {
        found.insert(path.to_owned(), digest);
    }
}

/// The digest of a file; none if it is not there, or no regular file.
fn digest(path: &Path) -> Option<Digest> {
    let metadata = path.metadata().ok().filter(fs::Metadata::is_file)?;
    if metadata.len() > HASHED {
        return Some(Digest::of(
            format!("{} {:?}", metadata.len(), metadata.modified()).as_bytes(),
        ));
    }
    Some(Digest::of(&fs::read(path).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_and_temporary_files_are_no_sources() {
        let filter = Filter {
            roots: vec!["/p".into()],
            extra: ["/p/build/own.wasm".into(), "/o/x.wasm".into()].into(),
            without: ["/p/dist/out.wasm".into()].into(),
        };
        for path in [
            "/p/src/lib.rs",
            "/p",
            "/p/.wash",
            "/p/.wash/config.yaml",
            "/p/.cargo/config.toml",
            "/p/src/build/mod.rs",
            "/p/build.rs",
            "/p/build/own.wasm",
            "/o/x.wasm",
        ] {
            assert!(filter.counts(Path::new(path)), "{path}");
        }
        for path in [
            "/p/target/x",
            "/p/build/a.wasm",
            "/p/.git/HEAD",
            "/p/.wash/dev.lock",
            "/p/src/.lib.rs.swp",
            "/p/src/lib.rs~",
            "/p/src/#lib.rs#",
            "/p/4913",
            "/p/a/node_modules/x",
            "/q/src/lib.rs",
            "/o/y.wasm",
            "/p/dist/out.wasm",
        ] {
            assert!(!filter.counts(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn only_content_counts() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        let file = |name: &str| root.join(name);
        fs::create_dir_all(file("src/deep")).unwrap();
        fs::write(file("src/a.rs"), "1").unwrap();
        let filter = Filter {
            roots: vec![root.clone()],
            ..Filter::default()
        };
        let mut tree = Tree::read(&filter);

        fs::write(file("src/a.rs"), "1").unwrap();
        assert!(tree.update(&filter, &[file("src/a.rs")].into()).is_empty());
        fs::write(file("src/a.rs"), "2").unwrap();
        fs::write(file("src/deep/b.rs"), "3").unwrap();
        assert_eq!(
            tree.update(&filter, &[file("src")].into()),
            [file("src/a.rs"), file("src/deep/b.rs")].into()
        );
        fs::remove_dir_all(file("src/deep")).unwrap();
        assert_eq!(
            tree.update(&filter, &[file("src/deep")].into()),
            [file("src/deep/b.rs")].into()
        );
        assert!(tree.update(&filter, &all(&filter)).is_empty());
    }
}
