//! What every place must do, as guests meet it: through both packages, by every import that leads there.

use serde_json::{Value, json};
use tempfile::TempDir;
use test_servers::{Nats, S3};

use super::{Guest, P2, P3, nats, on_nats, on_s3, reaching_with, script_at};
use crate::support::TestHost;

/// Every place, in one host.
struct Everywhere {
    host: TestHost,
    places: [(&'static str, Value); 4],
    _folder: TempDir,
    _servers: (S3, Nats),
}

async fn everywhere() -> Everywhere {
    let folder = tempfile::tempdir().unwrap();
    let (s3, nats) = (S3::start(), nats());
    let host = reaching_with(|config| config.data_dir = Some(folder.path().to_owned()));
    Everywhere {
        host: host.await,
        places: [
            ("memory", json!({ "backend": "in-memory" })),
            ("files", json!({ "backend": "filesystem" })),
            ("s3", on_s3(&s3)),
            ("nats", on_nats(&nats)),
        ],
        _folder: folder,
        _servers: (s3, nats),
    }
}

/// How an import leads to a place: what commands by it begin with, and whether what it leads to is shared by a name.
const LEADS: [(&str, &str, bool); 3] = [
    ("plain", "", false),
    ("label", "@", false),
    ("shared", "", true),
];

impl Guest {
    /// What it tells of a container that is not there, of one that is, and of an object that is not there.
    fn errors(self) -> [&'static str; 3] {
        match self.namespace {
            "wasi" => [
                "error: there is no such container",
                "error: the container exists already",
                "error: there is no such object",
            ],
            _ => [
                "error: NoSuchContainer",
                "error: ContainerAlreadyExists",
                "error: NoSuchObject",
            ],
        }
    }
}

/// A guest that keeps blobs, asked by one of its imports.
struct Keeper<'a> {
    host: &'a TestHost,
    guest: Guest,
    workload: String,
    way: &'static str,
}

impl Keeper<'_> {
    /// Gives it commands, each with the answer that it must have.
    async fn says(&self, talk: &[(&str, &str)]) {
        let commands = talk
            .iter()
            .map(|(command, _)| format!("{}{command}", self.way));
        let script = commands.collect::<Vec<_>>().join(";");
        let answers = script_at(self.host, &self.workload, &script).await;
        let answers = answers.iter().map(String::as_str);
        let commands = talk.iter().map(|(command, _)| *command);
        let told: Vec<_> = commands.zip(answers).collect();
        assert_eq!(told, talk, "{}", self.workload);
    }
}

async fn holds_everywhere(guest: Guest) {
    let all = everywhere().await;
    for (name, place) in &all.places {
        for (lead, way, is_shared) in LEADS {
            let mut place = place.clone();
            if is_shared {
                place["shared"] = json!("photos");
            }
            let workload = format!("{name}-{lead}");
            let spec = guest.spec(&workload, place.clone(), place);
            all.host.run(&workload, &spec).await;
            let keeper = Keeper {
                host: &all.host,
                guest,
                workload,
                way,
            };
            containers_come_and_go(&keeper).await;
            what_is_written_is_there(&keeper).await;
            ranges_are_cut(&keeper).await;
            overwriting_is_atomic(&keeper).await;
            copies_and_moves(&keeper).await;
            what_is_absent_is_told_apart(&keeper).await;
            // It takes long, and is the same by every import.
            if lead == "plain" {
                long_lists_are_whole(&keeper).await;
            }
            all.host.stop_finds_nothing_running(&keeper.workload).await;
        }
    }
}

#[tokio::test]
async fn the_contract_holds_through_wasi_by_every_import_in_every_place() {
    holds_everywhere(P2).await;
}

#[tokio::test]
async fn the_contract_holds_through_the_asynchronous_package_in_the_same_way() {
    holds_everywhere(P3).await;
}

async fn containers_come_and_go(keeper: &Keeper<'_>) {
    let [no_container, exists, _] = keeper.guest.errors();
    keeper
        .says(&[
            ("exists,c", "false"),
            ("open,c", no_container),
            ("delete,c", "ok"),
            ("create,c", "c"),
            ("create,c", exists),
            ("exists,c", "true"),
            ("open,c", "c true"),
            ("list,c", ""),
            ("put,c,o,x", "ok"),
            ("delete,c", "ok"),
            ("delete,c", "ok"),
            ("exists,c", "false"),
            // Its successor has nothing of it.
            ("create,c", "c"),
            ("list,c", ""),
            ("delete,c", "ok"),
        ])
        .await;
}

async fn what_is_written_is_there(keeper: &Keeper<'_>) {
    keeper
        .says(&[
            ("create,c", "c"),
            ("put,c,o,hello", "ok"),
            ("late,c,../p,world", "ok"),
            ("put,c,empty,", "ok"),
            ("list,c", "../p empty o"),
            ("all,c,o", "hello"),
            ("all,c,../p", "world"),
            ("all,c,empty", ""),
            ("info,c,o", "o c 5 true"),
            ("info,c,empty", "empty c 0 true"),
            ("size,c,../p", "5"),
            ("has,c,o", "true"),
            ("has,c,empty", "true"),
            ("has,c,x", "false"),
            ("put,c,o,hi", "ok"),
            ("all,c,o", "hi"),
            ("put,c,o,", "ok"),
            ("all,c,o", ""),
            ("info,c,o", "o c 0 true"),
            ("rm,c,o", "ok"),
            ("rm,c,o", "ok"),
            ("has,c,o", "false"),
            ("rm,c,empty,x,o", "ok"),
            ("list,c", "../p"),
            ("clear,c", "ok"),
            ("list,c", ""),
            ("clear,c", "ok"),
            ("exists,c", "true"),
            ("delete,c", "ok"),
        ])
        .await;
}

