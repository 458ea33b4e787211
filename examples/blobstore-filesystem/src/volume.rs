//! The folder that the workload mounts, and what is kept where in it: `kept/CONTAINER/OBJECT`. What is being written is in
//! `under-way`, and takes its place by a rename, so nobody ever sees half of it.

use std::sync::OnceLock;

use crate::names::step_of;
use crate::wasi::clocks::wall_clock;
use crate::wasi::filesystem::preopens::get_directories;
use crate::wasi::filesystem::types::{
    Descriptor, DescriptorFlags, DescriptorType, DirectoryEntryStream, ErrorCode, OpenFlags,
    PathFlags,
};
use crate::wasi::random::random::get_random_u64;

/// Where the volume has to be mounted.
const MOUNTED: &str = "/blobs";
const KEPT: &str = "kept";
const UNDER_WAY: &str = "under-way";
/// Shows when a container was made. No step of a name begins with a dot.
const MADE: &str = ".made";
/// For how many seconds something that is under way may stand still before it is taken for a leftover.
const STALE: u64 = 3600;

/// A value, or what went wrong in words.
pub(crate) type Outcome<T> = Result<T, String>;

pub(crate) fn no_container() -> String {
    "there is no such container".to_owned()
}

fn no_object() -> String {
    "there is no such object".to_owned()
}

/// An error of the volume, in words that tell nothing about where it is.
pub(crate) fn told(error: ErrorCode) -> String {
    match error {
        ErrorCode::InsufficientSpace | ErrorCode::Quota => {
            "there is no room left to keep it".to_owned()
        }
        ErrorCode::ReadOnly | ErrorCode::NotPermitted | ErrorCode::Access => {
            "nothing can be changed here".to_owned()
        }
        error => format!("the volume failed: {}", error.name()),
    }
}

/// The folder that everything is in.
pub(crate) fn root() -> Outcome<&'static Descriptor> {
    static ROOT: OnceLock<Outcome<Descriptor>> = OnceLock::new();
    ROOT.get_or_init(|| {
        let mounted = get_directories()
            .into_iter()
            .find(|(_, path)| path == MOUNTED);
        let (root, _) = mounted.ok_or_else(|| format!("no volume is mounted at {MOUNTED}"))?;
        Ok(root)
    })
    .as_ref()
    .map_err(Clone::clone)
}

/// A path for something new, in a folder that is there. What others left there is removed on the way.
pub(crate) fn under_way() -> Outcome<String> {
    static READY: OnceLock<Outcome<()>> = OnceLock::new();
    let ready = READY.get_or_init(|| {
        for folder in [KEPT, UNDER_WAY] {
            make(root()?, folder)?;
        }
        sweep();
        Ok(())
    });
    ready.clone()?;
    Ok(format!("{UNDER_WAY}/{:016x}", get_random_u64()))
}

fn make(root: &Descriptor, folder: &str) -> Outcome<()> {
    match root.create_directory_at(folder) {
        Ok(()) | Err(ErrorCode::Exist) => Ok(()),
        Err(error) => Err(told(error)),
    }
}

/// Removes what instances that were ended left behind. What cannot be removed is there the next time.
fn sweep() {
    let Ok(root) = root() else { return };
    let Ok(steps) = folder(root, UNDER_WAY).and_then(|folder| Steps::of(&folder)?.all()) else {
        return;
    };
    let now = wall_clock::now().seconds;
    for path in steps.iter().map(|step| format!("{UNDER_WAY}/{step}")) {
        let Ok(stat) = root.stat_at(PathFlags::empty(), &path) else {
            continue;
        };
        let since = stat
            .data_modification_timestamp
            .map_or(now, |time| time.seconds);
        if now.saturating_sub(since) > STALE {
            remove(root, &path);
        }
    }
}

/// Removes a file, or a folder with the files in it.
pub(crate) fn remove(root: &Descriptor, path: &str) {
    if root.unlink_file_at(path).is_ok() {
        return;
    }
    if let Ok(folder) = folder(root, path)
        && let Ok(steps) = Steps::of(&folder).and_then(Steps::all)
    {
        for step in steps {
            let _ = folder.unlink_file_at(&step);
        }
    }
    let _ = root.remove_directory_at(path);
}

fn folder(root: &Descriptor, path: &str) -> Outcome<Descriptor> {
    let flags = DescriptorFlags::READ;
    root.open_at(PathFlags::empty(), path, OpenFlags::DIRECTORY, flags)
        .map_err(|error| missing(error, no_container))
}

fn missing(error: ErrorCode, absent: fn() -> String) -> String {
    match error {
        ErrorCode::NoEntry => absent(),
        error => told(error),
    }
}

/// What is in a folder, in no order.
pub(crate) struct Steps(DirectoryEntryStream);

impl Steps {
    fn of(folder: &Descriptor) -> Outcome<Self> {
        folder.read_directory().map(Self).map_err(told)
    }

