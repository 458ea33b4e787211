//! All that is kept of components below a cache folder, by whichever engines: seen, cut back and checked.
//!
//! Nothing of it is ever in use: a host reads a file when it starts something, and makes again what is gone. So anything may go at
//! any time, while hosts run. What is not ours, what others may write to, and where symbolic links lead is left alone.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fs::{self, DirEntry, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::cache::{NEW, about, check_private, content, folder_name, is_of_another_layout, key_of};
use super::config::{Flavour, code};
use super::worlds;
use crate::artifact::Digest;
pub use crate::artifact::Prune;

/// After this long, nobody is expected to go back to the version, or the processor, that something was compiled for.
const FORGOTTEN: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The engines, each of which has a folder.
const FLAVOURS: [Flavour; 2] = [Flavour::Plain, Flavour::Concurrent];
/// Begins the names of folders of worlds, whatever version made them.
const WORLDS: &str = "worlds-";

/// A cache folder of hosts and of `wash`, with what engines of any version have put into it. All of it blocks.
#[derive(Clone, Debug)]
pub struct CompiledCache {
    root: PathBuf,
}

/// What is in a cache folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// How many compiled artifacts.
    pub artifacts: usize,
    /// How many descriptions of components, which save looking through them again.
    pub worlds: usize,
    /// The bytes of both.
    pub bytes: u64,
    /// How many of both are of no use to this program: another version made them, or one on another kind of processor.
    pub stale: usize,
    /// The bytes of those.
    pub stale_bytes: u64,
}

/// What went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many compiled artifacts.
    pub artifacts: usize,
    /// How many descriptions of components.
    pub worlds: usize,
    /// How many files that a process left half written.
    pub leftovers: usize,
    /// How many bytes all of them had.
    pub bytes: u64,
}

/// A file in a cache folder that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
    /// Whether it was removed.
    pub is_removed: bool,
}

/// A folder of ours, of one engine or of worlds.
struct Folder {
    path: PathBuf,
    name: String,
    kind: Kind,
}

/// What the files of a folder are.
#[derive(Clone, Copy)]
enum Kind {
    Artifact,
    World,
}

/// A file that is kept.
struct Kept {
    path: PathBuf,
    /// The name of its folder.
    folder: String,
    kind: Kind,
    key: Digest,
    size: u64,
    used: SystemTime,
}

impl Kept {
    fn age(&self, now: SystemTime) -> Duration {
        // What is from the future was used just now, by a clock that is ahead.
        now.duration_since(self.used).unwrap_or_default()
    }
}

impl Pruned {
    /// How many files.
    #[must_use]
    pub fn files(&self) -> usize {
        self.artifacts + self.worlds + self.leftovers
    }
}

impl CompiledCache {
    /// Of this folder. One that is not there is empty, and is not made.
    ///
    /// # Errors
    /// When it belongs to somebody else, or others may write to it.
    pub fn open(root: &Path) -> io::Result<Self> {
        let root = std::path::absolute(root)?;
        match check_private(&root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            checked => checked?,
        }
        Ok(Self { root })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.root
    }

    /// What is in it.
    ///
    /// # Errors
    /// When it cannot be read, or this machine can have no engine to tell what is stale.
    pub fn list(&self) -> io::Result<Listing> {
        let kept = kept(&self.folders()?)?;
        let mut listing = Listing::default();
        if kept.is_empty() {
            return Ok(listing);
        }
        let own = own_folders()?;
        for it in &kept {
            match it.kind {
                Kind::Artifact => listing.artifacts += 1,
                Kind::World => listing.worlds += 1,
            }
            listing.bytes += it.size;
            if !own.contains(&it.folder) {
                listing.stale += 1;
                listing.stale_bytes += it.size;
            }
        }
        Ok(listing)
    }

