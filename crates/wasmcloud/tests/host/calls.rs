//! Functions of running workloads, called by whoever has the host in hand, with text.

use wasmcloud::host::{CallFailed, CallRequest};
use wasmcloud::plugin::{Answer, CallError};

use crate::support::{TestHost, component, http, id, p2, spec, within};

/// A workload that serves HTTP, and errands that nothing else calls.
async fn host() -> TestHost {
    let host = TestHost::start().await;
    let components = [p2(), component("errands", test_guests::ERRANDS)];
    host.run("shop", &spec(components, [http()])).await;
    host
}

fn request(function: &str, args: &[&str]) -> CallRequest {
    CallRequest {
        workload: id("shop"),
        component: None,
        function: function.parse().unwrap(),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
    }
}

async fn call(host: &TestHost, function: &str, args: &[&str]) -> Result<Answer, CallFailed> {
    within(host.host.call(&request(function, args))).await
}

async fn wave(host: &TestHost, function: &str, args: &[&str]) -> String {
    let answer = call(host, function, args).await;
    answer.expect("the call returns").wave().to_owned()
}

/// The message and the hint.
async fn refused(host: &TestHost, function: &str, args: &[&str]) -> String {
    let error = call(host, function, args).await.unwrap_err();
    format!("{error}\nhint: {}", error.hint().unwrap_or_default())
}

/// Values of every kind go in and come out as text.
#[tokio::test]
pub(crate) async fn errands() {
    let host = host().await;
    assert_eq!(wave(&host, "sum", &["[1, -2, 44]"]).await, "43");
    assert_eq!(
        wave(&host, "greet", &["{name: \"Ada\", age: 36}"]).await,
        "\"hello Ada, 36\""
    );
    let all = ["circle(1.5)", "green", "{write}", "(7, 'x')", "some(true)"];
    assert_eq!(
        wave(&host, "same", &all).await,
        "(circle(1.5), green, {write}, (7, 'x'), some(true))"
    );
    assert_eq!(wave(&host, "note", &["\"said\""]).await, "");
    assert_eq!(host.lines(1).await[0].text, "said");
    host.stop_finds_nothing_running("shop").await;
}

#[tokio::test]
async fn a_result_is_told_to_tools_as_well() {
    let host = host().await;
    let good = call(&host, "divide", &["84", "2"]).await.unwrap();
    assert_eq!((good.wave(), good.is_err()), ("ok(42)", false));
    assert_eq!(good.json(), serde_json::json!({"ok": 42}));
    let bad = call(&host, "divide", &["-1", "0"]).await.unwrap();
    assert_eq!(
        (bad.wave(), bad.is_err()),
        ("err(\"-1 / 0 is no number\")", true)
    );
    let all = ["named(\"n\")", "red", "{read, write}", "(7, 'x')", "none"];
    let same = call(&host, "same", &all).await.unwrap();
    assert_eq!(
        same.json(),
        serde_json::json!([{"named": "n"}, "red", ["read", "write"], [7, "x"], null])
    );
}

#[tokio::test]
async fn functions_go_by_as_much_of_their_name_as_is_clear() {
    let host = host().await;
    for name in [
        "test:errands/desk@0.1.0#sum",
        "test:errands/desk@0.1.7#sum",
        "test:errands/desk#sum",
        "sum",
    ] {
        assert_eq!(wave(&host, name, &["[]"]).await, "0", "{name}");
    }
    assert_eq!(wave(&host, "tick", &[]).await, "1", "of the world itself");
    assert_eq!(
        refused(&host, "count", &[]).await,
        "`count` is several functions: `test:errands/desk@0.1.0#count`, `test:errands/annex@0.1.0#count`\n\
         hint: name the interface as well"
    );
}

/// Nothing of one call is seen by the next, unless the manifest asks for a pool.
#[tokio::test]
async fn each_call_has_an_instance_of_its_own() {
    let host = host().await;
    for _ in 0..2 {
        assert_eq!(wave(&host, "test:errands/desk#count", &[]).await, "1");
    }
    let mut pooled = component("errands", test_guests::ERRANDS);
    pooled["poolSize"] = 1.into();
    host.run(
        "other",
        &spec(
            [p2(), pooled],
            [crate::support::http_at(
                serde_json::json!({"path": "/other"}),
            )],
        ),
    )
    .await;
    let mut request = request("tick", &[]);
    request.workload = id("other");
    for wanted in ["1", "2"] {
        let answer = within(host.host.call(&request)).await.unwrap();
        assert_eq!(answer.wave(), wanted);
    }
    let usage = host.status("other").await.unwrap().usage.unwrap();
    let pool = usage
        .pools
        .iter()
        .find(|pool| pool.component.as_str() == "errands");
    assert!(pool.is_some(), "what is made for calls shows in the status");
}

