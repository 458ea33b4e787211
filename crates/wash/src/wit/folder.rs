//! The folder of a project's WIT: its own package, and what lies in `deps` beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wasmcloud::workload::Digest;
use wit_parser::{Resolve, SourceMap, UnresolvedPackageGroup};

use super::files;
use super::name::Named;
use crate::failure::Failure;

/// The folder for other packages, which every tool for WIT knows.
pub(super) const DEPS: &str = "deps";
/// The file in a folder of `deps` that is written here, and by `wkg`.
pub(super) const FILE: &str = "package.wit";
/// Far more than an honest file has.
pub(super) const MOST_BYTES: u64 = 16 << 20;

/// The project's own package.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) path: PathBuf,
    /// Its files.
    pub(super) texts: BTreeMap<PathBuf, String>,
    pub(super) name: Named,
    /// The other packages that it names.
    pub(super) needs: BTreeSet<Named>,
    /// The packages that its files have: itself, and those within.
    pub(super) provides: BTreeSet<Named>,
    pub(super) group: UnresolvedPackageGroup,
}

impl Own {
    /// Reads the folder.
    pub(super) fn read(path: PathBuf) -> Result<Self, Failure> {
        let hint = "write its worlds into a file such as wit/world.wit; `wit.wit_dir` in .wash/config.yaml names another folder";
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let message = format!("there is no WIT: no folder {}", path.display());
                return Err(Failure::new(message).hint(hint));
            }
            Err(error) => return Err(Failure::io("cannot open", path.display(), &error)),
        };
        let mut texts = BTreeMap::new();
        for entry in entries {
            let file = entry
                .map_err(|error| Failure::io("cannot read", path.display(), &error))?
                .path();
            if file.extension().is_some_and(|it| it == "wit") && file.is_file() {
                let text = files::read_text(&file, MOST_BYTES)
                    .map_err(|error| Failure::io("cannot read", file.display(), &error))?;
                texts.insert(file, text);
            }
        }
        if texts.is_empty() {
            let message = format!("there is no WIT: no .wit file in {}", path.display());
            return Err(Failure::new(message).hint(hint));
        }
        Self::of(path, texts)
    }

    /// The folder with these texts in it.
    pub(super) fn of(path: PathBuf, texts: BTreeMap<PathBuf, String>) -> Result<Self, Failure> {
        let mut map = SourceMap::default();
        for (file, text) in &texts {
            map.push(file, text.as_str());
        }
        let group = parse(map)?;
        let name = Named::of(&group.main.name).ok_or_else(|| {
            let message = format!("no registry could have a package `{}`", group.main.name);
            Failure::new(message).hint("name it like `package acme:shop;`")
        })?;
        let (provides, needs) = names(&group);
        Ok(Self {
            path,
            texts,
            name,
            needs,
            provides,
            group,
        })
    }

    pub(super) fn deps(&self) -> PathBuf {
        self.path.join(DEPS)
    }
}

/// Parses a package; what is wrong is shown with its place.
pub(super) fn parse(map: SourceMap) -> Result<UnresolvedPackageGroup, Failure> {
    map.parse()
        .map_err(|(map, error)| Failure::new(error.render(&map)))
}

/// The packages that a group has, and those that it names and has not.
pub(super) fn names(group: &UnresolvedPackageGroup) -> (BTreeSet<Named>, BTreeSet<Named>) {
    let all = || std::iter::once(&group.main).chain(&group.nested);
    let provides: BTreeSet<Named> = all().filter_map(|it| Named::of(&it.name)).collect();
    let needs = all().flat_map(|it| it.foreign_deps.keys());
    let needs = needs
        .filter_map(Named::of)
        .filter(|it| !provides.contains(it));
    let needs = needs.collect();
    (provides, needs)
}

/// Reads a package from a folder of `.wit` files, or from one.
pub(super) fn read_group(path: &Path) -> Result<UnresolvedPackageGroup, Failure> {
    let wrong = |error: &io::Error| Failure::io("cannot read", path.display(), error);
    let mut map = SourceMap::default();
    if path.is_dir() {
        let mut found = Vec::new();
        for entry in fs::read_dir(path).map_err(|error| wrong(&error))? {
            let file = entry.map_err(|error| wrong(&error))?.path();
            if file.extension().is_some_and(|it| it == "wit") && file.is_file() {
                found.push(file);
            }
        }
        if found.is_empty() {
            let message = format!("there is no .wit file in {}", path.display());
            return Err(Failure::new(message));
        }
        found.sort();
        for file in found {
            let text = files::read_text(&file, MOST_BYTES)
                .map_err(|error| Failure::io("cannot read", file.display(), &error))?;
            map.push(&file, text);
        }
    } else {
        let text = files::read_text(path, MOST_BYTES).map_err(|error| wrong(&error))?;
        map.push(path, text);
    }
    parse(map)
}

