//! Components that call each other across stores: values cross, failures are the caller's to see, and calls overlap.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::{Barrier, OwnedSemaphorePermit};
use wasmcloud::capability::direct::{Direct, DirectError};
use wasmcloud::plugin::{CallError, Import, Offer, Plugin, StoreData};
use wasmtime::component::{ComponentNamedList, Lift, LinkerInstance, Lower};

use crate::support::{TestHost, component, id, spec, within};

/// Two who come meet; one who comes alone waits.
pub(crate) struct Meeting(pub(crate) Arc<Barrier>);

#[async_trait]
impl Plugin for Meeting {
    fn id(&self) -> &'static str {
        "meeting"
    }

    fn offers(&self) -> Vec<Offer> {
        vec![Offer::shared("test:cross/meeting".parse().unwrap())]
    }

    fn link(
        &self,
        _: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        let barrier = Arc::clone(&self.0);
        linker.func_wrap_concurrent("arrive", move |_, (): ()| {
            let barrier = Arc::clone(&barrier);
            Box::pin(async move {
                barrier.wait().await;
                Ok(())
            })
        })
    }
}

/// A host that lets a test call one interface of its workloads.
async fn host_with(interface: &str) -> (TestHost, Direct) {
    let direct = Direct::new(interface.parse().unwrap());
    let plugin = direct.clone();
    let host = TestHost::with(|config| {
        config.plugins.push(Arc::new(plugin));
        config
            .plugins
            .push(Arc::new(Meeting(Arc::new(Barrier::new(2)))));
    })
    .await;
    (host, direct)
}

fn granted(interface: &str) -> Value {
    json!({ "namespace": "test", "package": "cross", "interfaces": [interface] })
}

fn isolated(mut spec: Value, links: &[(&str, &str, &str)]) -> Value {
    let links = links.iter().map(|(from, import, to)| {
        json!({ "from": from, "import": import, "to": to, "kind": "isolated" })
    });
    spec["links"] = links.collect();
    spec
}

/// Front and back, each in stores of its own; the back with further fields.
fn pair(fields: Value) -> Value {
    let mut back = component("back", test_guests::CROSS_BACK);
    for (name, value) in fields.as_object().unwrap() {
        back[name] = value.clone();
    }
    let front = component("front", test_guests::CROSS_FRONT);
    isolated(
        spec([front, back], [granted("drive")]),
        &[
            ("front", "test:cross/values", "back"),
            ("front", "test:cross/faults", "back"),
        ],
    )
}

async fn host_with_pair(fields: Value) -> (TestHost, Direct) {
    let (host, direct) = host_with("test:cross/drive").await;
    host.run("pair", &pair(fields)).await;
    (host, direct)
}

/// Calls the front.
async fn call<P, R>(direct: &Direct, function: &str, params: P) -> Result<R, DirectError>
where
    P: ComponentNamedList + Lower + Send + Sync + 'static,
    R: ComponentNamedList + Lift + Send + Sync + 'static,
{
    within(direct.call(&id("pair"), function, params)).await
}

/// Which kinds of values came back wrong.
async fn wrong(direct: &Direct) -> String {
    let (wrong,) = call(direct, "values", ()).await.unwrap();
    wrong
}

/// What the caller is told of a failed call.
async fn told(direct: &Direct, fault: &str) -> String {
    let (told,) = call(direct, "fault", (fault.to_owned(),)).await.unwrap();
    told
}

/// What the caller traps of.
async fn trap(direct: &Direct, fault: &str) -> String {
    match call::<_, (String,)>(direct, "fault", (fault.to_owned(),)).await {
        Err(DirectError::Call(CallError::Trap(error))) => error.root_cause().to_string(),
        other => panic!("{other:?}"),
    }
}

async fn counts(direct: &Direct, times: u32) -> Vec<u32> {
    let (counts,) = call(direct, "counts", (times,)).await.unwrap();
    counts
}

#[tokio::test]
pub(crate) async fn cross_front() {
    let (host, direct) = host_with_pair(json!({})).await;
    let plan = host.status("pair").await.unwrap().plan.unwrap();
    assert_eq!(plan.entries[0].members.len(), 1);
    assert_eq!(plan.callees.len(), 1);
    assert_eq!(wrong(&direct).await, "");
    host.stop_finds_nothing_running("pair").await;
}

