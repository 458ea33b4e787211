//! Where to notice that files change: the folders whose entries decide what a path leads to, links included.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::look::{Look, Sources, is_manifest};

/// As many links as Linux follows.
const MOST_LINKS: u32 = 40;

/// What counts in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Interest {
    /// Whether all its workload files do.
    manifests: bool,
    /// Single entries.
    names: BTreeSet<OsString>,
}

impl Interest {
    /// Whether a change of an entry counts.
    pub(super) fn has(&self, entry: &Path) -> bool {
        let named = entry
            .file_name()
            .is_some_and(|name| self.names.contains(name));
        named || (self.manifests && is_manifest(entry))
    }
}

/// Folders to watch, and what counts in each.
pub(super) type Places = BTreeMap<PathBuf, Interest>;

/// The places where a change of what was seen would show.
pub(super) fn places(sources: &Sources, look: &Look) -> Places {
    let mut places = Places::new();
    for path in sources.paths() {
        let real = follow(path, &mut places);
        if fs::metadata(path).is_ok_and(|metadata| metadata.is_dir())
            && let Some(folder) = real
        {
            places.entry(folder).or_default().manifests = true;
        }
    }
    let files = look.seen.iter().map(|seen| seen.path.clone());
    for file in files.chain(look.components()) {
        follow(&file, &mut places);
    }
    places
}

/// Notes the entries on the way to a path whose change would lead elsewhere: the last one, links, and the first that is missing.
/// Gives the path without links, if there is something.
fn follow(path: &Path, places: &mut Places) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let mut steps: VecDeque<PathBuf> = steps(&path);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    while let Some(step) = steps.pop_front() {
        match step.components().next() {
            Some(Component::RootDir) => at = "/".into(),
            Some(Component::ParentDir) => drop(at.pop()),
            Some(Component::Normal(name)) => {
                let next = at.join(name);
                let link = fs::read_link(&next).ok();
                let missing = link.is_none() && next.symlink_metadata().is_err();
                if link.is_some() || missing || steps.is_empty() {
                    places
                        .entry(at.clone())
                        .or_default()
                        .names
                        .insert(name.into());
                }
                if missing {
                    return None;
                }
                match link {
                    Some(_) if links == MOST_LINKS => return None,
                    Some(target) => {
                        links += 1;
                        self::steps(&target)
                            .into_iter()
                            .rev()
                            .for_each(|step| steps.push_front(step));
                    }
                    None => at = next,
                }
            }
            _ => {}
        }
    }
    Some(at)
}

fn steps(path: &Path) -> VecDeque<PathBuf> {
    path.components()
        .map(|step| PathBuf::from(step.as_os_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a failed unwrap is a failed test"
    )]
    use std::os::unix::fs::symlink;

    use super::*;

    fn followed(root: &Path, path: &Path) -> Vec<String> {
        let mut places = Places::new();
        follow(path, &mut places);
        let mut entries = Vec::new();
        for (folder, interest) in places {
            for name in interest.names {
                let entry = folder.join(name);
                entries.push(entry.strip_prefix(root).unwrap().display().to_string());
            }
        }
        entries
    }

    #[test]
    fn the_way_to_a_file_is_watched_where_it_could_lead_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("real/v1")).unwrap();
        fs::write(root.join("real/v1/a.yaml"), "").unwrap();
        symlink("v1", root.join("real/..data")).unwrap();
        symlink("..data/a.yaml", root.join("real/a.yaml")).unwrap();
        symlink(root.join("real"), root.join("link")).unwrap();
        assert_eq!(
            followed(&root, &root.join("link/a.yaml")),
            ["link", "real/..data", "real/a.yaml", "real/v1/a.yaml"]
        );
        assert_eq!(followed(&root, &root.join("real/none/b/c")), ["real/none"]);
        symlink("loop", root.join("loop")).unwrap();
        assert_eq!(followed(&root, &root.join("loop/x")), ["loop"]);
    }

    #[test]
    fn in_a_folder_of_workloads_their_files_count() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let mut sources = Sources::new(vec![root.clone()]);
        let look = sources.look();
        let places = places(&sources, &look);
        let interest = &places[&root];
        assert!(interest.has(&root.join("new.yaml")));
        assert!(!interest.has(&root.join("new.txt")));
        assert!(!interest.has(&root.join(".new.yaml.swp")));
        assert!(places[root.parent().unwrap()].has(&root));
    }
}
