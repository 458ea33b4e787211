//! Who sees what: components that are fused, workloads side by side, mounts beside each other.

use serde_json::{Value, json};

use super::{BOTH, Machine, mounting, spec, spec_at};
use crate::support::{component, http};

/// The front and its sibling, fused, with mounts of their own.
fn pair(volumes: Value, front: Value, back: Value) -> Value {
    json!({
        "components": [
            mounting(component("front", test_guests::FS_FRONT), front),
            mounting(component("back", test_guests::FS_BACK), back),
        ],
        "hostInterfaces": [http()],
        "volumes": volumes,
    })
}

/// Although both are one component when they run, each has its own folder under the same path.
#[tokio::test]
pub(crate) async fn fs_front() {
    let machine = Machine::start().await;
    let volumes = json!([{ "name": "one", "ephemeral": {} }, { "name": "two", "ephemeral": {} }]);
    let at_data = |name: &str| json!([{ "name": name, "mountPath": "/data" }]);
    machine
        .host
        .run("pair", &pair(volumes, at_data("one"), at_data("two")))
        .await;
    let own = async |script: &str| {
        machine
            .script_at("localhost", &format!("/own?{script}"))
            .await
    };
    let back = async |script: &str| {
        machine
            .script_at("localhost", &format!("/back?{script}"))
            .await
    };
    assert_eq!(own("mounts;write,/data:a,front").await, ["/data", "5"]);
    assert_eq!(back("mounts;read,/data:a").await, ["/data", "no-entry"]);
    assert_eq!(back("write,/data:a,back").await, ["4"]);
    assert_eq!(own("read,/data:a").await, ["front"]);
    assert_eq!(back("read,/data:a").await, ["back"]);
}

/// What one has mounted, its sibling without mounts does not see; what both mount, they share.
#[tokio::test]
pub(crate) async fn fs_back() {
    let machine = Machine::start().await;
    let volumes = json!([{ "name": "one", "ephemeral": {} }, { "name": "both", "ephemeral": {} }]);
    let front = json!([
        { "name": "one", "mountPath": "/one" },
        { "name": "both", "mountPath": "/both" },
    ]);
    let back = json!([{ "name": "both", "mountPath": "/shared", "readOnly": true }]);
    machine.host.run("pair", &pair(volumes, front, back)).await;
    let own = machine
        .script_at("localhost", "/own?mounts;write,/both:a,hello")
        .await;
    assert_eq!(own, ["/one,/both", "5"]);
    let back = machine
        .script_at(
            "localhost",
            "/back?mounts;read,/shared:a;write,/shared:a,x;read,/one:a",
        )
        .await;
    assert_eq!(back, ["/shared", "hello", "not-permitted", "not mounted"]);
}

#[tokio::test]
async fn workloads_do_not_see_each_others_volumes() {
    let machine = Machine::start().await;
    let volumes = json!([{ "name": "data", "ephemeral": { "sizeLimitMb": 1 } }]);
    let mounts = json!([{ "name": "data", "mountPath": "/data" }]);
    for name in ["one", "two"] {
        let spec = spec_at(name, test_guests::FS_P2, volumes.clone(), mounts.clone());
        machine.host.run(name, &spec).await;
    }
    let filled = machine.script_at("one", "/run?fill,/data:a,65536").await;
    assert!(filled[0].ends_with("insufficient-space"), "{filled:?}");
    let lines = machine
        .script_at("two", "/run?list,/data:.;write,/data:a,mine")
        .await;
    assert_eq!(lines, ["", "4"]);
    machine.host.stop("one").await;
    machine.reaches_folders(1).await;
    assert_eq!(
        machine.script_at("two", "/run?read,/data:a").await,
        ["mine"]
    );
}

/// Mounts are like disks: nothing moves from one to another, wherever they are on the machine.
#[tokio::test]
async fn nothing_is_renamed_or_linked_across_mounts() {
    for image in BOTH {
        let machine = Machine::start().await;
        let folder = machine.root.path().join("host");
        std::fs::create_dir(&folder).unwrap();
        let volumes = json!([
            { "name": "one", "ephemeral": {} },
            { "name": "two", "ephemeral": {} },
            { "name": "host", "hostPath": { "path": folder } },
        ]);
        let mounts = json!([
            { "name": "one", "mountPath": "/one" },
            { "name": "two", "mountPath": "/two" },
            { "name": "host", "mountPath": "/host" },
            { "name": "one", "mountPath": "/again" },
            { "name": "one", "mountPath": "/read", "readOnly": true },
        ]);
        machine
            .host
            .run("files", &spec(image, volumes, mounts))
            .await;
        machine
            .script("write,/one:a,hello;write,/host:a,hello")
            .await;
        for (from, to) in [("one", "two"), ("one", "host"), ("host", "one")] {
            for command in ["rename", "link"] {
                let command = format!("{command},/{from}:a,/{to}:b");
                assert_eq!(
                    machine.script(&command).await,
                    ["cross-device"],
                    "{command}"
                );
            }
        }
        // The same volume under two paths is one.
        let lines = machine
            .script("link,/one:a,/again:b;rename,/again:a,/one:c;list,/one:.")
            .await;
        assert_eq!(lines, ["ok", "ok", "b,c"]);
        // What may only be read is neither a way in nor a way to more rights.
        for command in [
            "rename,/one:b,/read:d",
            "rename,/read:b,/one:d",
            "link,/one:b,/read:d",
            "link,/read:b,/one:d",
        ] {
            assert_eq!(
                machine.script(command).await,
                ["not-permitted"],
                "{command}"
            );
        }
    }
}

/// The guests that share fill one volume together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_limit_holds_for_all_who_write_at_once() {
    for image in BOTH {
        let machine = Machine::start().await;
        let spec = super::ephemeral(image, json!({ "sizeLimitMb": 1 }));
        machine.host.run("files", &spec).await;
        let scripts: Vec<_> = (0..8).map(|n| format!("fill,/data:{n},4096")).collect();
        let filled = futures::future::join_all(scripts.iter().map(|script| machine.script(script)));
        let written: u64 = filled
            .await
            .iter()
            .map(|lines| {
                let (written, error) = lines[0].split_once(' ').unwrap();
                assert_eq!(error, "insufficient-space");
                written.parse::<u64>().unwrap()
            })
            .sum();
        // Eight entries, and the rest is content.
        assert_eq!(written, (1 << 20) - 8 * 4096);
    }
}
