//! The WASI 0.2 handler.

use crate::stories::{P2, tell};
use crate::support::{TestHost, within};

tell!(P2:
    exchange::{
        hello, echo_streams_both_ways_over_http_1, echo_streams_both_ways_over_http_2,
        an_answer_may_come_before_the_request_is_whole, a_guest_sees_the_request,
        trailers_come_after_the_body, trailers_are_echoed, events_come_one_by_one,
        statuses_pass_through, answers_without_a_body_keep_the_connection_whole,
        an_interim_status_is_no_answer, a_client_that_waits_for_leave_gets_it,
    }
    surroundings::{
        the_environment_is_the_components_own, the_nearest_setting_wins, output_is_labelled,
        random_numbers_and_clocks_go_on, every_request_finds_a_fresh_instance,
    }
    denials::{
        requests_to_elsewhere_are_denied, a_denial_is_told_once, files_are_denied,
        sockets_lead_nowhere,
    }
    misbehaviour::{
        a_trap_is_explained_to_developers, a_trap_is_a_reference_to_the_log_elsewhere,
        a_trap_in_the_body_breaks_the_answer_off, a_guest_that_hangs_ends_with_its_client,
        a_guest_that_leaves_the_body_unread_ends_with_its_client,
        a_guest_ends_with_a_client_that_leaves_while_it_sends, a_body_without_end_ends_with_its_client,
        a_stream_that_is_reset_ends_its_guest_only,
    }
    versions::{pipelined_requests_are_answered_in_order, a_connection_serves_many_requests}
);
tell!(threaded P2:
    misbehaviour::{a_guest_that_spins_does_not_stall_its_neighbours}
    versions::{a_hundred_streams_share_a_connection}
);

/// What a guest printed last is not lost for want of a line feed.
#[tokio::test]
async fn a_line_without_an_end_comes_out_when_the_guest_is_gone() {
    let host = TestHost::start().await;
    host.run("logs", &P2.spec()).await;
    host.get("/partial-log").await;
    let lines = within(host.lines(1)).await;
    assert_eq!(
        (lines[0].text.as_str(), lines[0].source.as_str()),
        ("partial line", "stdout")
    );
}

#[tokio::test]
async fn a_guest_that_returns_without_an_answer_is_an_error() {
    let host = TestHost::start().await;
    host.run("mute", &P2.spec()).await;
    let answer = host.get("/no-response").await;
    assert_eq!(answer.status, 500);
    assert!(
        answer
            .body
            .starts_with("500 component `api` returned without an answer\n"),
        "{}",
        answer.body
    );
    assert_eq!(host.get("/hello").await.body, P2.hello);
}

#[tokio::test]
async fn all_settings_can_be_listed_each_with_the_value_that_counts() {
    let host = TestHost::start().await;
    let resources = serde_json::json!({ "config": { "b": "2", "a": "1" } });
    host.run("config", &P2.spec_with(resources, vec![])).await;
    assert_eq!(host.get("/config-all").await.body, "a=1\nb=2\n");
    host.stop("config").await;

    let resources = serde_json::json!({
        "config": { "b": "component", "c": "component", "d": "component" },
        "environment": { "config": { "c": "environment", "e": "environment" } },
    });
    let entry = serde_json::json!({
        "namespace": "wasi", "package": "config", "interfaces": ["store"],
        "config": { "a": "interface", "b": "interface", "c": "interface" },
    });
    host.run("merged", &P2.spec_with(resources, vec![entry]))
        .await;
    assert_eq!(
        host.get("/config-all").await.body,
        "a=interface\nb=component\nc=environment\nd=component\ne=environment\n"
    );
    // Variables are not made of settings.
    let variables = host.get("/env").await.body;
    assert_eq!(variables, "c=environment\ne=environment\n");
}
