//! What schedules call, when they are due and when somebody asks for it.

use std::time::Duration;

use serde_json::{Value, json};
use wasmcloud::host::CallFailed;
use wasmcloud::plugin::{RunOutcome, ScheduleStatus};
use wasmcloud::workload::ScheduleName;

use crate::support::{Log, TestHost, component, http, id, p2, spec, within};

/// Long ago and far away: it is due, but not while a test runs.
const RARELY: &str = "0 0 29 2 *";

fn schedule(name: &str, function: Option<&str>, when: &str) -> Value {
    let mut schedule = json!({"name": name, "component": "errands", "schedule": when});
    if let Some(function) = function {
        schedule["function"] = function.into();
    }
    schedule
}

/// A workload that nothing calls but its schedules.
fn scheduled<const N: usize>(schedules: [Value; N]) -> Value {
    let mut spec = spec([component("errands", test_guests::ERRANDS)], []);
    spec["schedules"] = schedules.into_iter().collect();
    spec
}

fn name(name: &str) -> ScheduleName {
    name.parse().unwrap()
}

async fn only(host: &TestHost, workload: &str) -> ScheduleStatus {
    let status = host.status(workload).await.unwrap();
    let [schedule] = status.schedules.try_into().expect("one schedule");
    schedule
}

#[tokio::test]
async fn what_is_due_every_second_runs_again_and_again_on_fresh_instances() {
    let host = TestHost::start().await;
    let often = schedule("often", Some("tick"), "* * * * * *");
    let status = host.run("jobs", &scheduled([often])).await;
    let entry = &status.plan.unwrap().entries[0];
    assert_eq!(
        (entry.plugin.as_str(), entry.export.to_string()),
        ("schedule", "tick".to_owned())
    );
    let lines = host.lines(2).await;
    assert!(lines.iter().all(|line| line.text == "tick"), "{lines:?}");
    let settled = async {
        loop {
            let schedule = only(&host, "jobs").await;
            if let Some(last) = &schedule.last {
                return (schedule.clone(), last.clone());
            }
            tokio::task::yield_now().await;
        }
    };
    let (schedule, last) = within(settled).await;
    assert_eq!(last.outcome, RunOutcome::Ok);
    assert!(last.started.ends_with("+00:00[UTC]"), "{}", last.started);
    assert!(
        schedule.next.is_some() && schedule.runs >= 2,
        "{schedule:?}"
    );
    host.stop_finds_nothing_running("jobs").await;
}

#[tokio::test]
async fn somebody_may_ask_for_a_run_and_it_counts() {
    let host = TestHost::start().await;
    let mut sum = schedule("sum", Some("sum"), RARELY);
    sum["args"] = json!(["[40, 2]"]);
    sum["timeZone"] = json!("Europe/Berlin");
    sum["suspend"] = json!(true);
    host.run("jobs", &scheduled([sum])).await;
    let before = only(&host, "jobs").await;
    assert_eq!(
        (before.next, before.last, before.suspended),
        (None, None, true)
    );
    let answer = within(host.host.run_schedule(&id("jobs"), &name("sum"))).await;
    assert_eq!(answer.unwrap().wave(), "42");
    let after = only(&host, "jobs").await;
    assert_eq!((after.runs, after.running), (1, 0));
    let last = after.last.unwrap();
    assert_eq!(last.outcome, RunOutcome::Ok);
    assert!(
        last.started.ends_with("[Europe/Berlin]"),
        "{}",
        last.started
    );
    let error = within(host.host.run_schedule(&id("jobs"), &name("sun"))).await;
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), "the workload has no schedule `sun`");
    assert_eq!(error.hint().unwrap(), "did you mean `sum`?");
}

#[tokio::test]
async fn a_run_that_fails_is_told_in_the_status_and_the_log() {
    let log = Log::capture();
    let host = TestHost::start().await;
    let mut divide = schedule("divide", Some("divide"), RARELY);
    divide["args"] = json!(["1", "0"]);
    let fall = schedule("fall", Some("fall"), RARELY);
    host.run("jobs", &scheduled([divide, fall])).await;
    let divided = within(host.host.run_schedule(&id("jobs"), &name("divide"))).await;
    assert!(divided.unwrap().is_err());
    let fallen = within(host.host.run_schedule(&id("jobs"), &name("fall"))).await;
    assert!(matches!(fallen, Err(CallFailed::Call { .. })), "{fallen:?}");
    let schedules = host.status("jobs").await.unwrap().schedules;
    let outcomes: Vec<_> = schedules
        .into_iter()
        .map(|it| it.last.unwrap().outcome)
        .collect();
    assert_eq!(
        outcomes[0],
        RunOutcome::Failed("it returned err(\"1 / 0 is no number\")".to_owned())
    );
    assert!(
        matches!(&outcomes[1], RunOutcome::Failed(reason) if reason.starts_with("the component trapped")),
        "{outcomes:?}"
    );
    let log = log.text();
    assert!(
        log.contains("a scheduled run failed") && log.contains("schedule=divide"),
        "{log}"
    );
}