    pub(crate) fn next(&self) -> Outcome<Option<String>> {
        let entry = self.0.read_directory_entry().map_err(told)?;
        Ok(entry.map(|entry| entry.name))
    }

    fn all(self) -> Outcome<Vec<String>> {
        let mut all = Vec::new();
        while let Some(step) = self.next()? {
            all.push(step);
        }
        Ok(all)
    }
}

/// Where a container or an object is kept.
#[derive(Clone)]
pub(crate) struct Kept(String);

impl Kept {
    pub(crate) fn container(name: &str) -> Outcome<Self> {
        Ok(Self(format!("{KEPT}/{}", step_of(name)?)))
    }

    /// An object of this container.
    pub(crate) fn object(&self, name: &str) -> Outcome<Self> {
        Ok(Self(format!("{}/{}", self.0, step_of(name)?)))
    }

    /// Makes the container; of several who do so at once, one does.
    pub(crate) fn create(&self) -> Outcome<()> {
        let (draft, root) = (under_way()?, root()?);
        root.create_directory_at(&draft).map_err(told)?;
        let made = self.fill_and_place(root, &draft);
        if made.is_err() {
            remove(root, &draft);
        }
        made
    }

    fn fill_and_place(&self, root: &Descriptor, draft: &str) -> Outcome<()> {
        let made = format!("{draft}/{MADE}");
        let flags = OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
        root.open_at(PathFlags::empty(), &made, flags, DescriptorFlags::WRITE)
            .map_err(told)?;
        // A container that is there holds at least that file, so nothing takes its place.
        match root.rename_at(draft, root, &self.0) {
            Ok(()) => Ok(()),
            Err(ErrorCode::Exist | ErrorCode::NotEmpty) => {
                Err("there is such a container already".to_owned())
            }
            Err(error) => Err(told(error)),
        }
    }

    /// Deletes the container: from one moment to the next nobody sees it or anything in it.
    pub(crate) fn delete(&self) -> Outcome<()> {
        let (gone, root) = (under_way()?, root()?);
        match root.rename_at(&self.0, root, &gone) {
            Ok(()) => remove(root, &gone),
            Err(ErrorCode::NoEntry) => {}
            Err(error) => return Err(told(error)),
        }
        Ok(())
    }

    pub(crate) fn is_there(&self) -> Outcome<bool> {
        match root()?.stat_at(PathFlags::empty(), &self.0) {
            Ok(_) => Ok(true),
            Err(ErrorCode::NoEntry | ErrorCode::NotDirectory) => Ok(false),
            Err(error) => Err(told(error)),
        }
    }

    /// When the container was made, in seconds since 1970.
    pub(crate) fn made(&self) -> Outcome<u64> {
        let made = format!("{}/{MADE}", self.0);
        let stat = root()?.stat_at(PathFlags::empty(), &made);
        let stat = stat.map_err(|error| missing(error, no_container))?;
        Ok(stat
            .data_modification_timestamp
            .map_or(0, |time| time.seconds))
    }

    /// The steps of what is in the container.
    pub(crate) fn steps(&self) -> Outcome<Steps> {
        Steps::of(&folder(root()?, &self.0)?)
    }

    /// The steps of all that is in it now.
    pub(crate) fn all_steps(&self) -> Outcome<Vec<String>> {
        self.steps()?.all()
    }

    /// The size of the object, and when its content took its place.
    pub(crate) fn size_and_time(&self) -> Outcome<(u64, u64)> {
        let stat = root()?.stat_at(PathFlags::empty(), &self.0);
        let stat = stat.map_err(|error| missing(error, no_object))?;
        match stat.type_ {
            DescriptorType::RegularFile => {
                let time = stat.data_modification_timestamp;
                Ok((stat.size, time.map_or(0, |time| time.seconds)))
            }
            _ => Err(no_object()),
        }
    }

    /// The object to read, and its size. It stays what it is, whatever takes its place.
    pub(crate) fn open(&self) -> Outcome<(Descriptor, u64)> {
        let flags = DescriptorFlags::READ;
        let file = root()?
            .open_at(PathFlags::empty(), &self.0, OpenFlags::empty(), flags)
            .map_err(|error| missing(error, no_object))?;
        let size = file.stat().map_err(told)?.size;
        Ok((file, size))
    }

    /// Puts what is at a path here, in the place of what was here.
    pub(crate) fn place(&self, path: &str) -> Outcome<()> {
        let root = root()?;
        root.rename_at(path, root, &self.0)
            .map_err(|error| missing(error, no_container))
    }

    /// Moves the object.
    pub(crate) fn rename(&self, to: &Self) -> Outcome<()> {
        self.size_and_time()?;
        to.place(&self.0)
    }

    /// Removes the object, if it is there.
    pub(crate) fn unlink(&self) -> Outcome<()> {
        match root()?.unlink_file_at(&self.0) {
            Ok(()) | Err(ErrorCode::NoEntry) => Ok(()),
            Err(error) => Err(told(error)),
        }
    }
}
