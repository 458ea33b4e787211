//! Warm instances of guests that drop what they make: the host's memory does not grow with the number of requests.

use serde_json::{Value, json};

use crate::support::{BAD, HOSTILE, TestHost, hostile};

const MIB: usize = 1 << 20;
/// How many are made and dropped in one request.
const AT_ONCE: usize = 50_000;
/// What the process may grow by meanwhile: as many of anything that is kept are more.
const ALLOWED: usize = 8 * MIB;

/// Memory of this process that is in use, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

async fn measured(pool: Value, paths: &[(&str, usize)]) {
    for (path, many) in paths {
        let host = TestHost::start().await;
        host.run(BAD, &hostile(BAD, HOSTILE[1], json!({}), &pool))
            .await;
        let path = format!("{path}?{AT_ONCE}");
        let ask = async || {
            assert_eq!(host.get_from(BAD, &path).await.status, 200, "{path}");
            host.instances(BAD, 0).await;
        };
        // The first ones make room that is used again.
        ask().await;
        ask().await;
        let before = resident();
        for _ in 0..many / AT_ONCE {
            ask().await;
        }
        let grown = resident().saturating_sub(before);
        assert!(grown < ALLOWED, "{path}: {} MiB more", grown / MIB);
        assert_eq!(host.pool(BAD).await.usage.misses, 1, "{path}");
        host.stop_finds_nothing_running(BAD).await;
    }
}

/// Runs a test of this module in a process of its own, where nobody else uses memory.
fn alone(test: &str) {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--ignored",
            "--nocapture",
            &format!("warm_leaks::{test}"),
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("1 passed"), "{text}");
}

#[tokio::test]
#[ignore = "run by the test below, in a process of its own"]
async fn pooled() {
    let paths = [
        ("/drop-streams", 1_000_000),
        ("/drop-futures", 1_000_000),
        ("/drop-sleeps", 200_000),
    ];
    measured(json!({ "poolSize": 1 }), &paths).await;
}

#[test]
fn what_was_dropped_is_gone_from_a_warm_instance() {
    alone("pooled");
}

#[tokio::test]
#[ignore = "run by the test below, in a process of its own"]
async fn shared() {
    let pool = json!({ "poolSize": 1, "maxConcurrency": 2 });
    let paths = [("/drop-streams", 500_000), ("/drop-futures", 500_000)];
    measured(pool, &paths).await;
}

#[test]
fn what_was_dropped_is_gone_from_a_shared_instance() {
    alone("shared");
}
