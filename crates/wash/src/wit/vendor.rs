//! Brings `deps` to what is needed. What nobody here wrote stays as it is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::files;
use super::folder::{self, Entry, FILE, Maker, Mark, Vendored};
use super::resolve::{Origin, Package};
use crate::failure::Failure;

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// Folders that were written, since they were not there or said something else.
    pub(super) written: BTreeSet<PathBuf>,
    /// Folders that were written earlier and are needed no more.
    pub(super) removed: Vec<PathBuf>,
}

/// What has to be done.
#[derive(Debug)]
pub(super) struct Plan {
    deps: PathBuf,
    write: Vec<(PathBuf, String)>,
    remove: Vec<PathBuf>,
}

/// Where the text of a package belongs.
pub(super) fn home(deps: &Path, package: &Package) -> PathBuf {
    match &package.origin {
        Origin::Hand(path) => path.clone(),
        _ => deps.join(package.named.folder()),
    }
}

/// Compares what is needed with what there is. Nothing is changed yet.
pub(super) fn plan(
    deps: PathBuf,
    vendored: &Vendored,
    packages: &[Package],
) -> Result<Plan, Failure> {
    if deps.is_symlink() {
        let message = format!(
            "{} is a symbolic link, and packages are not written through one",
            deps.display()
        );
        return Err(Failure::new(message).hint("remove the link; the packages are fetched again"));
    }
    let (mut write, mut kept) = (Vec::new(), BTreeSet::new());
    for package in packages {
        let home = home(&deps, package);
        kept.insert(home.clone());
        let Some(text) = &package.text else {
            continue;
        };
        let there = vendored.0.iter().find(|entry| entry.path == home);
        let elsewhere = vendored.with(&package.named).filter(|it| it.path != home);
        refuse(package, there, elsewhere)?;
        let mark = match &package.origin {
            Origin::Registry(pin) => Mark::Content(pin.digest),
            Origin::Path(_) | Origin::Hand(_) => Mark::Path,
            Origin::Within => Mark::Within,
        };
        let text = folder::marked(&mark, text);
        let same =
            files::read_text(&home.join(FILE), folder::MOST_BYTES).is_ok_and(|it| it == text);
        if !same {
            write.push((home, text));
        }
    }
    let old = vendored.0.iter().filter(|it| !kept.contains(&it.path));
    let old = old.filter(|it| matches!(it.maker, Maker::Wash(_)));
    let remove = old.map(|it| it.path.clone()).collect();
    Ok(Plan {
        deps,
        write,
        remove,
    })
}

/// What is in the way of a package and may not be replaced.
fn refuse(
    package: &Package,
    there: Option<&Entry>,
    elsewhere: Option<&Entry>,
) -> Result<(), Failure> {
    let named = &package.named;
    let in_the_way = |entry: &Entry| {
        let message = format!(
            "{} is in the way of {named}: `wash wit` did not write it",
            entry.path.display()
        );
        Failure::new(message).hint("remove it, or take what says where the package comes from out of wkg.toml, wkg.lock or .wash/config.yaml")
    };
    match there {
        Some(entry) if entry.maker == Maker::Changed => {
            return Err(super::resolve::changed(entry));
        }
        // What `wkg` wrote for what the lock file names is the same package.
        Some(entry) if entry.maker == Maker::Hand => {
            let registry = matches!(package.origin, Origin::Registry(_));
            if !(registry && entry.looks_like(named)) {
                return Err(in_the_way(entry));
            }
        }
        _ => {}
    }
    match elsewhere {
        Some(entry) if entry.maker == Maker::Hand => Err(in_the_way(entry)),
        _ => Ok(()),
    }
}

impl Plan {
    /// Does it.
    pub(super) fn run(self) -> Result<Done, Failure> {
        let mut done = Done::default();
        for (home, text) in self.write {
            let file = home.join(FILE);
            if home.is_symlink() {
                let message = format!("{} is a symbolic link", home.display());
                return Err(Failure::new(message).hint("remove it"));
            }
            files::replace(&file, text.as_bytes())
                .map_err(|error| Failure::io("cannot write", file.display(), &error))?;
            done.written.insert(home);
        }
        for home in self.remove {
            let file = home.join(FILE);
            fs::remove_file(&file)
                .map_err(|error| Failure::io("cannot remove", file.display(), &error))?;
            // Whatever else lies there is not ours.
            let _ = fs::remove_dir(&home);
            done.removed.push(home);
        }
        // Empty folders say nothing, and version control does not keep them.
        let _ = fs::remove_dir(&self.deps);
        Ok(done)
    }
}
