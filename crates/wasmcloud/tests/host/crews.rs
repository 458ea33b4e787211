//! Instances that serve several invocations at once: they share what they have, and what goes wrong on one ends those on board and
//! nobody else.

use serde_json::{Value, json};
use wasmcloud::engine::Allocation;
use wasmcloud::instance::PoolUsage;

use crate::support::{BAD, GOOD, HOSTILE, TestHost, hostile};

const P3: &str = HOSTILE[1];

async fn host(pool: Value) -> TestHost {
    host_with(json!({}), pool).await
}

async fn host_with(resources: Value, pool: Value) -> TestHost {
    let host = TestHost::start().await;
    host.run_neighbour().await;
    host.run(BAD, &hostile(BAD, P3, resources, &pool)).await;
    host
}

async fn ask(host: &TestHost, path: &str) -> String {
    let answer = host.get_from(BAD, path).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body.trim_end().to_owned()
}

/// The counts, when nothing is under way.
async fn counts(host: &TestHost) -> PoolUsage {
    host.uses(BAD, |usage| usage.invocations == 0).await;
    host.pool(BAD).await.usage
}

/// Each waits inside the guest for the other, so both are answered only where they share.
#[tokio::test]
async fn requests_that_overlap_share_an_instance() {
    let host = host(json!({ "poolSize": 1, "maxConcurrency": 8 })).await;
    assert_eq!(ask(&host, "/count").await, "1");
    for round in 1..=3 {
        // All places are free again.
        host.instances(BAD, 0).await;
        let path = format!("/meet?{}", 8 * round);
        let mut pending = Vec::new();
        for _ in 0..8 {
            pending.push(host.begin(BAD, &path).await);
        }
        for pending in pending {
            assert_eq!(pending.answer().await.status, 200);
        }
    }
    let counts = counts(&host).await;
    assert_eq!((counts.hits, counts.misses), (24, 1), "{counts:?}");
    assert_eq!(counts.failed, 0, "{counts:?}");
    host.neighbour_is_served().await;
}

#[tokio::test]
async fn without_leave_they_do_not() {
    let resources = json!({ "timeoutMs": 300 });
    let host = host_with(resources, json!({ "poolSize": 4 })).await;
    let first = host.begin(BAD, "/meet?2").await;
    let second = host.begin(BAD, "/meet?2").await;
    assert_eq!(first.answer().await.status, 504);
    assert_eq!(second.answer().await.status, 504);
    assert_eq!(counts(&host).await.failed, 2);
}

/// Fills the places of an instance one by one, so that it is known who is where.
async fn sleepers(host: &TestHost, count: usize) -> Vec<crate::support::Pending> {
    let mut sleepers = Vec::new();
    let before = counts(host).await;
    let before = before.hits + before.misses;
    for nth in 1..=count {
        sleepers.push(host.begin(BAD, "/sleep").await);
        host.instances(BAD, nth).await;
        host.uses(BAD, |usage| {
            let pool = &usage.pools[0].usage;
            pool.hits + pool.misses == before + nth as u64
        })
        .await;
    }
    sleepers
}

#[tokio::test]
async fn a_burst_beyond_all_places_gets_fresh_instances() {
    let host = host(json!({ "poolSize": 1, "maxConcurrency": 2 })).await;
    assert_eq!(ask(&host, "/count").await, "1");
    let sleepers = sleepers(&host, 2).await;
    for _ in 0..3 {
        assert_eq!(ask(&host, "/count").await, "1");
    }
    for sleeper in sleepers {
        sleeper.leave().await;
    }
    let counts = counts(&host).await;
    assert_eq!((counts.hits, counts.misses), (2, 4), "{counts:?}");
}

#[tokio::test]
async fn a_trap_ends_those_on_board_and_nobody_else() {
    let host = host(json!({ "poolSize": 2, "maxConcurrency": 2 })).await;
    let mut sleepers = sleepers(&host, 3).await;
    // The last of them is alone on the second instance, where there is a place left.
    let trapped = host.get_from(BAD, "/trap").await;
    let with_it = sleepers.pop().unwrap().answer().await;
    for answer in [trapped, with_it] {
        assert_eq!(answer.status, 500);
        let told = "`unreachable` instruction executed (in this invocation, or another one on the same instance)";
        assert!(answer.body.contains(told), "{}", answer.body);
    }
    host.neighbour_is_served().await;
    assert_eq!(ask(&host, "/count").await, "1");
    assert_eq!(ask(&host, "/count").await, "2");
    for sleeper in sleepers {
        assert!(!sleeper.is_finished());
        sleeper.leave().await;
    }
    assert_eq!(counts(&host).await.failed, 2);
}