/// The same two, fused: what the callers of isolated ones see is no different.
#[tokio::test]
pub(crate) async fn cross_back() {
    let (host, direct) = host_with("test:cross/drive").await;
    let mut spec = pair(json!({}));
    spec["links"] = json!([]);
    host.run("pair", &spec).await;
    assert_eq!(wrong(&direct).await, "");
}

#[tokio::test]
async fn megabytes_cross() {
    let (_host, direct) = host_with_pair(json!({})).await;
    let (right,): (u32,) = call(&direct, "big", (8_u32 << 20,)).await.unwrap();
    assert_eq!(right, 8 << 20);
}

/// Takes the workload's room for what is on its way, but for so many KiB.
fn all_but(direct: &Direct, left: u32) -> OwnedSemaphorePermit {
    let entry = direct.entry(&id("pair")).unwrap();
    let crossing = Arc::clone(&entry.callee.context().workload.crossing);
    let all = u32::try_from(crossing.available_permits()).unwrap();
    assert_eq!(all, 256 << 10, "nothing is on its way yet");
    crossing.try_acquire_many_owned(all - left).unwrap()
}

#[tokio::test]
async fn more_than_there_is_room_for_does_not_cross() {
    let (_host, direct) = host_with_pair(json!({})).await;
    let taken = all_but(&direct, 1 << 10);
    assert_eq!(wrong(&direct).await, "");
    match call::<_, (u32,)>(&direct, "big", (8_u32 << 20,)).await {
        Err(DirectError::Call(CallError::Trap(error))) => assert_eq!(
            error.root_cause().to_string(),
            "component `front` called `reverse` of component `back`, which failed: there is no room for the 8193 KiB of its \
             parameters: at most 262144 KiB of a workload may be on their way across isolated links at once"
        ),
        other => panic!("{other:?}"),
    }
    drop(taken);
    let (right,): (u32,) = call(&direct, "big", (8_u32 << 20,)).await.unwrap();
    assert_eq!(right, 8 << 20);
}

#[tokio::test]
async fn a_call_that_finds_no_room_is_an_error_value_where_there_is_one() {
    let (_host, direct) = host_with_pair(json!({})).await;
    let taken = all_but(&direct, 0);
    let reason = "there is no room for the 1 KiB of its parameters: at most 262144 KiB of a workload may be on their way across \
                  isolated links at once";
    assert_eq!(told(&direct, "trap-text").await, format!("Err({reason:?})"));
    assert_eq!(told(&direct, "trap-case").await, format!("other {reason}"));
    drop(taken);
    assert_eq!(wrong(&direct).await, "");
    drop(all_but(&direct, 0));
}

#[tokio::test]
async fn a_fresh_callee_forgets_between_calls() {
    let (_host, direct) = host_with_pair(json!({})).await;
    assert_eq!(counts(&direct, 3).await, [1, 1, 1]);
    assert_eq!(counts(&direct, 2).await, [1, 1]);
}

#[tokio::test]
async fn a_pooled_callee_remembers_until_it_is_used_up() {
    let (_host, direct) = host_with_pair(json!({"poolSize": 1, "maxInvocations": 3})).await;
    assert_eq!(counts(&direct, 4).await, [1, 2, 3, 1]);
    assert_eq!(counts(&direct, 1).await, [2]);
}

#[tokio::test]
async fn a_trap_in_the_callee_is_an_error_value_where_there_is_one() {
    let (_host, direct) = host_with_pair(json!({})).await;
    assert_eq!(told(&direct, "trap-silently").await, "Err(())");
    let reason = "the component trapped: wasm trap: wasm `unreachable` instruction executed";
    assert_eq!(told(&direct, "trap-text").await, format!("Err({reason:?})"));
    assert_eq!(told(&direct, "trap-case").await, format!("other {reason}"));
}

#[tokio::test]
async fn a_trap_in_the_callee_is_a_trap_of_the_caller_where_there_is_none() {
    let (_host, direct) = host_with_pair(json!({})).await;
    for fault in ["trap", "trap-odd"] {
        assert_eq!(
            trap(&direct, fault).await,
            format!(
                "component `front` called `{fault}` of component `back`, which failed: the component trapped: wasm trap: wasm \
                 `unreachable` instruction executed"
            )
        );
    }
}