    /// Removes what is asked for, and what is half written and given up.
    ///
    /// # Errors
    /// When something cannot be read or removed; what was removed until then is gone.
    pub fn prune(&self, prune: Prune) -> io::Result<Pruned> {
        let (folders, now) = (self.folders()?, SystemTime::now());
        let mut kept = kept(&folders)?;
        kept.sort_by_key(|it| (it.used, Reverse(it.size)));
        let mut left: u64 = kept.iter().map(|it| it.size).sum();
        kept.retain(|it| {
            let goes = match prune {
                Prune::All => true,
                Prune::Unused { since } => it.age(now) >= since,
                Prune::ToSize(most) => left > most,
            };
            if goes {
                left -= it.size;
            }
            goes
        });
        let mut pruned = remove_half_written(&folders)?;
        self.give_up(kept, &mut pruned)?;
        Ok(pruned)
    }

    /// Reads everything, and removes what is damaged. What other versions have laid out in another way is theirs to judge.
    ///
    /// # Errors
    /// When it cannot be read, or this machine can have no engine to tell what other versions made.
    pub fn verify(&self) -> io::Result<Vec<Damaged>> {
        let kept = kept(&self.folders()?)?;
        let mut damaged = Vec::new();
        if kept.is_empty() {
            return Ok(damaged);
        }
        let own = own_folders()?;
        for it in kept {
            let problem = match fs::read(&it.path) {
                // Another process has removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => format!("it cannot be read: {error}"),
                Ok(file) => match content(&it.key, &file) {
                    Ok(_) => continue,
                    Err(_) if !own.contains(&it.folder) && is_of_another_layout(&file) => continue,
                    Err(problem) => problem.to_owned(),
                },
            };
            // If somebody has healed it meanwhile, it is made once more.
            let is_removed = remove(&it.path).is_ok();
            damaged.push(Damaged {
                path: it.path,
                problem,
                is_removed,
            });
        }
        Ok(damaged)
    }

    /// Those below it that are ours, by name.
    fn folders(&self) -> io::Result<Vec<Folder>> {
        let mut folders = Vec::new();
        for entry in entries(&self.root)? {
            let Some(name) = name_of(&entry) else {
                continue;
            };
            let is_folder = entry.file_type().is_ok_and(|it| it.is_dir());
            let Some(kind) = kind_of(&name).filter(|_| is_folder) else {
                continue;
            };
            let path = entry.path();
            match check_private(&path) {
                Ok(()) => folders.push(Folder { path, name, kind }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(%error, "a folder of compiled components is left alone");
                }
            }
        }
        folders.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(folders)
    }

    /// What nobody has used for long, and this program cannot use. What it can use stays however old it is: somebody may have
    /// filled the folder ahead of time.
    fn forgotten(&self, folders: &[Folder]) -> io::Result<Vec<Kept>> {
        let (mut kept, now) = (kept(folders)?, SystemTime::now());
        kept.retain(|it| it.age(now) >= FORGOTTEN);
        // To make engines takes longer than all the rest, and hosts should start fast.
        if !kept.is_empty() {
            let own = own_folders()?;
            kept.retain(|it| !own.contains(&it.folder));
        }
        Ok(kept)
    }

    /// Removes files, and the folders that are empty then.
    fn give_up(&self, files: Vec<Kept>, pruned: &mut Pruned) -> io::Result<()> {
        let mut folders = BTreeSet::new();
        for it in files {
            remove(&it.path)?;
            match it.kind {
                Kind::Artifact => pruned.artifacts += 1,
                Kind::World => pruned.worlds += 1,
            }
            pruned.bytes += it.size;
            folders.insert(it.folder);
        }
        for folder in folders {
            // One that holds something else stays.
            let _ = fs::remove_dir(self.root.join(folder));
        }
        Ok(())
    }

    fn remove_leftovers(&self) -> io::Result<usize> {
        let folders = self.folders()?;
        let left = remove_half_written(&folders)?;
        let mut old = Pruned::default();
        self.give_up(self.forgotten(&folders)?, &mut old)?;
        let (files, bytes) = (old.files(), old.bytes);
        if files > 0 {
            let folder = self.root.display();
            tracing::info!(%folder, files, bytes, "removed what other versions have compiled and nobody has used for 30 days");
        }
        Ok(left.files() + files)
    }
}

