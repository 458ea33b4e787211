//! Looks at files and folders: which workloads they ask for now, and what those consist of. Looking again is cheap where nothing
//! changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::file::{FileWorkload, read};
use super::reconcile::{Desired, Twin, Wanted};
use super::stamp::Stamp;
use crate::artifact::{Digest, Files};
use crate::workload::{Diagnostic, Diagnostics, Image, WorkloadId};

/// The endings of workload files.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// How long a file that was there may be away before that counts: editors take a file away and put another in its place.
const AWAY: Duration = Duration::from_millis(500);
/// What a workload consists of: the manifest's meaning and the bytes of its components. Equal versions behave alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(Digest);

impl Version {
    #[cfg(test)]
    pub(super) fn of(text: &str) -> Self {
        Self(Digest::of(text.as_bytes()))
    }
}

/// A workload of a file, with its version.
#[derive(Clone, Debug)]
pub struct Versioned {
    /// The workload.
    pub workload: FileWorkload,
    /// What it consists of.
    pub version: Version,
}

/// A file or folder, and what it asks for.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The file, or the folder where that cannot be read.
    pub path: PathBuf,
    /// Its workloads, or what is wrong with it.
    pub found: Result<Vec<Versioned>, Diagnostics>,
}

/// What there was to see.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Files in their order, and folders that cannot be read.
    pub seen: Vec<Seen>,
    /// Files that were there a moment ago. Whoever sees some looks again soon.
    pub missing: BTreeSet<PathBuf>,
}

/// Paths to look at, and what is remembered from looking.
#[derive(Debug)]
pub struct Sources {
    paths: Vec<PathBuf>,
    manifests: HashMap<PathBuf, (Stamp, Arc<Outcome>)>,
    digests: HashMap<PathBuf, (Stamp, Digest)>,
    /// Files that were there, and since when they are away.
    there: BTreeMap<PathBuf, Option<Instant>>,
}

type Outcome = Result<Vec<FileWorkload>, Diagnostics>;

/// Reads the workloads of files and folders once, for whoever does not follow them.
///
/// # Errors
/// With everything that is wrong with any of the files, and where two of them describe the same workload.
pub fn load(paths: &[PathBuf]) -> Result<Vec<FileWorkload>, Diagnostics> {
    let look = Sources::new(paths.to_vec()).look();
    let mut problems = look.problems();
    let (_, twins) = look.desired().chosen(&BTreeMap::new());
    problems
        .0
        .extend(twins.iter().map(|twin| look.explain(twin)));
    if problems.0.is_empty() {
        Ok(look
            .workloads()
            .map(|(_, it)| it.workload.clone())
            .collect())
    } else {
        Err(problems)
    }
}

impl Look {
    /// What it says, for a decision.
    #[must_use]
    pub fn desired(&self) -> Desired {
        let mut desired = Desired {
            missing: self.missing.clone(),
            ..Desired::default()
        };
        for Seen { path, found } in &self.seen {
            match found {
                Ok(workloads) => desired.wanted.extend(workloads.iter().map(|it| Wanted {
                    id: it.workload.request.id.clone(),
                    file: path.clone(),
                    version: it.version,
                })),
                Err(_) => drop(desired.broken.insert(path.clone())),
            }
        }
        desired
    }

    /// Everything that is wrong with files and folders.
    #[must_use]
    pub fn problems(&self) -> Diagnostics {
        let wrong = self
            .seen
            .iter()
            .filter_map(|seen| seen.found.as_ref().err());
        Diagnostics(wrong.flatten().cloned().collect())
    }

    /// Whether something is wrong and nothing is right.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        !self.seen.is_empty() && self.seen.iter().all(|seen| seen.found.is_err())
    }

    /// The workload of a file.
    #[must_use]
    pub fn find(&self, id: &WorkloadId, file: &Path) -> Option<&Versioned> {
        let workloads = self.of_file(file)?;
        workloads.iter().find(|it| it.workload.request.id == *id)
    }

    fn of_file(&self, file: &Path) -> Option<&[Versioned]> {
        let seen = self.seen.iter().find(|seen| seen.path == file)?;
        seen.found.as_deref().ok()
    }

    /// All workloads with their files. Where several files have the same, all of them are here.
    pub fn workloads(&self) -> impl Iterator<Item = (&Path, &Versioned)> {
        self.seen.iter().flat_map(|seen| {
            let workloads = seen.found.as_deref().unwrap_or_default();
            workloads.iter().map(|it| (seen.path.as_path(), it))
        })
    }

    /// What is wrong with a file whose workload another one has.
    #[must_use]
    pub fn explain(&self, twin: &Twin) -> Diagnostic {
        let message = format!(
            "`{}` is also in {}, which counts",
            twin.id,
            twin.other.display()
        );
        let hint = "give one of them another name, or keep it in one file".to_owned();
        match self.find(&twin.id, &twin.file) {
            Some(found) => {
                let locations = &found.workload.locations;
                locations.diagnostic("metadata.name", message, Some(hint))
            }
            None => Diagnostic::new(message)
                .in_file(twin.file.clone())
                .with_hint(hint),
        }
    }

    /// The files of all components, each once.
    #[must_use]
    pub fn components(&self) -> BTreeSet<PathBuf> {
        self.workloads()
            .flat_map(|(_, it)| images(&it.workload))
            .collect()
    }
}

