//! Services that answer HTTP requests on the one instance that runs.

use super::*;

/// A service with its handler.
fn answering(max_restarts: u64) -> Value {
    beside(
        spec([], [http()]),
        test_guests::SERVE_P3,
        "stay",
        max_restarts,
    )
}

/// All requests reach the one instance, while `run` runs on it.
#[tokio::test]
pub(crate) async fn serve_p3() {
    let host = host().await;
    host.run("one", &answering(0)).await;
    host.said(1).await;
    for count in 1..=5 {
        assert_eq!(host.get("/count").await.body, format!("{count} true"));
    }
    host.stop("one").await;
}

/// The guest is an ordinary handler; as a service it keeps its instance.
#[tokio::test]
async fn a_handler_alone_makes_a_service() {
    let host = host().await;
    let spec = beside(spec([], [http()]), test_guests::HTTP_P3, "", 0);
    host.run("one", &spec).await;
    for count in 1..=3 {
        assert_eq!(host.get("/count").await.body, format!("{count}\n"));
    }
    assert_eq!(host.service("one").await.state, ServiceState::Running);
    host.stop("one").await;
}

#[tokio::test]
async fn a_trap_ends_the_instance_and_the_next_one_answers() {
    let host = host().await;
    host.run("one", &answering(1)).await;
    assert_eq!(host.get("/count").await.body, "1 true");
    let answer = host.get("/trap").await;
    assert_eq!(answer.status, 500);
    assert!(answer.body.contains("unreachable"), "{}", answer.body);
    // The second instance says so, too.
    host.said(2).await;
    let service = host.service_is("one", ServiceState::Running).await;
    assert_eq!(service.restarts, 1);
    assert!(service.reason.unwrap().contains("unreachable"));
    // In a fresh store, the count begins again.
    assert_eq!(host.get("/count").await.body, "1 true");
}

#[tokio::test]
async fn a_client_that_leaves_does_not_end_it() {
    let host = host_with(3, |_| {}).await;
    host.run_neighbour().await;
    let mut spec = answering(0);
    spec["hostInterfaces"] = json!([http_at(json!({ "host": "one" }))]);
    host.run("one", &spec).await;
    // Its two envoys wait for a third.
    let waiting = host.begin("one", "/gather").await;
    host.uses("one", |usage| usage.invocations > 0).await;
    waiting.leave().await;
    assert_eq!(host.get_from("one", "/count").await.body, "1 true");
    assert_eq!(host.service("one").await.state, ServiceState::Running);
}

/// Two envoys of one service meet, so their calls overlap.
#[tokio::test]
async fn calls_of_a_service_overlap() {
    let host = host().await;
    host.run("one", &answering(0)).await;
    let answer = host.get("/gather").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(
        answer.body.contains("one") && answer.body.contains("two"),
        "{}",
        answer.body
    );
}

/// What it did last is done; then it is not wanted any more.
#[tokio::test]
async fn a_service_that_exits_well_has_completed() {
    let host = host().await;
    host.run("one", &answering(5)).await;
    host.get("/exit").await;
    host.service_is("one", ServiceState::Completed).await;
    assert_eq!(host.get("/count").await.status, 503);
}
