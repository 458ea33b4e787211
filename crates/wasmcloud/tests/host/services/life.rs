//! How a service begins and ends.

use super::*;

#[tokio::test]
async fn a_workload_is_started_when_its_service_is_up() {
    let host = host().await;
    let status = host
        .run("one", &service(test_guests::SERVE_P2, "stay", 0))
        .await;
    assert_eq!(status.state, WorkloadState::Running);
    let service = host.service("one").await;
    assert_eq!(
        (service.state, service.restarts),
        (ServiceState::Running, 0)
    );
    assert_eq!(service.reason, None);
    host.said(1).await;
    let lines = host.lines(1).await;
    assert_eq!(
        (lines[0].component.as_str(), lines[0].text.as_str()),
        ("service", "up")
    );
}

/// Its standard input ends; the grace of this host has no end, so it must have noticed.
#[tokio::test]
async fn a_service_is_asked_to_end_and_does() {
    for image in [test_guests::SERVE_P2, test_guests::SERVE_P3] {
        let host = host().await;
        host.run("one", &service(image, "stay", 0)).await;
        host.said(1).await;
        host.stop("one").await;
        let said = host.said(2).await;
        assert!(said[1].starts_with("farewell"), "{said:?}");
        assert!(host.status("one").await.is_none());
    }
}

/// It looks at nothing that would tell it, so there is nothing to wait for.
#[tokio::test]
async fn a_service_that_is_deaf_ends_all_the_same() {
    let host = host().await;
    host.run("one", &service(test_guests::SERVE_P2, "deaf", 0))
        .await;
    host.said(1).await;
    host.stop("one").await;
    assert!(host.status("one").await.is_none());
}

#[tokio::test]
async fn a_workload_of_nothing_but_a_service_completes_with_it() {
    let host = host().await;
    host.run("one", &service(test_guests::SERVE_P2, "complete", 0))
        .await;
    host.reaches("one", WorkloadState::Completed).await;
    // It holds nothing any more, and how the service ended is still known.
    let service = host.service("one").await;
    assert_eq!(
        (service.state, service.reason),
        (ServiceState::Completed, None)
    );
}

/// The components go on without it.
#[tokio::test]
async fn a_workload_that_is_called_as_well_outlives_its_service() {
    let host = host().await;
    let components = spec([component("api", test_guests::HTTP_P2)], [http()]);
    host.run(
        "one",
        &beside(components, test_guests::SERVE_P2, "complete", 0),
    )
    .await;
    host.service_is("one", ServiceState::Completed).await;
    assert_eq!(host.get("/hello").await.body, "Hello from WASI 0.2\n");
    let status = host.status("one").await.unwrap();
    assert_eq!(status.state, WorkloadState::Running);
}

#[tokio::test]
async fn a_service_that_spins_neither_stops_neighbours_nor_its_own_stop() {
    let host = host().await;
    host.run_neighbour().await;
    host.run("one", &service(test_guests::SERVE_P2, "spin", 0))
        .await;
    host.said(1).await;
    for _ in 0..20 {
        host.neighbour_is_served().await;
    }
    host.stop("one").await;
    host.neighbour_is_served().await;
}

#[tokio::test]
async fn a_service_takes_the_place_of_the_one_before() {
    let host = host().await;
    host.run("old", &service(test_guests::SERVE_P2, "stay", 0))
        .await;
    host.said(1).await;
    host.replace("old", "new", &service(test_guests::SERVE_P2, "stay", 0))
        .await
        .unwrap();
    // The old one was asked to end.
    let said = host.said(3).await;
    assert_eq!(
        said.iter().filter(|said| *said == "up").count(),
        2,
        "{said:?}"
    );
    host.stop_is_over("old").await;
    assert_eq!(host.service("new").await.state, ServiceState::Running);
}

#[tokio::test]
async fn what_is_no_service_is_refused() {
    let host = host().await;
    let idle = service(test_guests::CROSS_BACK, "", 0);
    let error = host.try_run("idle", &idle).await.unwrap_err();
    assert_eq!(error.places()[0].path, "spec.service");
    let told = error.to_string();
    assert!(
        told.contains("would do nothing: it exports `test:cross/"),
        "{told}"
    );
    assert!(told.contains("wasi:cli/run"), "{told}");

    let handler = service(test_guests::HTTP_P3, "", 0);
    let told = host
        .try_run("ungranted", &handler)
        .await
        .unwrap_err()
        .to_string();
    assert!(told.contains("package: http"), "{told}");
}