/// Who put something into `deps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    /// Somebody, or another tool. It stays as it is.
    Hand,
    /// `wash wit`, and it is as it was written. It may be replaced.
    Wash(Mark),
    /// `wash wit`, and somebody has changed it since.
    Changed,
}

/// Where a package came from that was written here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A registry, with that digest of its content.
    Content(Digest),
    /// A path.
    Path,
    /// Within another package.
    Within,
}

/// Something in `deps`.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) maker: Maker,
    pub(super) packages: BTreeSet<Named>,
    pub(super) needs: BTreeSet<Named>,
    pub(super) form: Form,
}

/// What a package is written in.
#[derive(Clone, Debug)]
pub(super) enum Form {
    Text(Box<UnresolvedPackageGroup>),
    /// WebAssembly, with everything that it needs.
    Binary(Box<Resolve>),
}

/// Everything in `deps`.
#[derive(Clone, Debug, Default)]
pub(super) struct Vendored(pub(super) Vec<Entry>);

impl Vendored {
    /// Looks through the folder, which need not be there.
    pub(super) fn read(deps: &Path) -> Result<Self, Failure> {
        let mut found = Vec::new();
        let entries = match fs::read_dir(deps) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Failure::io("cannot open", deps.display(), &error)),
        };
        for entry in entries {
            let entry =
                entry.map_err(|error| Failure::io("cannot read", deps.display(), &error))?;
            found.push(entry.path());
        }
        found.sort();
        let mut all = Self::default();
        for path in found {
            if let Some(entry) = Entry::read(path)? {
                all.refuse_double(&entry)?;
                all.0.push(entry);
            }
        }
        Ok(all)
    }

    /// What has the package.
    pub(super) fn with(&self, named: &Named) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.packages.contains(named))
    }

    /// The packages that nothing here has, of these and of those that they need.
    pub(super) fn missing(&self, own: &Own) -> BTreeSet<Named> {
        let (_, missing) = self.closure(own);
        missing
    }

    /// The packages that are needed, and those of them that nothing here has.
    pub(super) fn closure(&self, own: &Own) -> (BTreeSet<Named>, BTreeSet<Named>) {
        let mut todo: Vec<&Named> = own.needs.iter().collect();
        let (mut seen, mut missing) = (BTreeSet::new(), BTreeSet::new());
        while let Some(named) = todo.pop() {
            if own.provides.contains(named) || !seen.insert(named.clone()) {
                continue;
            }
            match self.with(named) {
                Some(entry) => todo.extend(&entry.needs),
                None => {
                    missing.insert(named.clone());
                }
            }
        }
        (seen, missing)
    }

    fn refuse_double(&self, entry: &Entry) -> Result<(), Failure> {
        for named in &entry.packages {
            if let Some(other) = self.with(named) {
                let message = format!(
                    "{} and {} both have the package {named}",
                    other.path.display(),
                    entry.path.display()
                );
                return Err(Failure::new(message).hint("remove one of them"));
            }
        }
        Ok(())
    }
}

impl Entry {
    /// Reads a package; nothing, if the parser of WIT would not look at it either.
    fn read(path: PathBuf) -> Result<Option<Self>, Failure> {
        if path.is_dir() {
            let group = read_group(&path)?;
            let maker = maker(&path)?;
            return Ok(Some(Self::text(path, maker, group)));
        }
        let extension = path.extension().and_then(|it| it.to_str());
        match extension {
            Some("wit") => {
                let group = read_group(&path)?;
                Ok(Some(Self::text(path, Maker::Hand, group)))
            }
            Some("wasm" | "wat") => {
                let mut resolve = Resolve {
                    all_features: true,
                    ..Resolve::default()
                };
                resolve.push_file(&path).map_err(|error| {
                    Failure::new(format!("cannot read {}: {error:#}", path.display()))
                })?;
                let packages = resolve.packages.iter();
                let packages = packages.filter_map(|(_, it)| Named::of(&it.name)).collect();
                Ok(Some(Self {
                    path,
                    maker: Maker::Hand,
                    packages,
                    needs: BTreeSet::new(),
                    form: Form::Binary(Box::new(resolve)),
                }))
            }
            _ => Ok(None),
        }
    }

