//! The example `blobstore-filesystem`: a component that answers `wasi:blobstore` for others. It is asked what the host's own blobs are
//! asked, by the same guest (see `blobs-p2`), of a workload that has no blobs of the host.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::examples::built;
use crate::support::{Host, Sandbox};

/// The example and a guest that uses it, with a volume. The host allows folders below the sandbox.
fn sandbox(volume: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    built(&sandbox, "blobstore-filesystem");
    std::fs::copy(test_guests::BLOBS_P2, sandbox.path("guest.wasm")).unwrap();
    std::fs::create_dir(sandbox.path("volume")).unwrap();
    let root = sandbox.path("").canonicalize().unwrap();
    sandbox.write(
        "host.yaml",
        format!("volumes: {{ roots: [{}] }}\n", root.display()),
    );
    sandbox.write(
        "workload.yaml",
        format!(
            "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {{ name: blobs }}\nspec:\n  components:\n    \
             - {{ name: api, image: ./guest.wasm }}\n    \
             - name: blobs\n      image: ./blobstore-filesystem/build/blobstore-filesystem.wasm\n      \
             localResources: {{ volumeMounts: [{{ name: blobs, mountPath: /blobs }}] }}\n  \
             volumes: [{{ name: blobs, {volume} }}]\n  \
             hostInterfaces: [{{ namespace: wasi, package: http, interfaces: [incoming-handler] }}]\n"
        ),
    );
    sandbox
}

/// A sandbox whose blobs are in its folder `volume`.
fn on_disk() -> (Sandbox, Host, PathBuf) {
    let sandbox = sandbox("hostPath: { path: VOLUME }");
    let volume = sandbox.path("volume").canonicalize().unwrap();
    let manifest = std::fs::read_to_string(sandbox.path("workload.yaml")).unwrap();
    let manifest = manifest.replace("VOLUME", volume.to_str().unwrap());
    sandbox.write("workload.yaml", manifest);
    let host = started(&sandbox);
    (sandbox, host, volume)
}

fn started(sandbox: &Sandbox) -> Host {
    let mut host = sandbox.start(&["--config", "host.yaml", "workload.yaml"]);
    assert_eq!(host.expect("ready")["failed"], json!([]), "{}", host.talk());
    host
}

