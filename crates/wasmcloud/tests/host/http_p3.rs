//! The WASI 0.3 handler.

use crate::stories::{P3, tell};
use crate::support::TestHost;

tell!(P3:
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
tell!(threaded P3:
    misbehaviour::{a_guest_that_spins_does_not_stall_its_neighbours}
    versions::{a_hundred_streams_share_a_connection}
);

/// What the standard library prints goes through WASI 0.2, beside the 0.3 of the program itself.
#[tokio::test]
async fn lines_of_both_versions_of_wasi_come_out() {
    let host = TestHost::start().await;
    host.run("logs", &P3.spec()).await;
    host.get("/log").await;
    let lines = host.lines(4).await;
    assert!(
        lines.iter().any(|line| line.text == "std line"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn an_error_code_is_an_answer_of_the_hosts() {
    let host = TestHost::start().await;
    host.run("error", &P3.spec()).await;
    let answer = host.get("/error").await;
    assert_eq!(answer.status, 500);
    for wanted in ["component `api`", "InternalError", "told to fail"] {
        assert!(answer.body.contains(wanted), "{}", answer.body);
    }
    assert_eq!(host.get("/hello").await.body, P3.hello);
}