    fn text(path: PathBuf, maker: Maker, group: UnresolvedPackageGroup) -> Self {
        let (packages, needs) = names(&group);
        Self {
            path,
            maker,
            packages,
            needs,
            form: Form::Text(Box::new(group)),
        }
    }

    /// Whether it is just what `wkg` would have written for this package.
    pub(super) fn looks_like(&self, named: &Named) -> bool {
        let name = self
            .path
            .file_name()
            .is_some_and(|it| it == named.folder().as_str());
        let only = fs::read_dir(&self.path).is_ok_and(|entries| entries.count() == 1);
        name && only && self.path.join(FILE).is_file()
    }
}

const MARK: &str = "// Fetched by `wash wit`; changes are lost. ";

/// The text of a package as it is put into `deps`, so that it is known again.
pub(super) fn marked(mark: &Mark, text: &str) -> String {
    let origin = match mark {
        Mark::Content(digest) => digest.to_string(),
        Mark::Path => "path".to_owned(),
        Mark::Within => "within".to_owned(),
    };
    let seal = Digest::of(text.as_bytes()).hex();
    let seal = seal.get(..16).unwrap_or_default();
    format!("{MARK}{origin} {seal}\n{text}")
}

fn maker(folder: &Path) -> Result<Maker, Failure> {
    let file = folder.join(FILE);
    if !file.is_file() || folder.is_symlink() || file.is_symlink() {
        return Ok(Maker::Hand);
    }
    let text = files::read_text(&file, MOST_BYTES)
        .map_err(|error| Failure::io("cannot read", file.display(), &error))?;
    let Some((mark, body)) = text.strip_prefix(MARK).and_then(|it| it.split_once('\n')) else {
        return Ok(Maker::Hand);
    };
    let mark = match mark.split(' ').next() {
        Some("path") => Mark::Path,
        Some("within") => Mark::Within,
        Some(digest) => match digest.parse() {
            Ok(digest) => Mark::Content(digest),
            Err(_) => return Ok(Maker::Changed),
        },
        None => return Ok(Maker::Changed),
    };
    if marked(&mark, body) == text {
        Ok(Maker::Wash(mark))
    } else {
        Ok(Maker::Changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, name: &str, text: &str) {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn what_is_missing_is_found_through_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            "a.wit",
            "package demo:app;\nworld w { import demo:a/i@0.1.0; import demo:mine/i; }\npackage demo:mine { interface i {} }",
        );
        write(
            dir.path(),
            "deps/a.wit",
            "package demo:a@0.1.0;\ninterface i { use demo:b/t@0.1.0.{x}; }",
        );
        let own = Own::read(dir.path().to_owned()).unwrap();
        let vendored = Vendored::read(&own.deps()).unwrap();
        let missing: Vec<String> = vendored
            .missing(&own)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(missing, ["demo:b@0.1.0"]);
    }

    #[test]
    fn what_was_written_is_known_again_until_it_is_changed() {
        let dir = tempfile::tempdir().unwrap();
        let text = marked(&Mark::Within, "package demo:a@0.1.0;\n");
        write(dir.path(), "deps/demo-a-0.1.0/package.wit", &text);
        let read = || {
            Vendored::read(&dir.path().join("deps"))
                .unwrap()
                .0
                .remove(0)
                .maker
        };
        assert_eq!(read(), Maker::Wash(Mark::Within));
        write(
            dir.path(),
            "deps/demo-a-0.1.0/package.wit",
            &format!("{text}interface i {{}}\n"),
        );
        assert_eq!(read(), Maker::Changed);
        write(
            dir.path(),
            "deps/demo-a-0.1.0/package.wit",
            "package demo:a@0.1.0;\n",
        );
        assert_eq!(read(), Maker::Hand);
    }

    #[test]
    fn a_package_that_is_there_twice_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["deps/a.wit", "deps/b/b.wit"] {
            write(dir.path(), name, "package demo:a;\ninterface i {}");
        }
        let error = Vendored::read(&dir.path().join("deps")).unwrap_err();
        assert!(
            error.message().contains("both have the package demo:a"),
            "{error:?}"
        );
    }

    #[test]
    fn a_mistake_is_shown_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "w.wit", "package demo:a;\nworld {}\n");
        let error = Own::read(dir.path().to_owned()).unwrap_err();
        assert!(error.message().contains("w.wit:2:7"), "{error:?}");
        let error = Own::read(dir.path().join("no")).unwrap_err();
        assert!(error.message().contains("there is no WIT"), "{error:?}");
    }
}
