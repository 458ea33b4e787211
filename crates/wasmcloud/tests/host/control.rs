//! The way into a running host for programs of the same user.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use wasmcloud::control::{
    Answered, AskError, Call, Client, Command, Control, RunSchedule, SocketPath,
};

use crate::support::{TestHost, component, http, p2, spec, within};

/// A host with a workload of errands that can be asked, in a folder.
async fn host(folder: &Path) -> (TestHost, Control) {
    let host = TestHost::start().await;
    let mut spec = spec([p2(), component("errands", test_guests::ERRANDS)], [http()]);
    spec["schedules"] = json!([
        {"name": "tidy", "component": "errands", "function": "sum", "args": ["[40, 2]"], "schedule": "0 0 29 2 *"},
    ]);
    host.run("shop", &spec).await;
    let control = Control::start(host.host.clone(), Some(host.addr()), folder).unwrap();
    (host, control)
}

fn call(workload: &str, function: &str, args: &[&str]) -> Command {
    Command::Call(Call {
        workload: workload.to_owned(),
        component: None,
        function: function.to_owned(),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
    })
}

async fn ask(folder: &Path, command: Command) -> Result<Answered, AskError> {
    let mut client = Client::connect(&SocketPath::in_folder(folder)).await?;
    within(client.ask(command)).await
}

/// The message and hint of what is refused.
async fn refused(folder: &Path, command: Command) -> (String, String) {
    match ask(folder, command).await {
        Err(AskError::Refused(problem)) => (problem.message, problem.hint.unwrap_or_default()),
        other => panic!("{other:?}"),
    }
}

/// A line of any kind, and the answer.
async fn line(folder: &Path, line: &[u8]) -> Value {
    let path = SocketPath::in_folder(folder);
    let mut stream = UnixStream::connect(path.path()).await.unwrap();
    // The other end may have heard enough before the end.
    let _ = stream.write_all(line).await;
    let mut answer = String::new();
    within(BufReader::new(stream).read_line(&mut answer))
        .await
        .unwrap();
    serde_json::from_str(&answer).unwrap()
}

#[tokio::test]
async fn functions_are_called_and_schedules_run() {
    let folder = tempfile::tempdir().unwrap();
    let (_host, _control) = host(folder.path()).await;
    let folder = folder.path();
    for workload in ["shop", "default/shop"] {
        let answer = ask(folder, call(workload, "divide", &["84", "2"]))
            .await
            .unwrap();
        let wanted = Answered::Answer {
            wave: "ok(42)".to_owned(),
            result: json!({"ok": 42}),
            err: false,
        };
        assert_eq!(answer, wanted);
    }
    let run = RunSchedule {
        workload: "shop".to_owned(),
        schedule: "tidy".to_owned(),
    };
    let answer = ask(folder, Command::RunSchedule(run)).await.unwrap();
    assert!(matches!(answer, Answered::Answer { wave, .. } if wave == "42"));
}

#[tokio::test]
async fn the_status_names_workloads_with_ports_and_schedules() {
    let folder = tempfile::tempdir().unwrap();
    let (host, _control) = host(folder.path()).await;
    let Answered::Status(status) = ask(folder.path(), Command::Status).await.unwrap() else {
        panic!("another answer");
    };
    assert_eq!(status.http, Some(host.addr()));
    let [workload] = status.workloads.try_into().unwrap();
    assert_eq!(
        (&workload["name"], &workload["state"]),
        (&json!("shop"), &json!("running"))
    );
    assert_eq!(workload["schedules"][0]["name"], "tidy");
    assert_eq!(workload["schedules"][0]["runs"], 0);
    assert_eq!(
        workload["plan"],
        Value::Null,
        "it is long, and says nothing of the state"
    );
}

