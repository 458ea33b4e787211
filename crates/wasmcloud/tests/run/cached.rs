//! Compiled components that are kept: used when everything else is gone, never when they are not what they were, and not needed.

use std::fs;
use std::path::{Path, PathBuf};

use wasmcloud::artifact::Digest;

use crate::support::registry::{
    RUN, at_image, configuration, image, kept_in, push_guest, start_in, stocked,
};
use crate::support::{Host, Sandbox, at};

/// What the log says when something was compiled.
const COMPILED: &str = "wasmcloud::engine::prepare: compiled ";
/// Why a file is not used that is for something else, or not as it was written.
const OTHER: &str = "its content is not what was written under this name";
/// How many bytes at the beginning of a file say its layout. A digest of key and code follows.
const LAYOUT: usize = 8;

/// As where both caches are part of a container image, and the data folder is a volume.
#[test]
fn a_new_host_with_the_caches_of_another_starts_offline_and_compiles_nothing() {
    let (sandbox, registry) = stocked();
    let address = registry.address();
    let more = "  cacheDir: images\ncacheDir: compiled\nlog: { filter: 'warn,wasmcloud=debug' }\n";
    sandbox.write("host.yaml", configuration(&address, more));
    sandbox.write("w/a.yaml", at_image("a", 1, &image(&address, "app")));
    let mut first = start_in(&sandbox, "first");
    first.ready(1);
    let told = first.stop();
    assert!(told.contains(COMPILED), "{told}");

    drop(registry);
    let mut second = start_in(&sandbox, "second");
    second.ready(0);
    assert_eq!(second.version("a"), Some(1));
    let told = second.stop();
    assert!(!told.contains(COMPILED), "{told}");
}

/// A host had workloads of these guests and has stopped, and so has the registry.
fn compiled(guests: &[(&str, &str)]) -> Sandbox {
    let (sandbox, registry) = stocked();
    let address = registry.address();
    for (name, guest) in guests {
        push_guest(&sandbox, &registry, guest, &format!("demo/{name}:1"));
        let workload = at_image(name, 1, &image(&address, name));
        sandbox.write(&format!("w/{name}.yaml"), workload);
    }
    sandbox.write("host.yaml", configuration(&address, ""));
    let mut host = sandbox.start(&RUN);
    host.ready(guests.len());
    host.stop();
    sandbox
}

/// The files with the code.
fn artifacts(sandbox: &Sandbox) -> Vec<PathBuf> {
    let mut kept = kept_in(&sandbox.path("data/cache"));
    kept.retain(|file| !file.to_string_lossy().contains("/worlds-"));
    kept
}

/// A file like this one, and as intact, with something else in place of the code.
fn with_code(file: &Path, code: &[u8]) -> Vec<u8> {
    let digits = file.file_stem().unwrap().to_str().unwrap();
    let key: Digest = format!("sha256:{digits}").parse().unwrap();
    let seal = Digest::of(&[&key.as_bytes()[..], code].concat());
    let layout = fs::read(file).unwrap();
    [&layout[..LAYOUT], &seal.as_bytes()[..], code].concat()
}

#[test]
fn compiled_code_that_is_not_what_it_was_is_told_and_compiled_again() {
    let sandbox = compiled(&[("a", test_guests::HTTP_P2)]);
    let [file]: [PathBuf; 1] = artifacts(&sandbox).try_into().unwrap();
    let whole = fs::read(&file).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    for (bytes, reason) in [
        (flipped(whole.len() / 2), OTHER),
        (flipped(LAYOUT - 1), "it is no artifact of this version"),
        (
            with_code(&file, b"by another engine"),
            "does not fit this engine",
        ),
    ] {
        fs::write(&file, bytes).unwrap();
        let mut host = sandbox.start(&RUN);
        host.ready(1);
        assert_eq!(host.version("a"), Some(1), "{reason}");
        let told = host.stop();
        let line = told.lines().find(|line| line.contains(reason));
        let line = line.unwrap_or_else(|| panic!("nothing of `{reason}`: {told}"));
        assert!(line.contains("WARN"), "{line}");
        assert!(line.contains("compiling it again"), "{line}");
    }
    let mut host = sandbox.start(&RUN);
    host.ready(0);
    let told = host.stop();
    assert!(!told.contains("compiling it again"), "{told}");
}

/// Both files are intact.
#[test]
fn compiled_code_under_the_name_of_another_is_not_used() {
    let sandbox = compiled(&[
        ("a", test_guests::HTTP_P2),
        ("b", test_guests::HANDLER_AND_RUN),
    ]);
    let [one, other]: [PathBuf; 2] = artifacts(&sandbox).try_into().unwrap();
    let aside = sandbox.path("aside");
    fs::rename(&one, &aside).unwrap();
    fs::rename(&other, &one).unwrap();
    fs::rename(&aside, &other).unwrap();
    let mut host = sandbox.start(&RUN);
    host.ready(2);
    assert_eq!(host.version("a"), Some(1));
    assert_eq!(host.get("b.localhost", "/"), (200, "handled\n".to_owned()));
    let told = host.stop();
    assert_eq!(told.matches(OTHER).count(), 2, "{told}");
}

#[test]
fn where_compiled_code_cannot_be_kept_that_is_told_and_it_runs() {
    let sandbox = Sandbox::with_app();
    sandbox.write("w/a.yaml", at("a", 1));
    sandbox.write("compiled", "no folder");
    for _ in 0..2 {
        let mut host = sandbox.start(&["w", "--cache-dir", "compiled"]);
        host.ready(1);
        assert_eq!(host.version("a"), Some(1));
        let told = host.stop();
        let wanted = "compiled components are not kept: the cache folder cannot be used";
        assert!(told.contains(wanted), "{told}");
    }
    assert_eq!(fs::read(sandbox.path("compiled")).unwrap(), b"no folder");
}

/// On a disk that was made read-only, where the system lets this user mount one; elsewhere there is nothing to see.
#[test]
fn a_cache_that_cannot_be_written_to_gives_what_is_in_it() {
    let sandbox = Sandbox::with_app();
    sandbox.write("w/a.yaml", at("a", 1));
    let mut host = sandbox.start(&["w", "--cache-dir", "filled"]);
    host.ready(1);
    host.stop();
    fs::copy(test_guests::HANDLER_AND_RUN, sandbox.path("other.wasm")).unwrap();
    let other = at("b", 1).replace("app.wasm", "other.wasm");
    sandbox.write("w/b.yaml", other);
    fs::create_dir(sandbox.path("compiled")).unwrap();
    let mount = [
        "mount -t tmpfs -o mode=700 none compiled",
        "cp -a filled/. compiled",
        "mount -o remount,ro compiled",
    ];
    let run = sandbox.reporting(&["w", "--cache-dir", "compiled"]);
    let Some(mounted) = sandbox.after_mounting(&mount.join(" && "), &run) else {
        return;
    };
    let mut host = Host::start(mounted);
    host.ready(1);
    assert_eq!(host.version("a"), Some(1));
    assert_eq!(host.get("b.localhost", "/"), (200, "handled\n".to_owned()));
    let told = host.stop();
    let wanted = "a compiled component could not be kept in the cache";
    let mut lines = told.lines().filter(|line| line.contains(wanted));
    let line = lines.next().unwrap_or_default();
    assert!(line.contains("Read-only file system"), "{told}");
    assert_eq!(lines.next(), None, "{told}");
}