/// A range ends with the object at the latest.
async fn ranges_are_cut(keeper: &Keeper<'_>) {
    keeper
        .says(&[
            ("create,c", "c"),
            ("put,c,o,hello", "ok"),
            ("get,c,o,0,0", "h"),
            ("get,c,o,1,3", "ell"),
            ("get,c,o,4,4", "o"),
            ("get,c,o,0,4", "hello"),
            ("get,c,o,0,5", "hello"),
            ("get,c,o,3,99", "lo"),
            ("get,c,o,3,end", "lo"),
            ("get,c,o,5,5", ""),
            ("get,c,o,9,99", ""),
            ("get,c,o,end,end", ""),
            (
                "get,c,o,3,1",
                "error: a range cannot begin at 3 and end at 1",
            ),
            ("put,c,empty,", "ok"),
            ("get,c,empty,0,0", ""),
            ("get,c,empty,0,end", ""),
            ("delete,c", "ok"),
        ])
        .await;
}

/// Also of an object so large that it goes in parts, wherever there are parts.
async fn overwriting_is_atomic(keeper: &Keeper<'_>) {
    keeper
        .says(&[
            ("create,c", "c"),
            ("over,c,o,1", "nothing"),
            ("places,c,o,0,end", "1048576 0"),
            ("put,c,o,old", "ok"),
            ("over,c,o,9", "old"),
            ("info,c,o", "o c 9437184 true"),
            ("places,c,o,0,end", "9437184 0"),
            // A part of S3 has 8 MiB.
            ("places,c,o,8388600,8388615", "16 0"),
            ("places,c,o,9437180,9437999", "4 0"),
            ("places,c,o,9437184,end", "0 0"),
            ("copy,c,o,c,copy", "ok"),
            ("put,c,o,new", "ok"),
            ("all,c,o", "new"),
            ("places,c,copy,0,end", "9437184 0"),
        ])
        .await;
    // In the other package, whoever ends the stream has finished.
    if keeper.guest.namespace == "wasi" {
        keeper
            .says(&[("leave,c,o,half", "left"), ("all,c,o", "new")])
            .await;
    }
    keeper.says(&[("delete,c", "ok")]).await;
}

async fn copies_and_moves(keeper: &Keeper<'_>) {
    keeper
        .says(&[
            ("create,a", "a"),
            ("create,b", "b"),
            ("put,a,o,content", "ok"),
            ("put,b,o,replaced", "ok"),
            ("copy,a,o,b,o", "ok"),
            ("all,b,o", "content"),
            ("copy,a,o,a,o", "ok"),
            ("move,a,o,a,o", "ok"),
            ("all,a,o", "content"),
            // A copy is no second name of the same bytes.
            ("put,b,o,other", "ok"),
            ("all,a,o", "content"),
            ("copy,a,o,a,p", "ok"),
            ("list,a", "o p"),
            ("move,a,p,b,q", "ok"),
            ("list,a", "o"),
            ("info,b,q", "q b 7 true"),
            ("move,a,o,b,o", "ok"),
            ("has,a,o", "false"),
            ("list,a", ""),
            ("list,b", "o q"),
            ("all,b,o", "content"),
            ("all,b,q", "content"),
            ("delete,a", "ok"),
            ("delete,b", "ok"),
        ])
        .await;
}

async fn what_is_absent_is_told_apart(keeper: &Keeper<'_>) {
    let [no_container, _, no_object] = keeper.guest.errors();
    keeper
        .says(&[
            ("create,c", "c"),
            ("put,c,o,x", "ok"),
            ("all,no,o", no_container),
            ("put,no,o,x", no_container),
            ("list,no", no_container),
            ("has,no,o", no_container),
            ("info,no,o", no_container),
            ("rm,no,o", no_container),
            ("clear,no", no_container),
            ("copy,no,o,c,to", no_container),
            ("move,no,o,c,to", no_container),
            ("copy,c,o,no,to", no_container),
            ("move,c,o,no,to", no_container),
            ("all,c,no", no_object),
            ("get,c,no,1,3", no_object),
            ("info,c,no", no_object),
            ("copy,c,no,c,to", no_object),
            ("move,c,no,c,to", no_object),
            ("list,c", "o"),
            ("all,c,o", "x"),
            ("delete,c", "ok"),
        ])
        .await;
}

/// There are more names than anybody hands over at once.
async fn long_lists_are_whole(keeper: &Keeper<'_>) {
    let names: Vec<_> = (0..260).map(|n| format!("o{n:03}")).collect();
    let writes: Vec<_> = names.iter().map(|it| format!("put,c,{it},x")).collect();
    let writes: Vec<_> = writes.iter().map(|it| (it.as_str(), "ok")).collect();
    keeper.says(&[("create,c", "c")]).await;
    keeper.says(&writes).await;
    keeper
        .says(&[
            ("list,c", names.join(" ").as_str()),
            ("clear,c", "ok"),
            ("list,c", ""),
            ("exists,c", "true"),
            ("delete,c", "ok"),
        ])
        .await;
}
