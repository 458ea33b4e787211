//! What a service calls: components that stay stateless, each call on an instance of its own.

use super::*;
use wasmcloud::engine::plan::PlannedKind;

fn calling(mode: &str) -> Value {
    beside(spec([], []), test_guests::SERVE_P2, mode, 0)
}

#[tokio::test]
async fn components_stay_stateless_although_their_caller_lives_on() {
    let host = host().await;
    let status = host.run("one", &calling("calls")).await;
    let plan = status.plan.unwrap();
    let kinds = plan.links.iter().filter(|link| link.to == "back");
    assert!(
        kinds.clone().count() == 2 && kinds.clone().all(|link| link.kind == PlannedKind::Isolated)
    );
    // A failure of the callee is an error for the call, not the end of the service.
    assert_eq!(
        host.said(4).await,
        ["up", "counts [1, 1, 1]", "told true", "sum 3"]
    );
    assert_eq!(host.service("one").await.state, ServiceState::Running);
}

#[tokio::test]
async fn a_link_can_ask_for_less_distance() {
    let host = host().await;
    let mut spec = calling("calls");
    spec["links"] = json!([
        { "from": "service", "import": "test:cross/faults", "to": "back", "kind": "fused" },
    ]);
    // The trap of a fused callee is the caller's.
    let _ = host.try_run("one", &spec).await;
    host.reaches("one", WorkloadState::Failed).await;
    assert_eq!(host.said(2).await[..2], ["up", "counts [1, 2, 3]"]);
}

#[tokio::test]
async fn a_failure_that_cannot_be_told_ends_the_caller_and_the_reason_says_so() {
    let host = host().await;
    let told = match host.try_run("one", &calling("trapped")).await {
        Err(error) => error.to_string(),
        Ok(_) => {
            host.reaches("one", WorkloadState::Failed).await;
            host.status("one").await.unwrap().message.unwrap()
        }
    };
    assert!(told.contains("`back`") && told.contains("trap"), "{told}");
}

#[tokio::test]
async fn a_pool_serves_a_service_as_well() {
    let host = host().await;
    let mut spec = calling("calls");
    spec["components"][0]["poolSize"] = json!(1);
    host.run("one", &spec).await;
    assert_eq!(host.said(2).await[..2], ["up", "counts [1, 2, 3]"]);
}