#[tokio::test]
async fn what_cannot_be_done_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let (host, _control) = host(folder.path()).await;
    let folder = folder.path();
    assert_eq!(
        refused(folder, call("shpo", "sum", &[])).await,
        (
            "no workload is called `shpo`".to_owned(),
            "did you mean `shop`?".to_owned()
        )
    );
    assert_eq!(
        refused(folder, call("other/shop", "sum", &[])).await.1,
        "the host has default/shop"
    );
    let (message, hint) = refused(folder, call("shop", "sun", &[])).await;
    assert_eq!(message, "no component exports `sun`");
    assert!(
        hint.starts_with("did you mean `sum`? exported here:\n"),
        "{hint}"
    );
    let (message, _) = refused(folder, call("shop", "fall", &[])).await;
    assert!(message.contains("the component trapped: "), "{message}");
    host.stop("shop").await;
    assert_eq!(
        refused(folder, call("shop", "sum", &[])).await.1,
        "the host runs no workload"
    );
}

#[tokio::test]
async fn what_is_no_question_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (_host, _control) = host(folder.path()).await;
    let folder = folder.path();
    let message = |reply: Value| reply["error"]["message"].as_str().unwrap().to_owned();
    let other = message(line(folder, b"{\"version\": 2, \"command\": \"dance\"}\n").await);
    assert_eq!(
        other,
        "the question is of version 2 of the protocol, and this host knows version 1"
    );
    let odd = message(line(folder, b"{\"version\": 1, \"command\": \"dance\"}\n").await);
    assert!(
        odd.starts_with("the question is not understood: unknown variant `dance`"),
        "{odd}"
    );
    let no_json = message(line(folder, b"GET / HTTP/1.1\r\n\r\n").await);
    assert!(
        no_json.starts_with("the question is not understood: "),
        "{no_json}"
    );
    let long = message(line(folder, &vec![b' '; (1 << 20) + 1]).await);
    assert_eq!(long, "the question has more than 1048576 bytes");
    let status = line(folder, b"{\"version\": 1, \"command\": \"status\"}\n").await;
    assert_eq!(status["version"], 1, "it goes on answering");
}

#[tokio::test]
async fn whoever_goes_away_ends_the_guest() {
    let folder = tempfile::tempdir().unwrap();
    let (host, _control) = host(folder.path()).await;
    let asked = tokio::spawn({
        let folder = folder.path().to_owned();
        async move { ask(&folder, call("shop", "spin", &[])).await }
    });
    host.lines(1).await;
    asked.abort();
    host.instances("shop", 0).await;
    host.stop_finds_nothing_running("shop").await;
}

#[tokio::test]
async fn nobody_else_gets_at_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let (one, control) = host(folder.path()).await;
    let path = control.path().to_owned();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    drop(control);
    assert!(!path.exists(), "it is removed with whoever made it");
    // What was left behind by a process that crashed is no obstacle, and a folder that was opened is closed again.
    fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let control = Control::start(one.host.clone(), None, folder.path()).unwrap();
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    ask(folder.path(), Command::Status).await.unwrap();
    drop(control);
    fs::write(&path, "precious").unwrap();
    let error = Control::start(one.host.clone(), None, folder.path()).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("something else is there; remove it"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_folder_that_is_a_link_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("control")).unwrap();
    let host = TestHost::start().await;
    let error = Control::start(host.host.clone(), None, folder.path()).unwrap_err();
    assert!(
        error.to_string().ends_with("this is no folder; remove it"),
        "{error}"
    );
    assert_eq!(elsewhere.path().read_dir().unwrap().count(), 0);
}

/// The address of a socket has room for some hundred bytes; folders may be deeper.
#[tokio::test]
async fn deep_folders_are_reached() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("d".repeat(200));
    fs::create_dir(&deep).unwrap();
    let (_host, _control) = host(&deep).await;
    ask(&deep, Command::Status).await.unwrap();
    assert!(SocketPath::find(&deep).is_some());
    assert!(SocketPath::find(folder.path()).is_none());
}

#[tokio::test]
async fn nobody_answers_where_no_host_runs() {
    let folder = tempfile::tempdir().unwrap();
    let Err(AskError::Connect(error)) = ask(folder.path(), Command::Status).await else {
        panic!("somebody answers");
    };
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}
