//! Blobs: what guests do with them in both dialects, whose they are, where they are kept, and how little memory a large one takes.
//!
//! The guests run scripts (see `blobs-p2` among them), so each test reads as what a program does and what it is told.

use std::path::Path;

use serde_json::{Value, json};
use test_servers::{Nats, S3};
use wasmcloud::assembly::HostConfig;
use wasmcloud::host::Host as _;

use crate::support::{TestHost, component, http_at, start_request};

mod servers;
mod through_guest;

/// A guest and the package that it keeps blobs through.
#[derive(Clone, Copy)]
struct Guest {
    image: &'static str,
    namespace: &'static str,
}

const P2: Guest = Guest {
    image: test_guests::BLOBS_P2,
    namespace: "wasi",
};
const P3: Guest = Guest {
    image: test_guests::BLOBS_P3,
    namespace: "wasmcloud",
};

impl Guest {
    /// A workload of it at a host name, with settings for the plain import and for the label.
    fn spec(self, host: &str, plain: Value, archive: Value) -> Value {
        let entry = |config: Value| {
            json!({
                "namespace": self.namespace,
                "package": "blobstore",
                "interfaces": ["blobstore"],
                "config": config,
            })
        };
        let mut archive = entry(archive);
        archive["name"] = json!("archive");
        json!({
            "components": [component("api", self.image)],
            "hostInterfaces": [http_at(json!({ "host": host })), entry(plain), archive],
        })
    }

    fn plain(self) -> Value {
        self.spec("localhost", json!({}), json!({}))
    }
}

/// A host that keeps its data in a folder.
async fn keeping(data: &Path) -> TestHost {
    TestHost::with(|config: &mut HostConfig| config.data_dir = Some(data.to_owned())).await
}