#[tokio::test]
async fn one_that_spins_ends_those_on_board_and_nobody_else() {
    let resources = json!({ "cpuLimit": 200 });
    let host = host_with(resources, json!({ "poolSize": 2, "maxConcurrency": 2 })).await;
    let mut sleepers = sleepers(&host, 3).await;
    let spins = host.get_from(BAD, "/spin").await;
    let with_it = sleepers.pop().unwrap().answer().await;
    for answer in [spins, with_it] {
        assert_eq!(answer.status, 500);
        assert!(answer.body.contains("`cpuLimit`"), "{}", answer.body);
    }
    host.neighbour_is_served().await;
    assert_eq!(ask(&host, "/count").await, "1");
    for sleeper in sleepers {
        assert!(!sleeper.is_finished());
        sleeper.leave().await;
    }
    counts(&host).await;
}

/// Others on board come to their end; nobody comes on board any more.
#[tokio::test]
async fn one_whose_client_left_takes_its_instance_along_when_all_are_done() {
    let host = host(json!({ "poolSize": 1, "maxConcurrency": 3 })).await;
    let leaves = sleepers(&host, 1).await.remove(0);
    let naps = host.begin(BAD, "/nap?300").await;
    host.instances(BAD, 2).await;
    leaves.leave().await;
    host.instances(BAD, 1).await;
    assert_eq!(ask(&host, "/count").await, "1");
    assert_eq!(naps.answer().await.body, "slept\n");
    assert_eq!(ask(&host, "/count").await, "2");
    let counts = counts(&host).await;
    assert_eq!((counts.failed, counts.misses), (1, 2), "{counts:?}");
}

#[tokio::test]
async fn one_that_sleeps_too_long_ends_alone() {
    let resources = json!({ "timeoutMs": 1000 });
    let host = host_with(resources, json!({ "poolSize": 1, "maxConcurrency": 3 })).await;
    let late = sleepers(&host, 1).await.remove(0);
    let naps = host.begin(BAD, "/nap?100").await;
    assert_eq!(naps.answer().await.body, "slept\n");
    assert_eq!(ask(&host, "/count").await, "1");
    assert_eq!(late.answer().await.status, 504);
    assert_eq!(ask(&host, "/count").await, "1");
    assert_eq!(counts(&host).await.failed, 1);
}

#[tokio::test]
async fn one_serves_exactly_as_many_as_it_may() {
    let pool = json!({ "poolSize": 1, "maxConcurrency": 2, "maxInvocations": 3 });
    let host = host(pool).await;
    let mut seen = Vec::new();
    for _ in 0..7 {
        seen.push(ask(&host, "/count").await);
    }
    assert_eq!(seen, ["1", "2", "3", "1", "2", "3", "1"]);
    let counts = counts(&host).await;
    assert_eq!((counts.misses, counts.hits), (3, 4), "{counts:?}");
    assert_eq!((counts.used_up, counts.failed), (2, 0), "{counts:?}");
}

#[tokio::test]
async fn what_was_refused_before_explains_nothing() {
    let resources = json!({ "memoryLimitMb": 16 });
    let host = host_with(resources, json!({ "poolSize": 1, "maxConcurrency": 2 })).await;
    assert_eq!(ask(&host, "/grow?100").await, "granted false");
    let answer = host.get_from(BAD, "/trap").await;
    assert!(!answer.body.contains("memory"), "{}", answer.body);
    let answer = host.get_from(BAD, "/hoard").await;
    assert!(answer.body.contains("`memoryLimitMb`"), "{}", answer.body);
}

/// What a guest goes on with after its answers does not keep an instance that serves nobody any more.
#[tokio::test]
async fn what_goes_on_behind_an_answer_ends() {
    let pool = json!({ "poolSize": 1, "maxConcurrency": 2, "maxInvocations": 2 });
    let host = host_with(json!({ "timeoutMs": 1000 }), pool).await;
    for _ in 0..4 {
        assert_eq!(ask(&host, "/goes-on").await, "went on");
    }
    host.nothing_is_left(BAD).await;
    assert_eq!(host.pool(BAD).await.usage.used_up, 2);
    // The same on one that is not shared: it is no invocation that went well.
    let host = host_with(json!({ "timeoutMs": 1000 }), json!({ "poolSize": 1 })).await;
    assert_eq!(ask(&host, "/goes-on").await, "went on");
    host.nothing_is_left(BAD).await;
    assert_eq!(host.pool(BAD).await.usage.failed, 1);
}

