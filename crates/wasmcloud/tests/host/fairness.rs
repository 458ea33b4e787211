//! One workload that takes all it can get, and others that get theirs all the same.

use std::time::Duration;

use serde_json::{Value, json};
use wasmcloud::engine::Allocation;

use crate::support::{BAD, GOOD, HOSTILE, Pending, TestHost, hostile};

async fn host(image: &str, instances: u32, waiting: usize, wait: Duration) -> TestHost {
    let host = TestHost::with(|config| {
        config.engine.allocation = Allocation::Pooled { instances };
        config.limits.waiting = waiting;
        config.limits.wait = wait;
    })
    .await;
    for name in [BAD, GOOD] {
        let spec = hostile(name, image, json!({}), &Value::Null);
        host.run(name, &spec).await;
    }
    host
}

const LONG: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(200);

async fn all_leave(pending: Vec<Pending>) {
    for pending in pending {
        pending.leave().await;
    }
}

/// Requests that hang, until as many are under way or wait.
async fn hang(host: &TestHost, count: usize) -> Vec<Pending> {
    let mut hanging = Vec::new();
    for nth in 1..=count {
        hanging.push(host.begin(BAD, "/sleep").await);
        host.instances(BAD, nth).await;
    }
    hanging
}

#[tokio::test]
async fn one_that_takes_all_it_can_get_leaves_instances_for_others() {
    for image in HOSTILE {
        let host = host(image, 8, 1000, LONG).await;
        let hanging = hang(&host, 40).await;
        for _ in 0..10 {
            assert_eq!(host.get_from(GOOD, "/hello").await.body, "hello\n");
        }
        // It has what it may have and no more: three for each that is free.
        assert_eq!(host.pool(BAD).await.usage.misses, 6);
        all_leave(hanging).await;
        host.nothing_is_left(BAD).await;
        assert_eq!(host.get_from(BAD, "/hello").await.body, "hello\n");
    }
}

/// Those who waited get their turn in the order in which they came.
#[tokio::test]
async fn those_who_wait_are_served_when_there_is_room() {
    for image in HOSTILE {
        let host = host(image, 1, 1000, LONG).await;
        let hanging = hang(&host, 1).await;
        let waiting = host.begin(BAD, "/hello").await;
        host.instances(BAD, 2).await;
        let neighbour = host.begin(GOOD, "/hello").await;
        host.instances(GOOD, 1).await;
        assert!(!waiting.is_finished() && !neighbour.is_finished());
        all_leave(hanging).await;
        assert_eq!(waiting.answer().await.body, "hello\n");
        assert_eq!(neighbour.answer().await.body, "hello\n");
        host.nothing_is_left(BAD).await;
        host.nothing_is_left(GOOD).await;
    }
}

#[tokio::test]
async fn a_wait_has_an_end() {
    for image in HOSTILE {
        let host = host(image, 1, 1000, SOON).await;
        let hanging = hang(&host, 1).await;
        let answer = host.get_from(BAD, "/hello").await;
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert_eq!(answer.headers["retry-after"], "1");
        let told = "no instance became free within 200 ms";
        assert!(answer.body.contains(told), "{}", answer.body);
        host.instances(BAD, 1).await;
        all_leave(hanging).await;
        host.nothing_is_left(BAD).await;
        assert_eq!(host.get_from(BAD, "/hello").await.body, "hello\n");
    }
}

#[tokio::test]
async fn a_queue_has_an_end() {
    for image in HOSTILE {
        let host = host(image, 1, 2, LONG).await;
        let hanging = hang(&host, 3).await;
        let answer = host.get_from(BAD, "/hello").await;
        assert_eq!(answer.status, 503, "{}", answer.body);
        assert_eq!(answer.headers["retry-after"], "1");
        let told = "too many invocations of the workload wait for room already";
        assert!(answer.body.contains(told), "{}", answer.body);
        // The queue is the workload's own.
        let neighbour = host.begin(GOOD, "/hello").await;
        host.instances(GOOD, 1).await;
        all_leave(hanging).await;
        assert_eq!(neighbour.answer().await.body, "hello\n");
        host.nothing_is_left(BAD).await;
        assert_eq!(host.get_from(BAD, "/hello").await.body, "hello\n");
    }
}

/// One that waits and whose client leaves gives up its place.
#[tokio::test]
async fn a_client_that_leaves_the_queue_is_gone() {
    for image in HOSTILE {
        let host = host(image, 1, 1, LONG).await;
        let hanging = hang(&host, 1).await;
        for _ in 0..3 {
            let waits = host.begin(BAD, "/hello").await;
            host.instances(BAD, 2).await;
            waits.leave().await;
            host.instances(BAD, 1).await;
        }
        all_leave(hanging).await;
        host.nothing_is_left(BAD).await;
    }
}

/// On every processor there are two that compute for good: timers of a neighbour go off, and its requests are answered, each in as
/// many steps as without them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_compute_leave_time_for_others() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for image in HOSTILE {
        let host = host(image, 64, 1000, LONG).await;
        let mut spinning = Vec::new();
        for nth in 1..=2 * cores {
            spinning.push(host.begin(BAD, "/spin").await);
            host.instances(BAD, nth).await;
        }
        for _ in 0..10 {
            assert_eq!(host.get_from(GOOD, "/hello").await.body, "hello\n");
            assert_eq!(host.get_from(GOOD, "/nap?5").await.body, "slept\n");
        }
        // A timer of the host's own, and one that computes beside all the others.
        tokio::time::timeout(Duration::from_millis(1), std::future::pending::<()>())
            .await
            .unwrap_err();
        let computed = host.get_from(GOOD, "/compute?50").await;
        assert_eq!(computed.body, "computed\n");
        assert!(spinning.iter().all(|spinning| !spinning.is_finished()));
        all_leave(spinning).await;
        host.nothing_is_left(BAD).await;
    }
}

/// The same on one thread, as a test or a small embedder has it.
#[tokio::test]
async fn those_who_compute_leave_time_for_others_on_one_thread() {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    for image in HOSTILE {
        let host = host(image, 64, 1000, LONG).await;
        let mut spinning = Vec::new();
        for nth in 1..=2 * cores {
            spinning.push(host.begin(BAD, "/spin").await);
            host.instances(BAD, nth).await;
        }
        for _ in 0..10 {
            assert_eq!(host.get_from(GOOD, "/nap?5").await.body, "slept\n");
        }
        all_leave(spinning).await;
        host.stop_finds_nothing_running(BAD).await;
        assert_eq!(host.get_from(GOOD, "/hello").await.body, "hello\n");
    }
}