/// The limits of the callee are its own: its caller lives to tell.
#[tokio::test]
async fn a_callee_that_takes_too_long_is_an_error_of_the_call() {
    let limited = json!({"localResources": {"timeoutMs": 50}});
    let (_host, direct) = host_with_pair(limited).await;
    assert_eq!(
        told(&direct, "spin").await,
        "Err(\"the invocation took longer than its 50 ms (`timeoutMs`)\")"
    );
}

#[tokio::test]
async fn a_caller_who_is_stopped_takes_the_callee_along() {
    let (host, direct) = host_with_pair(json!({})).await;
    let spinning = direct.clone();
    let spinning = tokio::spawn(async move {
        let params = ("spin".to_owned(),);
        call::<_, (String,)>(&spinning, "fault", params).await
    });
    // Two invocations: the caller's and the callee's.
    host.instances("pair", 2).await;
    spinning.abort();
    host.instances("pair", 0).await;
}

/// Court and envoys in stores of their own, the envoys with further fields.
fn court(fields: Value) -> Value {
    let mut envoy = component("envoy", test_guests::CROSS_ENVOY);
    for (name, value) in fields.as_object().unwrap() {
        envoy[name] = value.clone();
    }
    let court = component("court", test_guests::CROSS_COURT);
    isolated(
        spec([court, envoy], [granted("court")]),
        &[("court", "test:cross/envoy", "envoy")],
    )
}

async fn gather(direct: &Direct) -> String {
    let entry = direct.entry(&id("court")).unwrap();
    let index = entry.function("gather").unwrap();
    let gathered = entry.callee.invoke_concurrent(
        move |accessor, instance| {
            Box::pin(async move {
                let gather = accessor
                    .with(|store| instance.get_typed_func::<(), (String,)>(store, index))?;
                Ok(gather.call_concurrent(accessor, ()).await?.0)
            })
        },
        |_| {},
    );
    within(gathered).await.unwrap()
}

/// Neither envoy comes back unless both are there at once.
#[tokio::test]
pub(crate) async fn cross_court() {
    let (host, direct) = host_with("test:cross/court").await;
    host.run("court", &court(json!({}))).await;
    assert_eq!(gather(&direct).await, "one was there, two was there");
    host.stop_finds_nothing_running("court").await;
}

/// One instance serves both.
#[tokio::test]
pub(crate) async fn cross_envoy() {
    let (host, direct) = host_with("test:cross/court").await;
    let shared = json!({"poolSize": 1, "maxConcurrency": 2});
    host.run("court", &court(shared)).await;
    assert_eq!(gather(&direct).await, "one was there, two was there");
    assert_eq!(gather(&direct).await, "one was there, two was there");
    host.stop_finds_nothing_running("court").await;
}

#[tokio::test]
async fn a_link_that_streams_would_have_to_cross_is_refused() {
    let host = TestHost::start().await;
    let user = component("user", test_guests::STREAM_USER);
    let provider = component("provider", test_guests::STREAM_PROVIDER);
    let http = json!({ "namespace": "wasi", "package": "http", "interfaces": ["handler"] });
    let spec = isolated(
        spec([user, provider], [http]),
        &[("user", "test:streams/source", "provider")],
    );
    let error = host.try_run("streams", &spec).await.unwrap_err();
    insta::assert_snapshot!(error, @r"
    function `numbers` of `test:streams/source` returns a stream, which cannot cross the isolated link of component `user`
    hint: use `kind: fused`, or change the interface so that only plain values cross
    ");
}

#[tokio::test]
async fn a_link_that_resources_would_have_to_cross_is_refused() {
    let host = TestHost::start().await;
    let user = component("user", test_guests::RES_USER);
    let provider = component("provider", test_guests::RES_PROVIDER);
    let spec = isolated(
        spec([user, provider], [crate::support::http()]),
        &[("user", "test:resources/counters", "provider")],
    );
    let error = host.try_run("resources", &spec).await.unwrap_err();
    insta::assert_snapshot!(error, @r"
    function `[constructor]counter` of `test:resources/counters` returns a resource (`counter`), which cannot cross the isolated link of component `user`
    hint: use `kind: fused`, or change the interface so that only plain values cross
    ");
}