#[tokio::test]
async fn what_computes_behind_an_answer_ends() {
    for pool in [
        json!({}),
        json!({ "poolSize": 1 }),
        json!({ "poolSize": 1, "maxConcurrency": 2 }),
    ] {
        let host = host_with(json!({ "cpuLimit": 200 }), pool.clone()).await;
        assert_eq!(ask(&host, "/spins-on").await, "spins on");
        host.neighbour_is_served().await;
        host.nothing_is_left(BAD).await;
        assert_eq!(ask(&host, "/count").await, "1");
        if pool != json!({}) {
            host.uses(BAD, |usage| usage.pools[0].usage.failed == 1)
                .await;
        }
    }
}

/// A host with room for one instance: a shared one that nobody is on makes way, also when somebody waited before it was free.
#[tokio::test]
async fn an_idle_instance_makes_room_for_others() {
    let host = TestHost::with(|config| {
        config.engine.allocation = Allocation::Pooled { instances: 1 };
    })
    .await;
    let pool = json!({ "poolSize": 4, "maxConcurrency": 2 });
    for name in [BAD, GOOD] {
        host.run(name, &hostile(name, P3, json!({}), &pool)).await;
    }
    for _ in 0..3 {
        for name in [BAD, GOOD] {
            assert_eq!(host.get_from(name, "/count").await.body, "1\n");
        }
    }
    let first = host.begin(BAD, "/nap?200").await;
    host.instances(BAD, 1).await;
    let second = host.begin(GOOD, "/count").await;
    host.instances(GOOD, 1).await;
    assert_eq!(first.answer().await.body, "slept\n");
    assert_eq!(second.answer().await.body, "1\n");
    // What goes on behind an answer holds nobody up.
    assert_eq!(host.get_from(GOOD, "/goes-on").await.status, 200);
    assert_eq!(host.get_from(BAD, "/count").await.body, "1\n");
}

/// Without that, one that always has somebody on board would keep its room for good.
#[tokio::test]
async fn a_busy_instance_takes_nobody_on_board_while_others_wait() {
    let host = TestHost::with(|config| {
        config.engine.allocation = Allocation::Pooled { instances: 1 };
    })
    .await;
    let pool = json!({ "poolSize": 4, "maxConcurrency": 100 });
    for name in [BAD, GOOD] {
        host.run(name, &hostile(name, P3, json!({}), &pool)).await;
    }
    assert_eq!(ask(&host, "/count").await, "1");
    let busy = sleepers(&host, 1).await.remove(0);
    let waits = host.begin(GOOD, "/count").await;
    host.instances(GOOD, 1).await;
    let next = host.begin(BAD, "/count").await;
    host.instances(BAD, 2).await;
    busy.leave().await;
    assert_eq!(waits.answer().await.body, "1\n");
    assert_eq!(next.answer().await.body, "1\n");
}

#[tokio::test]
async fn a_stop_ends_what_goes_on() {
    let host = TestHost::with(|config| {
        config.engine.allocation = Allocation::Pooled { instances: 1 };
    })
    .await;
    let pool = json!({ "poolSize": 1, "maxConcurrency": 2, "maxInvocations": 2 });
    for _ in 0..3 {
        host.run(BAD, &hostile(BAD, P3, json!({}), &pool)).await;
        assert_eq!(ask(&host, "/count").await, "1");
        assert_eq!(ask(&host, "/goes-on").await, "went on");
        host.stop_finds_nothing_running(BAD).await;
    }
}

/// A client that leaves an instance which computes, and a workload that is stopped meanwhile.
#[tokio::test]
async fn one_that_spins_ends_with_its_client() {
    let host = host(json!({ "poolSize": 1, "maxConcurrency": 2 })).await;
    let spins = host.begin(BAD, "/spin").await;
    host.instances(BAD, 1).await;
    spins.leave().await;
    host.nothing_is_left(BAD).await;
    assert_eq!(ask(&host, "/count").await, "1");
    host.stop_finds_nothing_running(BAD).await;
    host.neighbour_is_served().await;
}
