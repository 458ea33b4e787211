//! Whole hosts under test: real guests behind the real HTTP server, on loopback. One binary, so that it is linked once.
//!
//! Every guest program has a module or a test of its own name here; one without does not compile (see the end of the file).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

mod attacks;
mod bench_capabilities;
mod big_body;
mod blobs;
mod calc;
mod calls;
mod cancellation;
mod component_plugins;
mod configuration;
mod control;
mod crews;
mod echo;
mod egress;
mod failed_messages;
mod fairness;
mod fetching;
mod files;
mod fused;
mod handlers;
mod http_limits;
mod http_p2;
mod http_p3;
mod isolated;
mod jetstream;
mod keyvalue;
mod leaks;
mod lifecycle;
mod limits;
mod messaging;
mod misdeeds;
mod outbound;
mod outbound_faults;
mod pools;
mod postgres;
mod replacement;
mod routes;
mod schedules;
mod secrets;
mod services;
mod sockets;
mod stories;
mod support;
mod tls;
mod volumes;
mod warm_leaks;

use bench_capabilities::{
    bench_blobs, bench_blobs_p3, bench_keyvalue, bench_keyvalue_p3, bench_messages,
    bench_messages_p3, bench_postgres, bench_postgres_p3,
};
use blobs::{blobs_p2, blobs_p3};
use calc::{calc_callee, calc_caller, calc_service};
use calls::{errands, errands_p3};
use component_plugins::{clerk, ledger, teller};
use echo::{net_drive, net_drive_p3, net_echo, net_echo_p3};
use egress::fetch_front;
use fused::{
    cycle_a, cycle_b, handler_and_run, id_back, id_front, mixed_front, mw, p1_module, res_provider,
    res_user, stream_provider, stream_user, unmet,
};
use isolated::{cross_back, cross_court, cross_envoy, cross_front};
use keyvalue::{keep_front, keep_p2, keep_p3};
use messaging::{send_labels, send_p2, send_p3, tell_p2, tell_p3};
use misdeeds::{hostile_p2, hostile_p3};
use postgres::{sql_p2, sql_p3};
use secrets::{secrets_back, secrets_front};
use services::{serve_p2, serve_p3};
use sockets::{net_p2, net_p3, net_wstd};
use tls::{tls_p2, tls_p3};
use volumes::{fs_back, fs_front, fs_p2, fs_p3};

macro_rules! assert_tested {
    ($guest:ident) => {
        #[expect(unused_imports, reason = "it only has to exist")]
        use self::$guest as _;
    };
}
test_guests::for_each_guest!(assert_tested);
