//! Guests that take what they can get: each gets what its limit says, its neighbour is served meanwhile and after, and nothing of it
//! is left.

use serde_json::{Value, json};
use wasmcloud::assembly::HostConfig;

use crate::support::{BAD, HOSTILE, TestHost, hostile};

const MIB: u64 = 1 << 20;

/// A host with a hostile workload and its neighbour.
async fn host(image: &str, resources: Value) -> TestHost {
    host_with(image, resources, |_| {}).await
}

async fn host_with(
    image: &str,
    resources: Value,
    change: impl FnOnce(&mut HostConfig),
) -> TestHost {
    let host = TestHost::with(|config| {
        // However little memory this machine has.
        config.limits.host_memory = Some(8 << 30);
        change(config);
    })
    .await;
    host.run_neighbour().await;
    host.run(BAD, &hostile(BAD, image, resources, &Value::Null))
        .await;
    host
}

/// The guest comes to its end with a status and a reason, the neighbour is served meanwhile and after, and so is whoever wants
/// something else of the same component.
async fn ends(host: &TestHost, path: &str, status: u16, reason: &str) {
    let pending = host.begin(BAD, path).await;
    host.neighbour_is_served().await;
    let answer = pending.answer().await;
    assert_eq!(answer.status, status, "{path}: {}", answer.body);
    assert!(answer.body.contains(reason), "{path}: {}", answer.body);
    host.nothing_is_left(BAD).await;
    host.neighbour_is_served().await;
    assert_eq!(host.get_from(BAD, "/hello").await.body, "hello\n");
    host.nothing_is_left(BAD).await;
}

#[tokio::test]
async fn one_that_spins_has_so_much_processor_time() {
    for image in HOSTILE {
        let host = host(image, json!({ "cpuLimit": 200 })).await;
        let reason = "took more than its 200 ms of processor time (`cpuLimit`)";
        ends(&host, "/spin", 500, reason).await;
    }
}

#[tokio::test]
async fn one_that_sleeps_has_so_much_time() {
    for image in HOSTILE {
        let host = host(image, json!({ "timeoutMs": 200 })).await;
        let reason = "took longer than its 200 ms (`timeoutMs`)";
        ends(&host, "/sleep", 504, reason).await;
        // Time goes by for one that computes, too.
        ends(&host, "/spin", 504, reason).await;
    }
}

#[tokio::test]
async fn one_that_calls_itself_has_so_much_stack() {
    for image in HOSTILE {
        let host = host(image, json!({})).await;
        ends(&host, "/recurse", 500, "call stack exhausted").await;
    }
}

#[tokio::test]
async fn one_that_hoards_has_so_much_memory() {
    for image in HOSTILE {
        let host = host(image, json!({ "memoryLimitMb": 16 })).await;
        let reason = "an instance may use 16384 KiB (`memoryLimitMb`)";
        ends(&host, "/hoard", 500, reason).await;
        // One that asks before it takes copes with a no.
        ends(&host, "/grow?15", 200, "granted false").await;
        ends(&host, "/grow?4000", 200, "granted false").await;
        ends(&host, "/grow?8", 200, "granted true").await;
    }
}

#[tokio::test]
async fn one_that_keeps_everything_has_so_many_handles() {
    let reason = "`bad` trapped";
    let [p2, p3] = HOSTILE;
    let host = host(p2, json!({})).await;
    for path in ["/fields", "/pollables", "/requests"] {
        ends(&host, &format!("{path}?10000"), 200, "kept 10000").await;
        ends(&host, &format!("{path}?1000000"), 500, reason).await;
    }
    let host = self::host(p3, json!({})).await;
    for path in ["/fields", "/streams"] {
        ends(&host, &format!("{path}?10000"), 200, "kept 10000").await;
        ends(&host, &format!("{path}?1000000"), 500, reason).await;
    }
}

#[tokio::test]
async fn one_that_fills_its_header_fields_has_so_much_room() {
    let host = host(HOSTILE[0], json!({})).await;
    ends(&host, "/field-names?500", 200, "appended 500").await;
    ends(&host, "/field-names?30000", 500, "`bad` trapped").await;
}

/// The host keeps what a request is made of, and a guest may make thousands.
#[tokio::test]
async fn one_that_makes_long_heads_is_refused() {
    for image in HOSTILE {
        let host = host(image, json!({})).await;
        for (path, most) in [("/method", 64), ("/path", 60_000), ("/authority", 60_000)] {
            ends(&host, &format!("{path}?{most}"), 200, "set true").await;
        }
        for (path, beyond) in [("/method", 65), ("/path", 65_538), ("/authority", 65_538)] {
            ends(&host, &format!("{path}?{beyond}"), 200, "set false").await;
        }
    }
}

/// The host copies no more of one call than this, whatever the guest has of its own.
#[tokio::test]
async fn one_that_hands_over_a_gibibyte_is_ended() {
    for image in HOSTILE {
        let host = host_with(image, json!({ "memoryLimitMb": 2048 }), |config| {
            config.limits.call_bytes = MIB as usize * 4;
        })
        .await;
        ends(&host, "/string?1024", 500, "hostcalls has been exhausted").await;
        ends(&host, "/string?5", 500, "hostcalls has been exhausted").await;
        ends(&host, "/string?1", 200, "logged").await;
    }
}

#[tokio::test]
pub(crate) async fn hostile_p2() {
    let host = host(HOSTILE[0], json!({})).await;
    ends(&host, "/trap", 500, "`bad` trapped").await;
    ends(&host, "/nowhere", 404, "no such path").await;
}

#[tokio::test]
pub(crate) async fn hostile_p3() {
    let host = host(HOSTILE[1], json!({})).await;
    ends(&host, "/trap", 500, "`bad` trapped").await;
}
