//! A body larger than anything the host may hold: it flows as fast as the client reads.

use http_body_util::BodyExt as _;

use crate::stories::{Dialect, P2, P3};
use crate::support::{TestHost, Version, empty, request, within};

const MIB: usize = 1 << 20;
const SIZE: usize = 64 * MIB;
const ALLOWED: usize = 32 * MIB;

/// Memory of this process that is in use, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

async fn measured(dialect: &Dialect) {
    let host = TestHost::start().await;
    host.run("big", &dialect.spec()).await;
    host.get("/big?mib=1").await;
    for version in [Version::H1, Version::H2] {
        let before = resident();
        let mut connection = host.connect(version).await;
        let wanted = request(version, "GET", "localhost", "/big?mib=64", empty());
        let mut body = connection.send(wanted).await.into_body();
        let (mut read, mut most) = (0, 0);
        while let Some(frame) = within(body.frame()).await {
            read += frame
                .expect("a whole body")
                .data_ref()
                .map_or(0, bytes::Bytes::len);
            // A client that does something else for a while: whoever could write on would.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            most = most.max(resident().saturating_sub(before));
        }
        assert_eq!(read, SIZE, "{version:?}");
        assert!(
            most < ALLOWED,
            "{version:?}: {} MiB more in use",
            most / MIB
        );
    }
    host.stop_finds_nothing_running("big").await;
}

/// Runs a test of this module in a process of its own, where nobody else uses memory.
fn alone(test: &str) {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--ignored",
            "--nocapture",
            &format!("big_body::{test}"),
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("1 passed"),
        "{text}"
    );
}

#[tokio::test]
#[ignore = "run by the test below, in a process of its own"]
async fn p2_measured() {
    measured(&P2).await;
}

#[test]
fn a_big_body_of_a_wasi_0_2_guest_takes_little_memory() {
    alone("p2_measured");
}

#[tokio::test]
#[ignore = "run by the test below, in a process of its own"]
async fn p3_measured() {
    measured(&P3).await;
}

#[test]
fn a_big_body_of_a_wasi_0_3_guest_takes_little_memory() {
    alone("p3_measured");
}
