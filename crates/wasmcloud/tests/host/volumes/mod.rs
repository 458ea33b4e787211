//! Volumes: what components see of them, what they cannot do with them, and how long they live.
//!
//! The guests run scripts (see the crate `files` among them), so each test reads as what a program does and what it is told.

mod escapes;
mod host_path;
mod life;
mod limits;
mod sharing;

pub(crate) use sharing::{fs_back, fs_front};

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use wasmcloud::assembly::HostConfig;

use crate::support::{TestHost, component, http, http_at, within};

/// The guests that run scripts, WASI 0.2 and 0.3.
const BOTH: [&str; 2] = [test_guests::FS_P2, test_guests::FS_P3];

/// A host with folders of its own.
struct Machine {
    host: TestHost,
    /// Where ephemeral volumes are made.
    ephemeral: TempDir,
    /// The folder below which a `hostPath` may be.
    root: TempDir,
}

impl Machine {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut HostConfig)) -> Self {
        let (ephemeral, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let host = TestHost::with(|config| {
            config.volumes.ephemeral_dir = Some(ephemeral.path().to_owned());
            config.volumes.roots = vec![root.path().to_owned()];
            change(config);
        });
        Self {
            host: host.await,
            ephemeral,
            root,
        }
    }

    /// Runs a script in the only workload: a line for each command.
    async fn script(&self, script: &str) -> Vec<String> {
        self.script_at("localhost", &format!("/run?{script}")).await
    }

    async fn script_at(&self, host: &str, target: &str) -> Vec<String> {
        let answer = self.host.get_from(host, target).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body.lines().map(str::to_owned).collect()
    }

    /// The folders of ephemeral volumes that there are.
    fn folders(&self) -> Vec<std::path::PathBuf> {
        let inside = |path: &Path| {
            let entries = std::fs::read_dir(path).unwrap();
            entries
                .map(|entry| entry.unwrap().path())
                .collect::<Vec<_>>()
        };
        let hosts = inside(self.ephemeral.path());
        hosts.iter().flat_map(|host| inside(host)).collect()
    }

    /// Waits until as many ephemeral volumes are there.
    async fn reaches_folders(&self, wanted: usize) {
        let reached = async {
            while self.folders().len() != wanted {
                tokio::task::yield_now().await;
            }
        };
        within(reached).await;
    }
}

/// A workload of one component with its volumes and mounts.
fn spec(image: &str, volumes: Value, mounts: Value) -> Value {
    json!({
        "components": [mounting(component("api", image), mounts)],
        "hostInterfaces": [http()],
        "volumes": volumes,
    })
}

/// The same for one host name of several.
fn spec_at(host: &str, image: &str, volumes: Value, mounts: Value) -> Value {
    let mut spec = spec(image, volumes, mounts);
    spec["hostInterfaces"] = json!([http_at(json!({ "host": host }))]);
    spec
}

fn mounting(mut component: Value, mounts: Value) -> Value {
    component["localResources"]["volumeMounts"] = mounts;
    component
}

/// An ephemeral volume called `data`, mounted at `/data`.
fn ephemeral(image: &str, limit: Value) -> Value {
    spec(
        image,
        json!([{ "name": "data", "ephemeral": limit }]),
        json!([{ "name": "data", "mountPath": "/data" }]),
    )
}

/// What the WASI 0.2 guest does with a folder.
#[tokio::test]
pub(crate) async fn fs_p2() {
    does_what_it_is_told(test_guests::FS_P2).await;
}

/// What the WASI 0.3 guest does with a folder.
#[tokio::test]
pub(crate) async fn fs_p3() {
    does_what_it_is_told(test_guests::FS_P3).await;
}

async fn does_what_it_is_told(image: &str) {
    let machine = Machine::start().await;
    machine
        .host
        .run("files", &ephemeral(image, json!({})))
        .await;
    for (command, wanted) in [
        ("mounts", "/data"),
        ("write,/data:a,hello", "5"),
        ("append,/data:a,-you", "ok"),
        ("read,/data:a", "hello-you"),
        ("size,/data:a", "9"),
        ("mkdir,/data:d", "ok"),
        ("rename,/data:a,/data:d/b", "ok"),
        ("list,/data:.", "d"),
        ("list,/data:d", "b"),
        ("symlink,d/b,/data:s", "ok"),
        ("readlink,/data:s", "d/b"),
        ("read,/data:s", "hello-you"),
        ("link,/data:d/b,/data:h", "ok"),
        ("resize,/data:h,5", "ok"),
        ("read,/data:d/b", "hello"),
        ("stream,/data:z,3,2", "ok"),
        ("read,/data:z", "\0\0\0xx"),
        ("times,/data:z", "ok"),
        ("mkdir,/data:d", "exist"),
        ("rmdir,/data:d", "not-empty"),
        ("rmdir,/data:z", "not-directory"),
        ("read,/data:absent", "no-entry"),
        ("unlink,/data:d/b", "ok"),
        ("rmdir,/data:d", "ok"),
        ("unlink,/data:s", "ok"),
        ("list,/data:.", "h,z"),
        ("list,/data:h", "not-directory"),
    ] {
        // Each in an instance of its own: what is written stays.
        assert_eq!(machine.script(command).await, [wanted], "{command}");
    }
}

/// A plain program of Rust's standard library. That there is no room left is lost in its C library, which knows one error for all
/// streams.
#[tokio::test]
async fn the_standard_library_works_on_a_volume() {
    let machine = Machine::start().await;
    let spec = ephemeral(test_guests::FS_P2, json!({ "sizeLimitMb": 1 }));
    machine.host.run("std", &spec).await;
    let script = "/std?mkdir,/data/a/b;write,/data/a/b/c,hello;append,/data/a/b/c,-you;read,/data/a/b/c;\
                  rename,/data/a/b/c,/data/d;list,/data;size,/data/d;big,/data/e,1;big,/data/e,0;remove,/data/a;\
                  list,/data;write,/elsewhere,x;read,/data/../../etc/passwd";
    assert_eq!(
        machine.script_at("localhost", script).await,
        [
            "ok",
            "ok",
            "ok",
            "hello-you",
            "ok",
            "a,d",
            "9",
            "I/O error (os error 29)",
            "ok",
            "ok",
            "d,e",
            "NotFound",
            "PermissionDenied"
        ]
    );
}
