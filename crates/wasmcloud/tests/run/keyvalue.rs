//! Keys and values in the data folder, as an operator meets them.

use serde_json::json;

use crate::support::Sandbox;

const SHOP: &str = "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: { name: shop }\nspec:\n  components:\n    - { name: keep, image: ../keep.wasm }\n  hostInterfaces:\n    - { namespace: wasmcloud, package: keyvalue, interfaces: [store, atomics, cas, batch] }\n    - { namespace: wasmcloud, package: keyvalue, interfaces: [store], name: sessions, config: { backend: memory } }\n  schedules:\n    - { name: seldom, component: keep, function: delete, args: ['\"b\"', '\"k\"'], schedule: \"0 0 29 2 *\" }\n";

/// What was acknowledged is there, whatever becomes of the process.
#[test]
fn a_count_goes_on_after_the_host_was_killed() {
    let sandbox = Sandbox::with_app();
    std::fs::copy(test_guests::KEEP_P3, sandbox.path("keep.wasm")).unwrap();
    sandbox.write("w/shop.yaml", SHOP);
    let count = |way: &str| sandbox.wave("shop", "count", &[way, "\"visits\"", "\"all\"", "1"]);
    for round in 0..3 {
        let mut host = sandbox.start(&["w", "--data-dir", "data"]);
        assert_eq!(host.expect("ready")["workloads"], json!(["default:shop"]));
        for nth in 1..=5 {
            assert_eq!(count("plain"), format!("ok({})", round * 5 + nth));
            // What is in memory begins again.
            assert_eq!(count("sessions"), format!("ok({nth})"));
        }
        assert!(sandbox.path("data/kept/keyvalue/keyvalue.redb").is_file());
        host.signal("KILL");
        assert_eq!(host.ended().0, None);
    }
}
