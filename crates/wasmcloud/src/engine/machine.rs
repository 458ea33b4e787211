//! What this machine has for the process: memory, and room for addresses.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What the process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Memory in bytes: that of its control group where that has a limit, else all there is.
    pub memory: u64,
    /// Bytes of addresses, where they are limited (`RLIMIT_AS`).
    pub addresses: Option<u64>,
}

impl Machine {
    /// This machine. It is looked at once.
    #[must_use]
    pub fn here() -> Self {
        static HERE: OnceLock<Machine> = OnceLock::new();
        *HERE.get_or_init(Self::look)
    }

    fn look() -> Self {
        let total = sysinfo::System::new().map_or(0, |mut system| {
            system.refresh_memory();
            system.total_memory()
        });
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let group = memory_of_groups(&groups, Path::new("/sys/fs/cgroup"));
        let limit = rustix::process::getrlimit(rustix::process::Resource::As);
        Self {
            memory: group.map_or(total, |group| group.min(total)),
            addresses: limit.current,
        }
    }
}

/// The smallest limit of the control groups that a process is in: those that `/proc/self/cgroup` names and all around them
/// (`cgroups(7)`, both versions).
fn memory_of_groups(groups: &str, root: &Path) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let (base, file) = if controllers.is_empty() {
            (root.to_owned(), "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            return None;
        };
        smallest(&base, path.trim_start_matches('/'), file)
    });
    limits.min()
}

fn smallest(base: &Path, path: &str, file: &str) -> Option<u64> {
    let around = Path::new(path).ancestors();
    let limit = |folder: PathBuf| -> Option<u64> {
        let text = fs::read_to_string(folder.join(file)).ok()?;
        text.trim().parse().ok()
    };
    around.filter_map(|part| limit(base.join(part))).min()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn the_tightest_group_around_the_process_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("a/b/memory.max", "max\n");
        write("a/memory.max", "536870912\n");
        write("memory/old/memory.limit_in_bytes", "268435456\n");
        let of = |groups| memory_of_groups(groups, root.path());
        assert_eq!(of("0::/a/b\n"), Some(512 << 20));
        assert_eq!(of("0::/elsewhere\n"), None);
        assert_eq!(
            of("4:cpu:/a\n3:hugetlb,memory:/old\n0::/a\n"),
            Some(256 << 20)
        );
        assert_eq!(of("nonsense"), None);
    }
}