fn images(workload: &FileWorkload) -> Vec<PathBuf> {
    let request = &workload.request;
    let components = request.workload.parts();
    let images = components.map(|component| component.image.resolve(&request.base));
    let files = images.filter_map(|image| match image {
        Image::File(path) => Some(path),
        Image::Registry(_) => None,
    });
    files.collect()
}

impl Sources {
    /// Files, and folders whose files count.
    #[must_use]
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self {
            paths,
            manifests: HashMap::new(),
            digests: HashMap::new(),
            there: BTreeMap::new(),
        }
    }

    /// The paths.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Looks at everything. This reads files: not for serving threads.
    pub fn look(&mut self) -> Look {
        let mut look = Look::default();
        let mut files: Vec<PathBuf> = Vec::new();
        for path in &self.paths {
            match files_of(path, self.was_folder(path)) {
                Ok(found) => files.extend(found),
                Err(error) => look.seen.push(Seen {
                    path: path.clone(),
                    found: Err(unreadable_folder(path, &error).into()),
                }),
            }
        }
        let mut once = BTreeSet::new();
        files.retain(|file| once.insert(file.clone()));
        self.note_missing(&once, &mut look);
        for file in files
            .into_iter()
            .filter(|file| !look.missing.contains(file))
        {
            // A named file that was there and is not any more asks for nothing.
            if self.there.contains_key(&file) && is_away(&file) {
                continue;
            }
            let seen = self.see(file);
            if seen.found.is_ok() {
                self.there.insert(seen.path.clone(), None);
            }
            look.seen.push(seen);
        }
        self.forget(&look);
        look
    }

    /// What a workload consists of now.
    pub fn version(&mut self, workload: &FileWorkload) -> Version {
        let request = &workload.request;
        let mut text = request.workload.to_manifest().to_string();
        text.push_str(&format!("\n{}", request.base.display()));
        for path in images(workload) {
            // What cannot be read is the same until it can, or cannot for another reason.
            let held = match self.digest(&path) {
                Ok(digest) => digest.to_string(),
                Err(reason) => reason,
            };
            text.push_str(&format!("\n{} {held}", path.display()));
        }
        Version(Digest::of(text.as_bytes()))
    }

    /// Whether files were read from the path as a folder, so that its absence is not that of a file.
    fn was_folder(&self, path: &Path) -> bool {
        self.there.keys().any(|file| file.parent() == Some(path))
    }

    /// Sorts out files that were there and are away: some only for a moment.
    fn note_missing(&mut self, files: &BTreeSet<PathBuf>, look: &mut Look) {
        let unread: BTreeSet<PathBuf> = look.seen.iter().map(|seen| seen.path.clone()).collect();
        for (file, away) in &mut self.there {
            let in_unread = file.parent().is_some_and(|folder| unread.contains(folder));
            if in_unread || (files.contains(file) && !is_away(file)) {
                *away = None;
            } else if away.get_or_insert_with(Instant::now).elapsed() < AWAY {
                look.missing.insert(file.clone());
            }
        }
        // What a folder had and has no more is gone for good; a named file may still be told about.
        let named = &self.paths;
        self.there.retain(|file, away| {
            away.is_none() || look.missing.contains(file) || named.contains(file)
        });
    }

    fn see(&mut self, path: PathBuf) -> Seen {
        let read = self.read(&path);
        let found = match &*read {
            Ok(workloads) => Ok(workloads
                .iter()
                .map(|workload| Versioned {
                    workload: workload.clone(),
                    version: self.version(workload),
                })
                .collect()),
            Err(problems) => Err(problems.clone()),
        };
        Seen { path, found }
    }

    fn read(&mut self, path: &Path) -> Arc<Outcome> {
        let stamp = Stamp::of(path);
        if let Some((known, read)) = self.manifests.get(path)
            && stamp.as_ref() == Some(known)
        {
            return Arc::clone(read);
        }
        let read = Arc::new(read(path));
        match stamp.filter(Stamp::is_settled) {
            Some(stamp) => drop(
                self.manifests
                    .insert(path.to_owned(), (stamp, Arc::clone(&read))),
            ),
            None => drop(self.manifests.remove(path)),
        }
        read
    }

    fn digest(&mut self, path: &Path) -> Result<Digest, String> {
        let stamp = Stamp::of(path);
        if let Some((known, digest)) = self.digests.get(path)
            && stamp.as_ref() == Some(known)
        {
            return Ok(*digest);
        }
        let bytes = Files::default()
            .read_now(path)
            .map_err(|error| error.to_string())?;
        let digest = Digest::of(&bytes);
        match stamp.filter(Stamp::is_settled) {
            Some(stamp) => drop(self.digests.insert(path.to_owned(), (stamp, digest))),
            None => drop(self.digests.remove(path)),
        }
        Ok(digest)
    }

    /// Forgets what nobody asks for any more.
    fn forget(&mut self, look: &Look) {
        let files: BTreeSet<&Path> = look.seen.iter().map(|seen| seen.path.as_path()).collect();
        self.manifests
            .retain(|file, _| files.contains(file.as_path()));
        if look.seen.iter().all(|seen| seen.found.is_ok()) && look.missing.is_empty() {
            let components = look.components();
            self.digests.retain(|file, _| components.contains(file));
        }
    }
}

