//! A call of a workload that runs in another process: `wash dev`, or `wasmcloud run`.

use std::path::Path;

use serde_json::{Value, json};
use wasmcloud::control::{
    Answered, AskError, Call, Client, Command, RunSchedule, SocketPath, StatusReply,
};

use super::{Returned, in_a_shell};
use crate::cli::CallArgs;
use crate::failure::Failure;
use crate::ui::{Ui, printable, table};

/// Why nothing was asked, or not answered.
pub(super) enum NotAsked {
    /// No host was found.
    NoHost(Failure),
    /// Anything else.
    Other(Failure),
}

impl NotAsked {
    /// What to tell. `guess` is a word that was taken for a workload because nothing else is called so.
    pub(super) fn explain(self, guess: Option<&str>) -> Failure {
        match (self, guess) {
            (Self::NoHost(failure), Some(guess)) => failure.more_hint(&format!(
                "; `{guess}` is taken for a workload, as nothing here exports a function of that name"
            )),
            (Self::NoHost(failure) | Self::Other(failure), _) => failure,
        }
    }
}

impl From<Failure> for NotAsked {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

pub(super) async fn call(
    args: &CallArgs,
    workload: String,
    export: String,
    values: Vec<String>,
) -> Result<Returned, NotAsked> {
    let call = Call {
        workload,
        component: args.component.clone(),
        function: export,
        args: values,
    };
    ask(args.host.as_deref(), Command::Call(call)).await
}

pub(super) async fn run_schedule(
    args: &CallArgs,
    workload: String,
    schedule: String,
) -> Result<Returned, NotAsked> {
    let run = RunSchedule { workload, schedule };
    ask(args.host.as_deref(), Command::RunSchedule(run)).await
}

async fn ask(host: Option<&Path>, command: Command) -> Result<Returned, NotAsked> {
    match answer(host, command).await? {
        Answered::Answer { wave, result, err } => Ok(Returned { wave, result, err }),
        Answered::Status(_) | Answered::Error(_) => Err(something_else()),
    }
}

async fn answer(host: Option<&Path>, command: Command) -> Result<Answered, NotAsked> {
    let socket = find(host).map_err(NotAsked::NoHost)?;
    let mut client = Client::connect(&socket)
        .await
        .map_err(|error| cannot_ask(&socket, error))?;
    let answer = client.ask(command).await;
    Ok(answer.map_err(|error| cannot_ask(&socket, error))?)
}

fn something_else() -> NotAsked {
    Failure::new("the host answered something else than was asked").into()
}

/// The socket of the host that is meant.
fn find(host: Option<&Path>) -> Result<SocketPath, Failure> {
    if let Some(path) = host {
        return SocketPath::find(path).ok_or_else(|| {
            Failure::new(format!("no host that runs is found at {}", path.display())).hint(
                "give the `--data-dir` of `wasmcloud run`, or the folder of a project that `wash dev` serves",
            )
        });
    }
    let here = std::env::current_dir()
        .map_err(|error| Failure::new(format!("the current folder is not there: {error}")))?;
    here.ancestors().find_map(SocketPath::find).ok_or_else(|| {
        Failure::new("no `wash dev` runs in this folder or one around it")
            .hint("start it, or name the data folder of a `wasmcloud run` with `--host`")
    })
}

fn cannot_ask(socket: &SocketPath, error: AskError) -> Failure {
    let at = socket.path().display();
    match error {
        AskError::Refused(problem) => {
            let failure = Failure::new(problem.message);
            match in_a_shell(problem.hint) {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        }
        AskError::Connect(reason) => Failure::new(format!("cannot ask the host at {at}: {reason}"))
            .hint("it may have ended; only the user that started it may ask it"),
        AskError::Gone | AskError::Odd(_) => Failure::new(format!("{error} ({at})")),
    }
}

pub(super) async fn status(host: Option<&Path>, ui: &Ui) -> Result<(), NotAsked> {
    let Answered::Status(status) = answer(host, Command::Status).await? else {
        return Err(something_else());
    };
    Ok(ui.result(
        || json!({"http": status.http, "workloads": status.workloads}),
        || text(&status),
    )?)
}

fn text(status: &StatusReply) -> String {
    let field = |value: &Value, name: &str| -> String {
        match &value[name] {
            Value::String(text) => printable(text).into_owned(),
            Value::Null => String::new(),
            other => other.to_string(),
        }
    };
    let mut text = match status.http {
        Some(http) => format!("http://{http}/\n\n"),
        None => String::new(),
    };
    let mut rows = vec![["WORKLOAD", "STATE", ""].map(str::to_owned).to_vec()];
    let mut schedules = vec![
        ["SCHEDULE", "CALLS", "NEXT", "LAST", "OUTCOME"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for workload in &status.workloads {
        let name = format!(
            "{}/{}",
            field(workload, "namespace"),
            field(workload, "name")
        );
        let troubles = workload["troubles"].as_array().into_iter().flatten();
        let troubles = troubles.filter_map(|it| Some(printable(it.as_str()?).into_owned()));
        let mut told = vec![field(workload, "message")];
        told.extend(troubles);
        told.retain(|it| !it.is_empty());
        let mut told = told.into_iter();
        let state = field(workload, "state");
        rows.push(vec![name.clone(), state, told.next().unwrap_or_default()]);
        rows.extend(told.map(|more| vec![String::new(), String::new(), more]));
        for schedule in workload["schedules"].as_array().into_iter().flatten() {
            let calls = format!(
                "{} {}",
                field(schedule, "component"),
                field(schedule, "function")
            );
            let last = &schedule["last"];
            let outcome = match (&schedule["running"], field(last, "reason")) {
                (Value::Number(running), _) if running.as_u64() > Some(0) => "running".to_owned(),
                (_, reason) if reason.is_empty() => field(last, "outcome"),
                (_, reason) => format!("{}: {reason}", field(last, "outcome")),
            };
            let next = match schedule["suspended"].as_bool() {
                Some(true) => "suspended".to_owned(),
                _ => field(schedule, "next"),
            };
            schedules.push(vec![
                format!("{name} {}", field(schedule, "name")),
                calls,
                next,
                field(last, "started"),
                outcome,
            ]);
        }
    }
    text.push_str(&table(&rows));
    if schedules.len() > 1 {
        text.push_str(&format!("\n\n{}", table(&schedules)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_what_is_away() {
        let status = StatusReply {
            http: None,
            workloads: vec![
                json!({"namespace": "default", "name": "shop", "state": "running", "troubles": [
                    "blobstore: s3 at `s3:9000`: it cannot be reached",
                    "keyvalue `carts`: redis at `cache:6379`: it\u{1b} cannot be reached",
                ]}),
            ],
        };
        let wanted = format!(
            "WORKLOAD      STATE\n\
             default/shop  running  blobstore: s3 at `s3:9000`: it cannot be reached\n\
             {:23}keyvalue `carts`: redis at `cache:6379`: it\\u{{1b}} cannot be reached",
            ""
        );
        assert_eq!(text(&status), wanted);
    }

    #[test]
    fn people_see_workloads_and_schedules() {
        let status = StatusReply {
            http: "127.0.0.1:8000".parse().ok(),
            workloads: vec![
                json!({"namespace": "default", "name": "shop", "state": "running", "schedules": [
                    {"name": "tidy", "component": "jobs", "function": "tidy", "next": "soon", "running": 0, "suspended": false,
                     "last": {"started": "then", "tookMs": 3, "outcome": "failed", "reason": "it\u{1b} trapped"}},
                ]}),
                json!({"namespace": "default", "name": "old", "state": "failed", "message": "no file"}),
            ],
        };
        let wanted = "http://127.0.0.1:8000/\n\n\
                      WORKLOAD      STATE\n\
                      default/shop  running\n\
                      default/old   failed   no file\n\n\
                      SCHEDULE           CALLS      NEXT  LAST  OUTCOME\n\
                      default/shop tidy  jobs tidy  soon  then  failed: it\\u{1b} trapped";
        assert_eq!(text(&status), wanted);
    }
}