async fn script_at(host: &TestHost, at: &str, script: &str) -> Vec<String> {
    let answer = host.get_from(at, &format!("/run?{script}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body.lines().map(str::to_owned).collect()
}

async fn script(host: &TestHost, script: &str) -> Vec<String> {
    script_at(host, "localhost", script).await
}

/// A host whose guests may reach servers on this machine.
async fn reaching() -> TestHost {
    reaching_with(|_| {}).await
}

/// The same with other settings.
async fn reaching_with(change: impl FnOnce(&mut HostConfig)) -> TestHost {
    TestHost::with(|config: &mut HostConfig| {
        config.egress.allow = vec!["127.0.0.0/8".parse().unwrap()];
        change(config);
    })
    .await
}

/// The settings for a server of S3.
fn on_s3(server: &S3) -> Value {
    json!({
        "backend": "s3",
        "endpoint": server.endpoint(),
        "bucket": S3::BUCKET,
        "access-key-id": S3::KEY,
        "secret-access-key": S3::SECRET,
    })
}

fn nats() -> Nats {
    Nats::launch()
}

/// The settings for a NATS server.
fn on_nats(server: &Nats) -> Value {
    json!({ "backend": "nats", "url": server.url() })
}

/// Every command does what it says.
async fn does_what_it_is_told(guest: Guest) {
    let data = tempfile::tempdir().unwrap();
    does(&TestHost::start().await, guest).await;
    does(&keeping(data.path()).await, guest).await;
}

async fn does(host: &TestHost, guest: Guest) {
    host.run("blobs", &guest.plain()).await;
    let told = script(
        host,
        "exists,c;create,c;exists,c;open,c;list,c;put,c,o,hello;late,c,../p,world;list,c;\
         all,c,o;get,c,o,1,3;get,c,o,3,99;get,c,o,9,99;size,c,o;has,c,o;has,c,x",
    );
    assert_eq!(
        told.await,
        [
            "false", "c", "true", "c true", "", "ok", "ok", "../p o", "hello", "ell", "lo", "",
            "5", "true", "false"
        ]
    );
    let told = script(
        host,
        "create,d;copy,c,o,d,copy;move,c,o,d,moved;list,c;list,d;all,d,copy;all,d,moved;\
         put,d,moved,new;all,d,moved;rm,d,copy;rm,d,copy;rm,d,moved,x,y;list,d;clear,c;list,c;\
         delete,d;delete,d;exists,d",
    );
    assert_eq!(
        told.await,
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
    host.stop_finds_nothing_running("blobs").await;
}

#[tokio::test]
pub(crate) async fn blobs_p2() {
    does_what_it_is_told(P2).await;
}

#[tokio::test]
pub(crate) async fn blobs_p3() {
    does_what_it_is_told(P3).await;
}

#[tokio::test]
async fn a_server_that_goes_is_told_in_words_and_nobody_traps() {
    let mut server = S3::start();
    let host = reaching().await;
    for (guest, told) in [
        (P2, "error: the store cannot be used: "),
        (P3, "error: StoreUnavailable"),
    ] {
        let spec = guest.spec("localhost", on_s3(&server), on_s3(&server));
        host.run("blobs", &spec).await;
        assert_eq!(script(&host, "create,c;put,c,o,kept").await, ["c", "ok"]);
        server.kill();
        for line in script(&host, "all,c,o;put,c,p,x;list,c;exists,c;create,d;delete,c").await {
            assert!(line.starts_with(told), "{line}");
        }
        host.until_troubled("blobs").await;
        let told = host.troubles("blobs").await.concat();
        assert!(told.contains("s3 at `127.0.0.1:"), "{told}");
        assert!(!told.contains(S3::SECRET), "{told}");
        server.resume();
        host.until_well("blobs").await;
        assert_eq!(script(&host, "all,c,o;delete,c").await, ["kept", "ok"]);
        host.stop("blobs").await;
    }
}

#[tokio::test]
async fn a_name_of_a_guest_is_any_text_and_leads_nowhere() {
    let (s3, nats) = (S3::start(), nats());
    let data = tempfile::tempdir().unwrap();
    let host = reaching_with(|config| config.data_dir = Some(data.path().join("kept"))).await;
    for kept in [json!({}), on_s3(&s3), on_nats(&nats)] {
        for guest in [P2, P3] {
            let spec = guest.spec("localhost", kept.clone(), kept.clone());
            host.run("blobs", &spec).await;
            let told = script(
                &host,
                "create,..;put,..,../../../x,up;put,..,a%00b,nul;put,..,a,none;list,..;all,..,a%00b;all,..,a;\
                 all,..,../../../x;name,..,1025;name,..,4096;create,%00;exists,%00;delete,..;delete,%00",
            );
            let long = "error: a name has at most 1024 bytes";
            assert_eq!(
                told.await,
                [
                    "..",
                    "ok",
                    "ok",
                    "ok",
                    "../../../x a a\0b",
                    "nul",
                    "none",
                    "up",
                    long,
                    long,
                    "\0",
                    "true",
                    "ok",
                    "ok"
                ]
            );
            host.stop("blobs").await;
        }
    }
    let beside: Vec<_> = std::fs::read_dir(data.path()).unwrap().collect();
    assert_eq!(beside.len(), 1, "{beside:?}");
}

#[tokio::test]
async fn who_writes_without_end_is_stopped() {
    let (s3, nats) = (S3::start(), nats());
    let data = tempfile::tempdir().unwrap();
    let host = reaching_with(|config| {
        config.data_dir = Some(data.path().to_owned());
        config.blobstore.largest_object = Some(20 << 20);
    });
    let host = host.await;
    let memory = json!({ "backend": "in-memory" });
    for kept in [json!({}), memory, on_s3(&s3), on_nats(&nats)] {
        for (guest, told) in [
            (P2, "error: an object may have at most 20971520 bytes"),
            (P3, "error: QuotaExceeded"),
        ] {
            let spec = guest.spec("localhost", kept.clone(), kept.clone());
            host.run("blobs", &spec).await;
            let answer = script(&host, "create,c;fill,c,endless,1000000;list,c;delete,c").await;
            assert_eq!(answer, ["c", told, "", "ok"]);
            host.stop("blobs").await;
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_leaves_nothing_half_written() {
    let server = S3::start();
    let host = reaching().await;
    for guest in [P2, P3] {
        let spec = guest.spec("blobs", on_s3(&server), on_s3(&server));
        host.run("blobs", &spec).await;
        assert_eq!(script_at(&host, "blobs", "create,c").await, ["c"]);
        let before = server.keys();
        let pending = host.begin("blobs", "/run?fill,c,endless,1000000").await;
        crate::support::within(async {
            while server.unfinished() < 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        pending.leave().await;
        crate::support::within(async {
            while server.unfinished() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(server.keys(), before);
        assert_eq!(
            script_at(&host, "blobs", "list,c;delete,c").await,
            ["", "ok"]
        );
        host.stop("blobs").await;
    }
}

#[tokio::test]
async fn what_cannot_be_is_told_and_nobody_traps() {
    let wrong = "open,no;create,c;create,c;all,c,no;all,no,o;copy,c,no,c,o;put,c,o,x;move,c,o,no,o;\
                 get,c,o,3,1;name,c,1024;name,c,1025;put,c,,x;create,;list,no;size,c,no;put,c,o,toolong;\
                 all,c,o";
    let host = TestHost::start().await;
    for (guest, expected) in [
        (
            P2,
            [
                "error: there is no such container",
                "c",
                "error: the container exists already",
                "error: there is no such object",
                "error: there is no such container",
                "error: there is no such object",
                "ok",
                "error: there is no such container",
                "error: a range cannot begin at 3 and end at 1",
                "ok",
                "error: a name has at most 1024 bytes",
                "error: a name cannot be empty",
                "error: a name cannot be empty",
                "error: there is no such container",
                "error: there is no such object",
                "error: an object may have at most 4 bytes",
                "x",
            ],
        ),
        (
            P3,
            [
                "error: NoSuchContainer",
                "c",
                "error: ContainerAlreadyExists",
                "error: NoSuchObject",
                "error: NoSuchContainer",
                "error: NoSuchObject",
                "ok",
                "error: NoSuchContainer",
                "error: a range cannot begin at 3 and end at 1",
                "ok",
                "error: a name has at most 1024 bytes",
                "error: a name cannot be empty",
                "error: a name cannot be empty",
                "error: NoSuchContainer",
                "error: NoSuchObject",
                "error: QuotaExceeded",
                "x",
            ],
        ),
    ] {
        let limited = json!({ "max-object-size": "4B" });
        let spec = guest.spec("localhost", limited, json!({}));
        host.run("blobs", &spec).await;
        assert_eq!(script(&host, wrong).await, expected);
        host.stop("blobs").await;
    }
}

#[tokio::test]
async fn a_value_that_is_never_finished_leaves_nothing() {
    let data = tempfile::tempdir().unwrap();
    let host = keeping(data.path()).await;
    host.run("blobs", &P2.plain()).await;
    let told = script(&host, "create,c;leave,c,o,half;list,c").await;
    assert_eq!(told, ["c", "left", ""]);
    host.stop_finds_nothing_running("blobs").await;
    let under_way = data.path().join("blobstore/.under-way");
    crate::support::within(async {
        while std::fs::read_dir(&under_way).unwrap().count() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_label_leads_to_a_store_of_its_own() {
    for guest in [P2, P3] {
        let data = tempfile::tempdir().unwrap();
        let host = keeping(data.path()).await;
        let spec = guest.spec("localhost", json!({}), json!({ "backend": "in-memory" }));
        host.run("blobs", &spec).await;
        let told = script(
            &host,
            "create,c;put,c,o,plain;@exists,c;@create,c;@put,c,o,archived;all,c,o;@all,c,o;@delete,c;all,c,o",
        );
        let expected = [
            "c", "ok", "false", "c", "ok", "plain", "archived", "ok", "plain",
        ];
        assert_eq!(told.await, expected);
        host.stop("blobs").await;
        // Memory goes with the workload, and the folder stays.
        host.run("blobs", &spec).await;
        let told = script(&host, "@exists,c;all,c,o").await;
        assert_eq!(told, ["false", "plain"]);
    }
}

#[tokio::test]
async fn what_one_workload_keeps_another_sees_only_where_they_share() {
    let data = tempfile::tempdir().unwrap();
    let (s3, nats) = (S3::start(), nats());
    tenants(&keeping(data.path()).await, json!({})).await;
    tenants(&reaching().await, on_s3(&s3)).await;
    tenants(&reaching().await, on_nats(&nats)).await;
}

async fn tenants(host: &TestHost, kept: Value) {
    for guest in [P2, P3] {
        let mut shared = kept.clone();
        shared["shared"] = json!("photos");
        for name in ["one", "two"] {
            host.run(name, &guest.spec(name, kept.clone(), shared.clone()))
                .await;
        }
        let told = script_at(host, "one", "create,c;put,c,o,mine;@create,s;@put,s,o,ours").await;
        assert_eq!(told, ["c", "ok", "s", "ok"]);
        let told = script_at(
            host,
            "two",
            "exists,c;exists,../one/c;create,../one/c;list,../one/c;@exists,s;@all,s,o;@exists,c;\
             delete,../one/c",
        );
        let expected = [
            "false", "false", "../one/c", "", "true", "ours", "false", "ok",
        ];
        assert_eq!(told.await, expected);
        let told = script_at(host, "one", "all,c,o;delete,c;@delete,s").await;
        assert_eq!(told, ["mine", "ok", "ok"]);
        host.stop("one").await;
        host.stop("two").await;
    }
}

/// A name, and a name to share by, mean what they mean in one namespace.
#[tokio::test]
async fn the_same_names_in_two_namespaces_share_nothing() {
    let data = tempfile::tempdir().unwrap();
    let (s3, nats) = (S3::in_memory(), nats());
    namespaces(&keeping(data.path()).await, json!({})).await;
    namespaces(&reaching().await, json!({ "backend": "in-memory" })).await;
    namespaces(&reaching().await, on_s3(&s3)).await;
    namespaces(&reaching().await, on_nats(&nats)).await;
}

async fn namespaces(host: &TestHost, kept: Value) {
    let mut shared = kept.clone();
    shared["shared"] = json!("photos");
    for namespace in ["here", "there"] {
        let spec = P3.spec(namespace, kept.clone(), shared.clone());
        let mut request = start_request(namespace, "blobs", &spec, None);
        request.workload.namespace = namespace.parse().unwrap();
        host.host.start(request).await.unwrap();
    }
    let both = "create,c;put,c,o,mine;@create,s;@put,s,o,ours";
    let told = script_at(host, "here", both).await;
    assert_eq!(told, ["c", "ok", "s", "ok"]);
    let told = script_at(host, "there", "exists,c;@exists,s;exists,s;@exists,c").await;
    assert_eq!(told, ["false", "false", "false", "false"]);
    let told = script_at(
        host,
        "there",
        "create,c;put,c,o,other;@create,s;delete,c;@delete,s",
    )
    .await;
    assert_eq!(told, ["c", "ok", "s", "ok", "ok"]);
    let told = script_at(host, "here", "all,c,o;@all,s,o;delete,c;@delete,s").await;
    assert_eq!(told, ["mine", "ours", "ok", "ok"]);
}

/// What a workload keeps in files has an end, and what it was refused leaves room for others.
#[tokio::test]
async fn a_workload_keeps_no_more_in_files_than_the_host_allows() {
    let data = tempfile::tempdir().unwrap();
    let host = TestHost::with(|config: &mut HostConfig| {
        config.data_dir = Some(data.path().to_owned());
        config.blobstore.disk = 4 << 20;
    });
    let host = host.await;
    for (guest, told) in [
        (
            P2,
            "error: there is no room: at most 4194304 bytes are kept",
        ),
        (P3, "error: QuotaExceeded"),
    ] {
        host.run("blobs", &guest.spec("localhost", json!({}), json!({})))
            .await;
        host.run("other", &guest.spec("other", json!({}), json!({})))
            .await;
        let fill = "create,c;fill,c,one,2;fill,c,endless,1000;copy,c,one,c,two;list,c";
        assert_eq!(script(&host, fill).await, ["c", "ok", told, told, "one"]);
        let other = script_at(&host, "other", "create,c;fill,c,one,3;delete,c").await;
        assert_eq!(other, ["c", "ok", "ok"]);
        host.stop("blobs").await;
        // It is counted again by whoever opens it.
        host.run("blobs", &guest.spec("localhost", json!({}), json!({})))
            .await;
        let again = "fill,c,two,2;move,c,one,c,moved;rm,c,moved;fill,c,two,3;delete,c";
        assert_eq!(script(&host, again).await, [told, "ok", "ok", "ok", "ok"]);
        host.stop("blobs").await;
        host.stop("other").await;
    }
}

/// Nothing of a file is copied.
#[tokio::test]
async fn a_move_of_a_file_is_a_rename() {
    use std::os::unix::fs::MetadataExt as _;

    let data = tempfile::tempdir().unwrap();
    let host = keeping(data.path()).await;
    for guest in [P2, P3] {
        host.run("blobs", &guest.plain()).await;
        let home = data.path().join("blobstore/default/workload/blobs");
        let number = |path: &str| home.join(path).metadata().unwrap().ino();
        let told = script(&host, "create,c;create,d;put,c,o,kept").await;
        assert_eq!(told, ["c", "d", "ok"]);
        let before = number("c/o");
        let told = script(&host, "move,c,o,d,moved;all,d,moved").await;
        assert_eq!(told, ["ok", "kept"]);
        assert_eq!(number("d/moved"), before);
        assert_eq!(script(&host, "delete,c;delete,d").await, ["ok", "ok"]);
        host.stop("blobs").await;
    }
}

#[tokio::test]
async fn blobs_outlive_the_host_and_both_dialects_see_them() {
    let data = tempfile::tempdir().unwrap();
    let host = keeping(data.path()).await;
    host.run("blobs", &P2.plain()).await;
    assert_eq!(script(&host, "create,c;put,c,o,kept").await, ["c", "ok"]);
    drop(host);
    let host = keeping(data.path()).await;
    host.run("blobs", &P3.plain()).await;
    assert_eq!(script(&host, "all,c,o;size,c,o").await, ["kept", "4"]);
}

#[tokio::test]
async fn a_manifest_names_only_folders_that_the_host_allows() {
    let (allowed, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let root = allowed.path().join("blobs");
    std::fs::create_dir(&root).unwrap();
    std::os::unix::fs::symlink(other.path(), allowed.path().join("link")).unwrap();
    let host = TestHost::with(|config| config.blobstore.roots = vec![allowed.path().to_owned()]);
    let host = host.await;
    let at = |path: &Path| json!({ "backend": "filesystem", "root": path });
    host.run("blobs", &P2.spec("localhost", at(&root), json!({})))
        .await;
    assert_eq!(script(&host, "create,c;put,c,o,x").await, ["c", "ok"]);
    assert!(root.join("default/workload/blobs/c/o").is_file());
    for path in [
        other.path().to_owned(),
        allowed.path().join("link"),
        allowed.path().join("absent"),
        allowed.path().join("../etc"),
        root.join("default/workload/blobs/c/o"),
    ] {
        let refused = host
            .try_run("refused", &P2.spec("other", at(&path), json!({})))
            .await;
        let told = refused.unwrap_err().to_string();
        assert!(
            told.contains("is no folder that this host allows"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn settings_that_mean_nothing_are_refused() {
    let host = TestHost::start().await;
    for (config, expected) in [
        (json!({ "backend": "s4" }), "`s4` is no `backend`"),
        (
            json!({ "rot": "/a" }),
            "`rot` is not a setting of wasi:blobstore",
        ),
        (
            json!({ "backend": "filesystem" }),
            "this host keeps no data",
        ),
        (json!({ "shared": "A" }), "no name to share by"),
        (json!({ "backend": "s3" }), "`bucket` is missing"),
        (
            json!({ "backend": "s3", "bucket": "b u" }),
            "wanted the name of a bucket",
        ),
        (
            json!({ "backend": "s3", "bucket": "photos", "endpoint": "ftp://s3cret" }),
            "wanted a URL such as `https://s3.example.com`",
        ),
        (
            json!({ "backend": "s3", "bucket": "photos", "access-key-id": "s3cret" }),
            "`secret-access-key` is missing",
        ),
        (
            json!({ "backend": "s3", "bucket": "photos", "prefix": "../up" }),
            "wanted words of letters",
        ),
        (
            json!({ "backend": "s3", "bucket": "photos", "buckets": "x" }),
            "`buckets` is not a setting of wasi:blobstore",
        ),
        (
            json!({ "backend": "s3", "bucket": "photos", "endpoint": "http://127.0.0.1:1" }),
            "may not be reached",
        ),
        (json!({ "backend": "nats" }), "`url` is missing"),
        (
            json!({ "backend": "nats", "url": "http://s3cret" }),
            "wanted `nats://HOST:PORT`",
        ),
        (
            json!({ "backend": "nats", "url": "nats://h", "replicas": "6" }),
            "wanted a number from 1 to 5",
        ),
        (
            json!({ "backend": "nats", "url": "nats://u:s3cret@127.0.0.1:1" }),
            "there are no blobs over NATS",
        ),
    ] {
        let refused = host
            .try_run("blobs", &P2.spec("localhost", config, json!({})))
            .await;
        let told = refused.unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
        assert!(!told.contains("s3cret"), "{told}");
    }
}

mod memory {
    //! A blob larger than anything the host may hold.

    use serde_json::{Value, json};
    use test_servers::S3;

    use super::{Guest, P2, P3, keeping, nats, on_nats, on_s3, reaching, script};
    use crate::support::TestHost;

    const MIB: usize = 1 << 20;
    const SIZE: usize = 256;
    const ALLOWED: usize = 64;

    /// The most memory that this process ever used, in MiB.
    fn most_resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib: usize = line
            .unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        kib / 1024
    }

    async fn measured(guest: Guest) {
        let data = tempfile::tempdir().unwrap();
        measured_on(guest, keeping(data.path()).await, json!({})).await;
    }

    async fn measured_on(guest: Guest, host: TestHost, kept: Value) {
        let spec = guest.spec("localhost", kept.clone(), kept);
        host.run("blobs", &spec).await;
        script(&host, "create,c;fill,c,small,1;sum,c,small").await;
        let before = most_resident();
        let commands =
            format!("fill,c,big,{SIZE};sum,c,big;copy,c,big,c,copy;sum,c,copy;size,c,copy");
        let told = script(&host, &commands).await;
        let bytes = (SIZE * MIB).to_string();
        assert_eq!(told, ["ok", &bytes, "ok", &bytes, &bytes]);
        let more = most_resident() - before;
        assert!(more < ALLOWED, "{more} MiB more in use");
    }

    /// Runs a test of this module in a process of its own, where nobody else uses memory.
    fn alone(test: &str) {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--ignored",
                "--nocapture",
                &format!("blobs::memory::{test}"),
            ])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(told.contains("1 passed"), "{text}");
    }

    #[tokio::test]
    #[ignore = "run by the test below, in a process of its own"]
    async fn p2_measured() {
        measured(P2).await;
    }

    #[test]
    fn a_big_blob_of_a_wasi_0_2_guest_takes_little_memory() {
        alone("p2_measured");
    }

    #[tokio::test]
    #[ignore = "run by the test below, in a process of its own"]
    async fn p3_measured() {
        measured(P3).await;
    }

    #[test]
    fn a_big_blob_of_a_wasi_0_3_guest_takes_little_memory() {
        alone("p3_measured");
    }

    #[tokio::test]
    #[ignore = "run by the test below, in a process of its own"]
    async fn s3_measured() {
        let server = S3::start();
        measured_on(P3, reaching().await, on_s3(&server)).await;
    }

    #[tokio::test]
    #[ignore = "run by the test below, in a process of its own"]
    async fn s3_p2_measured() {
        let server = S3::in_memory();
        measured_on(P2, reaching().await, on_s3(&server)).await;
    }

    #[test]
    fn a_big_blob_of_a_wasi_0_2_guest_on_its_way_to_s3_and_back_takes_little_memory() {
        alone("s3_p2_measured");
    }

    #[test]
    fn a_big_blob_on_its_way_to_s3_and_back_takes_little_memory() {
        alone("s3_measured");
    }

    #[tokio::test]
    #[ignore = "run by the test below, in a process of its own"]
    async fn nats_measured() {
        let server = nats();
        measured_on(P3, reaching().await, on_nats(&server)).await;
    }

    #[tokio::test]
    #[ignore = "run by the test below, in a process of its own"]
    async fn nats_p2_measured() {
        let server = nats();
        measured_on(P2, reaching().await, on_nats(&server)).await;
    }

    #[test]
    fn a_big_blob_of_a_wasi_0_2_guest_on_its_way_to_nats_and_back_takes_little_memory() {
        alone("nats_p2_measured");
    }

    #[test]
    fn a_big_blob_on_its_way_to_nats_and_back_takes_little_memory() {
        alone("nats_measured");
    }
}