/// Who asked for a run and goes away ends it; so does the end of the workload.
#[tokio::test]
async fn a_run_ends_with_whoever_wanted_it() {
    let host = TestHost::start().await;
    let impatient = TestHost::with(|config| config.grace = Duration::ZERO).await;
    let spin = scheduled([schedule("spin", Some("spin"), RARELY)]);
    host.run("jobs", &spin).await;
    impatient.run("jobs", &spin).await;
    {
        let name = name("spin");
        let jobs = id("jobs");
        let run = host.host.run_schedule(&jobs, &name);
        tokio::pin!(run);
        tokio::select! {
            answer = &mut run => panic!("{answer:?}"),
            _ = host.lines(1) => {}
        }
        assert_eq!(only(&host, "jobs").await.running, 1);
    }
    let schedule = only(&host, "jobs").await;
    assert_eq!(schedule.running, 0);
    assert!(matches!(
        schedule.last.unwrap().outcome,
        RunOutcome::Ended(_)
    ));
    host.stop_finds_nothing_running("jobs").await;
    let (name, jobs) = (name("spin"), id("jobs"));
    let run = impatient.host.run_schedule(&jobs, &name);
    let stop = async {
        impatient.lines(1).await;
        impatient.stop("jobs").await
    };
    let (run, _) = within(futures::future::join(run, stop)).await;
    assert!(run.is_err());
}

/// WASI 0.2 and 0.3 commands, where the manifest names no function.
#[tokio::test]
async fn a_command_is_run_where_no_function_is_named() {
    let host = TestHost::start().await;
    let mut spec = spec([component("both", test_guests::HANDLER_AND_RUN)], []);
    spec["schedules"] = json!([{"name": "run", "component": "both", "schedule": RARELY}]);
    host.run("jobs", &spec).await;
    let answer = within(host.host.run_schedule(&id("jobs"), &name("run"))).await;
    assert_eq!(answer.unwrap().wave(), "ok");
    assert_eq!(host.lines(1).await[0].text, "ran");
}

#[tokio::test]
async fn a_new_version_keeps_what_is_known_of_a_schedule() {
    let host = TestHost::start().await;
    let spec = scheduled([schedule("tick", Some("tick"), RARELY)]);
    host.run("one", &spec).await;
    within(host.host.run_schedule(&id("one"), &name("tick")))
        .await
        .unwrap();
    host.replace("one", "two", &spec).await.unwrap();
    let schedule = only(&host, "two").await;
    assert_eq!(schedule.runs, 1);
    assert!(schedule.last.is_some());
}

/// Everything that is wrong is found before anything runs, each at its place.
#[tokio::test]
async fn what_is_wrong_is_told_at_its_place() {
    let host = TestHost::start().await;
    let error = host
        .try_run("jobs", &scheduled([
            schedule("when", Some("tick"), "61 * * * *"),
            json!({"name": "where", "component": "errands", "function": "tick", "schedule": "@daily", "timeZone": "Europe/Berlim"}),
        ]))
        .await
        .unwrap_err();
    let places: Vec<_> = error
        .places()
        .into_iter()
        .map(|it| (it.path, it.hint.unwrap_or_default()))
        .collect();
    assert_eq!(places[0].0, "spec.schedules.0.schedule");
    assert_eq!(
        places[1],
        (
            "spec.schedules.1.timeZone".to_owned(),
            "did you mean `Europe/Berlin`?".to_owned()
        )
    );
    let error = host
        .try_run("jobs", &scheduled([
            schedule("what", Some("tik"), RARELY),
            schedule("run", None, RARELY),
            json!({"name": "with", "component": "errands", "function": "divide", "args": ["1", "\"x\""], "schedule": RARELY}),
            schedule("few", Some("divide"), RARELY),
            schedule("which", Some("count"), RARELY),
            schedule("open", Some("open"), RARELY),
        ]))
        .await
        .unwrap_err();
    let told: Vec<_> = error
        .places()
        .into_iter()
        .map(|it| (it.path, it.message))
        .collect();
    let wanted = [
        (
            "spec.schedules.0.function",
            "schedule `what` calls `tik`, which component `errands` does not export",
        ),
        (
            "spec.schedules.1.function",
            "schedule `run` runs component `errands` as a command, but that does not export `wasi:cli/run`",
        ),
        (
            "spec.schedules.2.args.1",
            "schedule `with`: argument 2 of `test:errands/desk@0.1.0#divide`, `b`, is no s32: found `\"x\"`: ",
        ),
        (
            "spec.schedules.3.function",
            "schedule `few`: `test:errands/desk@0.1.0#divide` takes 2 arguments, found none",
        ),
        (
            "spec.schedules.4.function",
            "schedule `which` calls `count`, which is several functions of component `errands`",
        ),
        (
            "spec.schedules.5.function",
            "schedule `open`: `test:errands/desk@0.1.0#open` cannot be called from outside: ",
        ),
    ];
    assert_eq!(told.len(), wanted.len(), "{told:?}");
    for ((path, message), (wanted_path, wanted)) in told.iter().zip(wanted) {
        assert_eq!(path, wanted_path);
        assert!(message.starts_with(wanted), "{message}");
    }
}

/// A workload may serve and be scheduled.
#[tokio::test]
async fn schedules_stand_beside_other_ways_in() {
    let host = TestHost::start().await;
    let mut spec = spec([p2(), component("errands", test_guests::ERRANDS)], [http()]);
    spec["schedules"] = json!([schedule("tick", Some("tick"), RARELY)]);
    let status = host.run("jobs", &spec).await;
    assert_eq!(status.plan.unwrap().entries.len(), 2);
    assert_eq!(host.get("/hello").await.status, 200);
    host.stop_finds_nothing_running("jobs").await;
}
