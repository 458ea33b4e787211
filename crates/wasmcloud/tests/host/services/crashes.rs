//! Services that crash: they come back in a fresh store, later each time, and not for ever.

use super::*;

fn reason(error: &StartError) -> String {
    error.to_string()
}

/// Whatever the guest does; the tests of this file have one each.
#[tokio::test]
pub(crate) async fn serve_p2() {
    for (mode, wanted) in [
        ("error", "`run` returned an error"),
        ("exit", "it exited with status 1"),
        ("trap", "unreachable"),
        ("hoard", "memory"),
    ] {
        let host = host().await;
        let spec = service(test_guests::SERVE_P2, mode, 0);
        // It may be up before it crashes, or not.
        let told = match host.try_run("one", &spec).await {
            Err(error) => reason(&error),
            Ok(_) => {
                host.reaches("one", WorkloadState::Failed).await;
                host.status("one").await.unwrap().message.unwrap()
            }
        };
        assert!(told.contains(wanted), "{mode}: {told}");
        assert!(told.contains("maxRestarts"), "{mode}: {told}");
    }
}

#[tokio::test]
async fn a_service_that_crashes_is_started_again_as_often_as_it_may_be() {
    let host = host().await;
    let spec = service(test_guests::SERVE_P2, "trap", 3);
    host.run("one", &spec).await;
    host.reaches("one", WorkloadState::Failed).await;
    let ups = host.said(4).await;
    let ups = ups.iter().filter(|said| *said == "up").count();
    assert_eq!(ups, 4, "the first start and three more");
    let told = host.status("one").await.unwrap().message.unwrap();
    assert!(told.contains("(`maxRestarts`: 3)"), "{told}");
    // Whoever looks only now, when nothing of it is left, still learns what became of the service.
    let service = host.service("one").await;
    assert_eq!((service.state, service.restarts), (ServiceState::Failed, 3));
    assert_eq!(service.reason.unwrap(), told);
}

/// A host on which nothing counts as a row: a service that was up for no time at all has been well.
#[tokio::test]
async fn once_it_has_been_well_its_restarts_count_from_the_beginning() {
    let host = host_with(2, |config| config.restarts.healthy = Duration::ZERO).await;
    host.run("one", &service(test_guests::SERVE_P2, "trap", 1))
        .await;
    // Far more often than its budget.
    host.said(10).await;
    assert_ne!(
        host.status("one").await.unwrap().state,
        WorkloadState::Failed
    );
    host.stop("one").await;
}

#[tokio::test]
async fn while_it_waits_its_status_says_why_and_a_stop_does_not_wait() {
    let host = host_with(2, |config| {
        config.restarts.first = Duration::from_secs(3600);
        config.restarts.longest = config.restarts.first;
    })
    .await;
    let spec = beside(spec([], [http()]), test_guests::SERVE_P3, "", 5);
    host.run("one", &spec).await;
    assert_eq!(host.get("/trap").await.status, 500);
    let service = host.service_is("one", ServiceState::Restarting).await;
    assert!(service.reason.unwrap().contains("unreachable"));
    let answer = host.get("/count").await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.body.contains("not up"), "{}", answer.body);
    host.stop("one").await;
}