fn script(host: &Host, script: &str) -> Vec<String> {
    let (status, body) = host.get("localhost", &format!("/run?{script}"));
    assert_eq!(status, 200, "{body}");
    body.lines().map(str::to_owned).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_component_keeps_blobs_for_another_as_the_host_would() {
    let (_sandbox, host, volume) = on_disk();
    let told = script(
        &host,
        "exists,c;create,c;exists,c;open,c;list,c;put,c,o,hello;late,c,../p,world;list,c;\
         all,c,o;get,c,o,1,3;get,c,o,3,99;get,c,o,9,99;size,c,o;has,c,o;has,c,x",
    );
    assert_eq!(
        told,
        [
            "false", "c", "true", "c true", "", "ok", "ok", "../p o", "hello", "ell", "lo", "",
            "5", "true", "false"
        ]
    );
    let told = script(
        &host,
        "create,d;copy,c,o,d,copy;move,c,o,d,moved;list,c;list,d;all,d,copy;all,d,moved;put,d,moved,new;\
         all,d,moved;rm,d,copy;rm,d,copy;rm,d,moved,x,y;list,d;clear,c;list,c;delete,d;delete,d;exists,d",
    );
    assert_eq!(
        told,
        [
            "d",
            "ok",
            "ok",
            "../p",
            "copy moved",
            "hello",
            "hello",
            "ok",
            "new",
            "ok",
            "ok",
            "ok",
            "",
            "ok",
            "",
            "ok",
            "ok",
            "false"
        ]
    );
    assert_eq!(names(&volume.join("kept")), ["c"]);
    assert_eq!(names(&volume.join("under-way")), [""; 0]);
    host.stop();
}

#[test]
fn no_name_leads_out_of_the_volume_and_nobody_traps() {
    let (sandbox, host, volume) = on_disk();
    std::fs::write(sandbox.path("secret"), "secret").unwrap();
    let told = script(
        &host,
        "create,..;create,../../x;put,..,../../secret,mine;all,..,../../secret;create,.made;put,.made,/etc/passwd,mine;\
         list,.made;open,../../x;exists,../kept",
    );
    assert_eq!(
        told,
        [
            "..",
            "../../x",
            "ok",
            "mine",
            ".made",
            "ok",
            "/etc/passwd",
            "../../x true",
            "false"
        ]
    );
    assert_eq!(
        std::fs::read_to_string(sandbox.path("secret")).unwrap(),
        "secret"
    );
    assert_eq!(names(&volume), ["kept", "under-way"]);
    assert_eq!(
        names(&volume.join("kept")),
        ["%2e.", "%2e.%2f..%2fx", "%2emade"]
    );
    // A link that somebody put there is none of its objects.
    std::os::unix::fs::symlink(sandbox.path("secret"), volume.join("kept/%2e./link")).unwrap();
    let told = script(
        &host,
        "all,..,link;create,..;open,no;all,..,no;all,no,o;copy,..,no,..,o;put,..,a,x;move,..,a,no,o;get,..,a,3,1;put,..,,x;\
         create,;list,no;size,..,no;name,..,255;name,..,256",
    );
    assert!(told[0].starts_with("error: "), "{}", told[0]);
    assert_eq!(
        told[1..],
        [
            "error: there is such a container already",
            "error: there is no such container",
            "error: there is no such object",
            "error: there is no such container",
            "error: there is no such object",
            "ok",
            "error: there is no such container",
            "error: the range ends before it begins",
            "error: a name cannot be empty",
            "error: a name cannot be empty",
            "error: there is no such container",
            "error: there is no such object",
            "ok",
            "error: a name of 256 bytes is too long",
        ]
    );
    host.stop();
}

#[test]
fn what_is_not_finished_is_never_seen_and_what_is_left_of_it_goes() {
    let (sandbox, host, volume) = on_disk();
    let told = script(&host, "create,c;put,c,o,old;leave,c,o,half;list,c;all,c,o");
    assert_eq!(told, ["c", "ok", "left", "o", "old"]);
    assert_eq!(names(&volume.join("under-way")), [""; 0]);
    // An instance that was ended in the middle leaves its file. What may still be written stays.
    let (stale, fresh) = (
        volume.join("under-way/stale"),
        volume.join("under-way/fresh"),
    );
    for file in [&stale, &fresh] {
        std::fs::write(file, "half").unwrap();
    }
    let file = std::fs::File::options().write(true).open(&stale).unwrap();
    let now = std::time::SystemTime::now();
    file.set_modified(now - std::time::Duration::from_secs(3700))
        .unwrap();
    std::fs::create_dir(volume.join("under-way/gone")).unwrap();
    assert_eq!(script(&host, "put,c,o,new;all,c,o"), ["ok", "new"]);
    assert_eq!(names(&volume.join("under-way")), ["fresh", "gone"]);
    host.stop();
    // It is in the files alone, so it outlives the host.
    let host = started(&sandbox);
    assert_eq!(script(&host, "all,c,o"), ["new"]);
    host.stop();
}

#[test]
fn a_full_volume_keeps_no_half_of_anything() {
    let sandbox = sandbox("ephemeral: { sizeLimitMb: 3 }");
    let host = started(&sandbox);
    let full = "error: there is no room left to keep it";
    let told = script(
        &host,
        "create,c;put,c,o,old;fill,c,big,1;fill,c,o,4;all,c,o;list,c;size,c,big",
    );
    assert_eq!(told, ["c", "ok", "ok", full, "old", "big o", "1048576"]);
    // What was refused has left its room.
    assert_eq!(
        script(&host, "fill,c,more,1;sum,c,more;copy,c,more,c,again")[..2],
        ["ok", "1048576"]
    );
    host.stop();
}
