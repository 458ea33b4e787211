//! Small machines: the program sizes itself by what it may use, says so, and serves.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{Host, Sandbox, at, through};

/// What a run says of itself on a machine that `wrap` makes smaller.
fn log_of(sandbox: &Sandbox, wrap: impl FnOnce(&Command) -> Command) -> String {
    sandbox.write("w/a.yaml", at("a", 1));
    let mut host = Host::start(wrap(&sandbox.reporting(&["w"])));
    host.expect("ready");
    assert_eq!(host.version("a"), Some(1));
    host.signal("TERM");
    let (code, log) = host.ended();
    assert_eq!(code, Some(0), "{log}");
    log
}

#[test]
fn where_addresses_are_limited_there_is_no_pool() {
    let sandbox = Sandbox::with_app();
    let log = log_of(&sandbox, |command| {
        through("prlimit", &["--as=4294967296"], command)
    });
    assert!(log.contains("no pool"), "{log}");
    assert!(log.contains("addresses_mib=4096"), "{log}");
}

/// A control group of its own, where this user may make one.
struct Group(PathBuf);

impl Group {
    fn with_memory(bytes: &str) -> Option<Self> {
        let name = format!("wasmcloud-test-{}", std::process::id());
        [
            ("/sys/fs/cgroup", "memory.max"),
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        ]
        .into_iter()
        .find_map(|(root, limit)| {
            let path = PathBuf::from(root).join(&name);
            fs::create_dir(&path).ok()?;
            let group = Self(path);
            // Where it is no control group but a folder, there is no such file.
            fs::metadata(group.0.join("cgroup.procs")).ok()?;
            fs::write(group.0.join(limit), bytes).ok()?;
            Some(group)
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Where no control group can be made, there is nothing to see here: `config.rs` has the sizes.
#[test]
fn half_a_gibibyte_of_memory_is_enough() {
    let Some(group) = Group::with_memory("536870912") else {
        return;
    };
    let sandbox = Sandbox::with_app();
    let enter = format!(
        "echo $$ > {}/cgroup.procs && exec \"$@\"",
        group.0.display()
    );
    let log = log_of(&sandbox, |command| {
        through("sh", &["-c", &enter, "sh"], command)
    });
    assert!(log.contains("memory_mib=512"), "{log}");
    assert!(log.contains("a pool for 128 instances"), "{log}");
}