#[tokio::test]
async fn names_and_arguments_that_make_no_sense_are_explained() {
    let host = host().await;
    let error = refused(&host, "summ", &[]).await;
    assert!(
        error.starts_with("no component exports `summ`\nhint: did you mean `sum`? exported here:"),
        "{error}"
    );
    assert!(
        error.contains("\n  test:errands/desk@0.1.0#greet: func(who: record { name: string, age: u32 }) -> string"),
        "{error}"
    );
    assert_eq!(
        refused(&host, "divide", &["1"]).await,
        "`test:errands/desk@0.1.0#divide` takes 2 arguments, found 1: \
         test:errands/desk@0.1.0#divide: func(a: s32, b: s32) -> result<s32, string>\n\
         hint: write them like -42 -42"
    );
    let error = refused(&host, "greet", &["Ada"]).await;
    assert!(error.starts_with("argument 1 of `test:errands/desk@0.1.0#greet`, `who`, is no record { name: string, age: u32 }: found `Ada`: "), "{error}");
    assert!(
        error.ends_with("hint: write it like {name: \"text\", age: 42}"),
        "{error}"
    );
    let error = refused(&host, "open", &[]).await;
    assert!(
        error.starts_with("`test:errands/desk@0.1.0#open` cannot be called from outside: its result is or holds a resource (`drawer`)"),
        "{error}"
    );
    let mut other = request("sum", &["[]"]);
    other.component = Some("errand".parse().unwrap());
    let error = within(host.host.call(&other)).await.unwrap_err();
    assert_eq!(error.hint().unwrap(), "did you mean `errands`?");
    other.component = Some("api".parse().unwrap());
    let error = within(host.host.call(&other)).await.unwrap_err();
    assert_eq!(error.to_string(), "component `api` does not export `sum`");
    other.workload = id("none");
    let error = within(host.host.call(&other)).await.unwrap_err();
    assert_eq!(error.to_string(), "no workload has the id `none`");
}

#[tokio::test]
async fn a_trap_ends_the_call_and_nothing_else() {
    let host = host().await;
    let error = call(&host, "fall", &[]).await.unwrap_err();
    assert!(
        matches!(
            error,
            CallFailed::Call {
                source: CallError::Trap(_),
                ..
            }
        ),
        "{error:?}"
    );
    assert!(
        error.in_full().contains("unreachable"),
        "{}",
        error.in_full()
    );
    assert_eq!(wave(&host, "sum", &["[1]"]).await, "1");
}

/// The limits of the component hold, and a caller who goes away ends the guest.
#[tokio::test]
async fn a_call_that_never_ends_is_ended() {
    let host = TestHost::start().await;
    let mut limited = component("errands", test_guests::ERRANDS);
    limited["localResources"]["timeoutMs"] = 50.into();
    host.run("shop", &spec([p2(), limited], [http()])).await;
    let error = call(&host, "spin", &[]).await.unwrap_err();
    assert!(
        error
            .in_full()
            .contains("took longer than its 50 ms (`timeoutMs`)"),
        "{}",
        error.in_full()
    );
    host.instances("shop", 0).await;
}

#[tokio::test]
async fn a_caller_who_goes_away_ends_the_guest() {
    let host = host().await;
    let spin = request("spin", &[]);
    {
        let call = host.host.call(&spin);
        tokio::pin!(call);
        tokio::select! {
            answer = &mut call => panic!("{answer:?}"),
            _ = host.lines(1) => {}
        }
    }
    // The grace of this host has no end: a guest that is left would keep the workload.
    host.stop_finds_nothing_running("shop").await;
}

/// Async functions, of an interface and of the world.
#[tokio::test]
pub(crate) async fn errands_p3() {
    let host = TestHost::start().await;
    let components = [p2(), component("post", test_guests::ERRANDS_P3)];
    host.run("shop", &spec(components, [http()])).await;
    assert_eq!(wave(&host, "double", &["21"]).await, "42");
    assert_eq!(wave(&host, "later", &["\"now\""]).await, "\"now, later\"");
    let (one, two) = tokio::join!(wave(&host, "double", &["1"]), wave(&host, "double", &["2"]));
    assert_eq!((one.as_str(), two.as_str()), ("2", "4"));
    host.stop_finds_nothing_running("shop").await;
}

/// What a component calls over its links answers it as it does when it is called in any other way.
#[tokio::test]
async fn a_called_component_has_its_links() {
    for kind in ["fused", "isolated"] {
        let host = TestHost::start().await;
        let components = [
            p2(),
            component("math", test_guests::CALC_CALLEE),
            component("drive", test_guests::CALC_CALLER),
        ];
        let mut spec = spec(components, [http()]);
        spec["links"] = serde_json::json!([
            {"from": "drive", "import": "bench:calc/math", "to": "math", "kind": kind},
        ]);
        host.run("shop", &spec).await;
        assert_eq!(wave(&host, "who", &[]).await, "\"hello caller\"", "{kind}");
        assert_eq!(wave(&host, "add", &["40", "2"]).await, "42", "{kind}");
        host.stop_finds_nothing_running("shop").await;
    }
}

/// Without a way in from outside, a workload does not start, but on a host that is there for calls only.
#[tokio::test]
async fn a_host_for_calls_only_lets_nobody_in() {
    let host = TestHost::with(|config| config.calls_only = true).await;
    let mut both = spec([p2(), component("errands", test_guests::ERRANDS)], [http()]);
    both["schedules"] = serde_json::json!([
        {"name": "often", "component": "errands", "function": "tick", "schedule": "* * * * * *"},
    ]);
    let status = host.run("shop", &both).await;
    assert!(status.plan.unwrap().entries.is_empty());
    assert_eq!(wave(&host, "sum", &["[5]"]).await, "5");
    assert!(host.status("shop").await.unwrap().schedules.is_empty());
}