/// The workload files of a path: itself, or those directly inside, in the order of their names.
fn files_of(path: &Path, was_folder: bool) -> io::Result<Vec<PathBuf>> {
    let is_folder = match fs::metadata(path) {
        Ok(metadata) => metadata.is_dir(),
        Err(error) if was_folder => return Err(error),
        // As a file it gets a message of its own.
        Err(_) => false,
    };
    if !is_folder {
        return Ok(vec![path.to_owned()]);
    }
    let entries: Vec<_> = fs::read_dir(path)?.collect::<io::Result<_>>()?;
    let files = entries
        .into_iter()
        .filter(|entry| is_manifest(&entry.path()));
    let mut files: Vec<PathBuf> = files.map(|entry| entry.path()).collect();
    files.retain(|file| !file.is_dir());
    files.sort();
    Ok(files)
}

/// Whether a file of a folder counts: hidden files and what editors leave beside a file do not.
pub(super) fn is_manifest(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let ending = path.extension().and_then(|ending| ending.to_str());
    name.is_some_and(|name| !name.starts_with(['.', '#', '~']))
        && ending.is_some_and(|ending| ENDINGS.iter().any(|it| ending.eq_ignore_ascii_case(it)))
}

fn is_away(file: &Path) -> bool {
    fs::metadata(file).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn unreadable_folder(path: &Path, error: &io::Error) -> Diagnostic {
    let what = match error.kind() {
        io::ErrorKind::NotFound => "there is no such folder any more".to_owned(),
        _ => error.to_string(),
    };
    Diagnostic::new(format!("the folder cannot be read: {what}"))
        .in_file(path)
        .with_hint("put it back, or check the access to it; what it asked for last runs on")
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

    fn manifest(name: &str) -> String {
        format!(
            "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {{ name: {name} }}\nspec:\n  components:\n    - {{ name: main, image: ./main.wasm }}\n"
        )
    }

    fn names(look: &Look) -> Vec<String> {
        let desired = look.desired();
        let wanted = desired.wanted.iter();
        wanted.map(|wanted| wanted.id.to_string()).collect()
    }

    #[test]
    fn a_folder_gives_its_files_in_order_and_leaves_out_what_editors_leave_behind() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.yml", "a.yaml", "c.JSON"] {
            let text = manifest(&name[..1]);
            fs::write(dir.path().join(name), text).unwrap();
        }
        for name in [
            ".hidden.yaml",
            "a.yaml~",
            ".a.yaml.swp",
            "#a.yaml#",
            "~a.yaml",
            "notes.txt",
            "4913",
        ] {
            fs::write(dir.path().join(name), "garbage: [").unwrap();
        }
        fs::create_dir(dir.path().join("folder.yaml")).unwrap();
        let mut sources = Sources::new(vec![dir.path().to_owned(), dir.path().join("a.yaml")]);
        let look = sources.look();
        assert_eq!(look.problems().0, []);
        assert_eq!(names(&look), ["default:a", "default:b", "default:c"]);
    }

    #[test]
    fn a_version_changes_with_the_meaning_of_a_manifest_and_the_bytes_of_its_components() {
        let dir = tempfile::tempdir().unwrap();
        let (file, component) = (dir.path().join("a.yaml"), dir.path().join("main.wasm"));
        fs::write(&file, manifest("a")).unwrap();
        let mut sources = Sources::new(vec![file.clone()]);
        let mut version = || sources.look().desired().wanted[0].version;
        let missing = version();
        assert_eq!(version(), missing);
        fs::write(&component, "one").unwrap();
        let one = version();
        assert_ne!(one, missing);
        fs::write(&file, format!("# a comment\n{}", manifest("a"))).unwrap();
        assert_eq!(version(), one);
        fs::write(&component, "two").unwrap();
        assert_ne!(version(), one);
        fs::write(&component, "one").unwrap();
        assert_eq!(version(), one);
        fs::write(&file, manifest("a").replace("name: main", "name: other")).unwrap();
        assert_ne!(version(), one);
    }

    #[test]
    fn garbage_and_folders_that_are_gone_are_broken_and_not_empty() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("workloads");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a.yaml"), manifest("a")).unwrap();
        fs::write(folder.join("b.yaml"), "garbage: [").unwrap();
        let mut sources = Sources::new(vec![folder.clone()]);
        let look = sources.look();
        assert_eq!(look.desired().broken, [folder.join("b.yaml")].into());
        assert!(!look.is_hopeless());
        fs::rename(&folder, dir.path().join("elsewhere")).unwrap();
        let look = sources.look();
        assert_eq!(look.desired().broken, [folder.clone()].into());
        assert!(look.missing.is_empty());
        assert!(
            look.problems()
                .to_string()
                .contains("there is no such folder any more")
        );
        fs::rename(dir.path().join("elsewhere"), &folder).unwrap();
        assert_eq!(names(&sources.look()), ["default:a"]);
    }

    #[test]
    fn a_file_that_is_away_for_a_moment_is_missing_and_then_gone() {
        let dir = tempfile::tempdir().unwrap();
        for named in [true, false] {
            let file = dir.path().join("a.yaml");
            fs::write(&file, manifest("a")).unwrap();
            let path = if named {
                file.clone()
            } else {
                dir.path().to_owned()
            };
            let mut sources = Sources::new(vec![path]);
            assert_eq!(names(&sources.look()), ["default:a"]);
            fs::remove_file(&file).unwrap();
            let look = sources.look();
            assert_eq!((look.missing, look.seen.len()), ([file.clone()].into(), 0));
            *sources.there.get_mut(&file).unwrap() = Instant::now().checked_sub(AWAY);
            let look = sources.look();
            assert_eq!((look.missing.len(), look.seen.len()), (0, 0), "{named}");
            fs::write(&file, manifest("a")).unwrap();
            assert_eq!(names(&sources.look()), ["default:a"]);
        }
    }

    #[test]
    fn whoever_reads_once_is_told_everything_that_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let good = [
            file("a.yaml", &manifest("a")),
            file("b.yaml", &manifest("b")),
        ];
        assert_eq!(load(&good).unwrap().len(), 2);
        let [a, _] = good;
        let wrong = [
            a,
            file("c.yaml", &manifest("a")),
            file("d.yaml", "x: y"),
            dir.path().join("none"),
        ];
        let told = load(&wrong).unwrap_err().to_string();
        for part in [
            "c.yaml:3:19: `default:a` is also in",
            "a.yaml, which counts",
            "d.yaml:1:1:",
            "none: cannot be read",
        ] {
            assert!(told.contains(part), "{part} is missing in\n{told}");
        }
    }

    #[test]
    fn a_named_file_that_never_was_is_an_error() {
        let look = Sources::new(vec!["/nowhere/a.yaml".into()]).look();
        assert!(look.is_hopeless());
        assert!(
            look.problems()
                .to_string()
                .contains("there is no such file")
        );
    }

    #[test]
    fn files_behind_links_are_read_as_what_the_links_lead_to_now() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for version in ["one", "two"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("a.yaml"), manifest(version)).unwrap();
        }
        symlink("one", at("..data")).unwrap();
        symlink("..data/a.yaml", at("a.yaml")).unwrap();
        let mut sources = Sources::new(vec![dir.path().to_owned()]);
        assert_eq!(names(&sources.look()), ["default:one"]);
        symlink("two", at("..new")).unwrap();
        fs::rename(at("..new"), at("..data")).unwrap();
        assert_eq!(names(&sources.look()), ["default:two"]);
    }
}