/// Removes from the cache folder of a host, when it starts, what nobody will use: what processes that were killed left half written,
/// and what other versions, or engines for other processors, have made and nobody has used for 30 days. Returns how many files
/// that were.
pub fn remove_leftovers(root: &Path) -> usize {
    let removed = CompiledCache::open(root).and_then(|cache| cache.remove_leftovers());
    removed.unwrap_or_else(|error| {
        // It only takes room. That a folder cannot be used is told where something is to be kept in it.
        tracing::debug!(%error, "leftovers in the cache of compiled components stay");
        0
    })
}

/// The names of the folders that this program uses, on this kind of processor.
fn own_folders() -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::from([worlds::FOLDER.to_owned()]);
    for flavour in FLAVOURS {
        // A host of the same version may be given fewer addresses than this process.
        for is_scarce in [false, true] {
            let engine = wasmtime::Engine::new(&code(flavour, is_scarce));
            let engine = engine.map_err(|error| io::Error::other(format!("{error:#}")))?;
            names.insert(folder_name(&engine, flavour));
        }
    }
    Ok(names)
}

/// What the files in a folder of this name are; none if the folder is not ours.
fn kind_of(folder: &str) -> Option<Kind> {
    if folder.starts_with(WORLDS) {
        return Some(Kind::World);
    }
    let (flavour, hash) = folder.split_once('-')?;
    let is_flavour = FLAVOURS.iter().any(|it| it.as_str() == flavour);
    let is_hash = hash.len() == 16 && hash.bytes().all(|digit| digit.is_ascii_hexdigit());
    (is_flavour && is_hash).then_some(Kind::Artifact)
}

/// All files of folders that are whole and ours.
fn kept(folders: &[Folder]) -> io::Result<Vec<Kept>> {
    let mut kept = Vec::new();
    for folder in folders {
        for entry in entries(&folder.path)? {
            let Some(key) = name_of(&entry).and_then(|name| key_of(&name)) else {
                continue;
            };
            let Some(metadata) = file(&entry) else {
                continue;
            };
            kept.push(Kept {
                path: entry.path(),
                folder: folder.name.clone(),
                kind: folder.kind,
                key,
                size: metadata.len(),
                used: metadata.modified()?,
            });
        }
    }
    kept.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(kept)
}

/// Removes files that somebody began to write and does not hold any more.
fn remove_half_written(folders: &[Folder]) -> io::Result<Pruned> {
    let mut pruned = Pruned::default();
    for folder in folders {
        for entry in entries(&folder.path)? {
            if let Some(size) = half_written(&entry)
                && fs::remove_file(entry.path()).is_ok()
            {
                pruned.leftovers += 1;
                pruned.bytes += size;
            }
        }
    }
    Ok(pruned)
}

/// The bytes of a file that is half written and that nobody holds.
fn half_written(entry: &DirEntry) -> Option<u64> {
    let is_new = name_of(entry)?.starts_with(NEW);
    let metadata = file(entry).filter(|_| is_new)?;
    let opened = File::open(entry.path()).ok()?;
    opened.try_lock().is_ok().then_some(metadata.len())
}

fn name_of(entry: &DirEntry) -> Option<String> {
    entry.file_name().into_string().ok()
}

/// What is known of a file; nothing if it is something else, such as a symbolic link, or has gone meanwhile.
fn file(entry: &DirEntry) -> Option<Metadata> {
    entry.metadata().ok().filter(Metadata::is_file)
}

/// What is in a folder; nothing if it is not there.
fn entries(folder: &Path) -> io::Result<Vec<DirEntry>> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
    match entries {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries.map_err(|error| about(folder, &error)),
    }
}

/// Removes a file, if it is still there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(about(path, &error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod tests;
