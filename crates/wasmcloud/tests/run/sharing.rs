//! Several hosts with the same caches at the same time, of which some are killed.

use std::fs;

use serde_json::json;
use test_servers::{Fault, FaultyRegistry, Registry, Rule};
use wasmcloud::artifact::Digest;

use crate::support::Sandbox;
use crate::support::registry::{at_image, configuration, image, push_guest, start_in, stocked};

/// A workload in a registry, a way there that can count, and a configuration for hosts that share their caches.
fn shared() -> (Sandbox, Registry, FaultyRegistry) {
    let (sandbox, registry) = stocked();
    let way = FaultyRegistry::to(registry.port());
    let more = "  cacheDir: images\n  silence: 5m\ncacheDir: compiled\n";
    sandbox.write("host.yaml", configuration(&way.address(), more));
    sandbox.write("w/a.yaml", at_image("a", 1, &image(&way.address(), "app")));
    (sandbox, registry, way)
}

/// Where the component of the workload is asked for.
fn blob() -> String {
    let component = fs::read(test_guests::HTTP_P2).unwrap();
    format!("/blobs/{}", Digest::of(&component))
}

#[test]
fn two_hosts_share_their_caches_and_one_that_is_killed_leaves_them_whole() {
    let (sandbox, mut registry, way) = shared();
    let mut hosts = ["one", "two"].map(|data| start_in(&sandbox, data));
    for host in &mut hosts {
        assert_eq!(host.expect("ready")["failed"], json!([]), "{}", host.talk());
        assert_eq!(host.version("a"), Some(1));
    }
    assert_eq!(way.count("GET", &blob()), 1, "{:?}", way.requests());
    let [one, mut two] = hosts;
    one.signal("KILL");
    assert_eq!(one.ended().0, None);

    // The other one goes on, with what both had and with what is new.
    let guest = test_guests::HANDLER_AND_RUN;
    push_guest(&sandbox, &registry, guest, "demo/other:1");
    let other = at_image("b", 1, &image(&way.address(), "other"));
    sandbox.write("w/b.yaml", other);
    two.expect("workload-started");
    assert_eq!(two.version("a"), Some(1));
    assert_eq!(two.get("b.localhost", "/"), (200, "handled\n".to_owned()));

    registry.stop();
    let mut third = start_in(&sandbox, "three");
    third.ready(0);
    assert_eq!(third.version("a"), Some(1));
    assert_eq!(third.get("b.localhost", "/").0, 200);
    third.stop();
    two.stop();
}

/// What nobody goes on with is not waited for: the other one downloads the rest.
#[test]
fn a_host_that_is_killed_while_it_downloads_keeps_no_other_waiting() {
    let (sandbox, registry, way) = shared();
    way.rule(Rule::on(&blob(), Fault::Stall(1)).method("GET").first(1));
    let one = start_in(&sandbox, "one");
    way.until_held(1);
    let mut two = start_in(&sandbox, "two");
    way.until_requests(|requests| {
        let known = requests.iter().filter(|it| it.path.contains("/manifests/"));
        known.filter(|it| it.over).count() == 2
    });
    one.signal("KILL");
    assert_eq!(one.ended().0, None);
    two.ready(1);
    assert_eq!(two.version("a"), Some(1));
    two.stop();
    assert_eq!(way.count("GET", &blob()), 2, "{:?}", way.requests());

    drop((way, registry));
    let mut third = start_in(&sandbox, "three");
    third.ready(0);
    assert_eq!(third.version("a"), Some(1));
    third.stop();
}
