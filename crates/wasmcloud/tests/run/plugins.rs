//! What a host runs beside the components of workloads, from a registry: services, and plugins that are components.

use std::fs;

use serde_json::json;
use test_servers::{FaultyRegistry, Registry};
use wasmcloud::artifact::Digest;
use wasmcloud::control::{Answered, Command};

use crate::support::registry::{RUN, at_image, configuration, image, push_guest, stocked};
use crate::support::{Host, Sandbox, at, with_teller};

/// A registry that has the guest as `demo/ID:1`, and a workload without any image.
fn stocked_with(id: &str, guest: &str) -> (Sandbox, Registry) {
    let (sandbox, registry) = stocked();
    push_guest(&sandbox, &registry, guest, &format!("demo/{id}:1"));
    sandbox.write("w/a.yaml", at("a", 1));
    (sandbox, registry)
}

/// What the configuration says of such a plugin.
fn plugin(id: &str, address: &str, more: &str) -> String {
    let image = image(address, id);
    format!("hostPlugins: [{{ id: {id}, image: \"{image}\"{more} }}]\n")
}

/// What a workload called `shop` is answered by a ledger.
fn entry(sandbox: &Sandbox) -> String {
    sandbox.wave("shop", "teller/tell", &["\"sold\""])
}

const ENTRY: &str = r#"ok("sales 1: default/shop/teller: sold")"#;

#[test]
fn a_service_and_a_plugin_start_from_the_caches_when_their_registry_is_gone() {
    let (sandbox, mut registry) = stocked_with("ledger", test_guests::LEDGER);
    let address = registry.address();
    let guest = test_guests::NET_ECHO;
    push_guest(&sandbox, &registry, guest, "demo/echo:1");
    fs::copy(test_guests::TELLER, sandbox.path("teller.wasm")).unwrap();
    let plugin = plugin("ledger", &address, ", config: { title: sales }");
    sandbox.write("host.yaml", configuration(&address, &plugin));
    let echo = image(&address, "echo");
    let service = format!("spec:\n  service: {{ image: \"{echo}\" }}\n");
    let shop = with_teller(&at("shop", 1)).replace("spec:\n", &service);
    sandbox.write("w/a.yaml", shop);
    for compiled in [1, 0] {
        let mut host = sandbox.start(&RUN);
        host.ready(compiled);
        assert_eq!(host.version("shop"), Some(1));
        assert_eq!(entry(&sandbox), ENTRY);
        let Answered::Status(status) = sandbox.ask(Command::Status) else {
            panic!("another answer");
        };
        let mut workloads = status.workloads.iter();
        let shop = workloads.find(|it| it["id"] == "default:shop").unwrap();
        assert_eq!(shop["service"]["state"], "running", "{shop}");
        host.stop();
        registry.stop();
    }
}

/// Whatever the policy of the pull, and for what it runs by itself as well. Without a folder nothing is there from the start before.
#[test]
fn a_plugin_is_pulled_once_for_each_start_of_its_host() {
    let (sandbox, registry) = stocked_with("clerk", test_guests::CLERK);
    let way = FaultyRegistry::to(registry.port());
    let more = ", pullPolicy: Always, config: { shift: stay }";
    let kept = configuration(&way.address(), &plugin("clerk", &way.address(), more));
    let not_kept = kept.replace("dataDir: data\n", "");
    for (config, blobs) in [(&kept, 1), (&kept, 0), (&not_kept, 1)] {
        way.forget();
        sandbox.write("host.yaml", config);
        let mut host = sandbox.start(&RUN);
        let ready = host.expect("ready");
        assert_eq!(ready["workloads"], json!(["default:a"]), "{}", host.talk());
        host.stop();
        let requests = way.requests();
        let asked = |part: &str| {
            let those = requests.iter().filter(|it| it.path.contains(part));
            those.count()
        };
        let found = (asked("/manifests/"), asked("/blobs/"));
        assert_eq!(found, (1, blobs), "{requests:?}");
    }
}

/// The registry is on this machine, and listed nowhere: the egress policy keeps all workloads from it.
#[test]
fn a_host_has_its_plugin_from_where_no_workload_may_go() {
    let (sandbox, registry) = stocked_with("ledger", test_guests::LEDGER);
    let way = FaultyRegistry::with_tls(registry.port());
    fs::copy(test_guests::TELLER, sandbox.path("teller.wasm")).unwrap();
    let plugin = plugin("ledger", &way.address(), ", config: { title: sales }");
    sandbox.write("host.yaml", format!("dataDir: data\n{plugin}"));
    sandbox.write("w/a.yaml", with_teller(&at("shop", 1)));
    let same = at_image("thief", 1, &image(&way.address(), "ledger"));
    sandbox.write("w/thief.yaml", same);
    let mut command = sandbox.reporting(&RUN);
    // As if the machine trusted whoever certified it.
    command
        .env("SSL_CERT_FILE", way.ca())
        .env_remove("SSL_CERT_DIR");
    let mut host = Host::start(command);
    let ready = host.expect("ready");
    assert_eq!(
        (&ready["workloads"], &ready["failed"]),
        (&json!(["default:shop"]), &json!(["default:thief"])),
        "{}",
        host.talk()
    );
    assert_eq!(entry(&sandbox), ENTRY);
    let error = host.expect("error");
    let told = error["message"].as_str().unwrap();
    assert!(told.contains("127.0.0.1 is a loopback address"), "{told}");
    host.expect("workload-failed");
    host.stop();
}

/// Why a host does not start, which looking at its configuration tells as well.
fn refused(sandbox: &Sandbox) -> String {
    let ways = [&["--check"][..], &["--http-addr", "127.0.0.1:0"]];
    let [checked, started] = ways.map(|more| {
        let args = [&RUN[..], more, &["--output", "json"]].concat();
        let finished = sandbox.finish(&args);
        assert_eq!(finished.code(), Some(1), "{finished:?}");
        let message = finished.events()[0]["message"].clone();
        message.as_str().unwrap().to_owned()
    });
    assert_eq!(checked, started);
    started
}

#[test]
fn a_plugin_of_another_digest_than_expected_keeps_its_host_from_starting() {
    let (sandbox, registry) = stocked_with("ledger", test_guests::LEDGER);
    let [ledger, clerk] = [test_guests::LEDGER, test_guests::CLERK]
        .map(|guest| Digest::of(&fs::read(guest).unwrap()));
    let address = registry.address();
    let expecting = |digest: &Digest| {
        let more = format!(", pullPolicy: Always, expectedDigest: \"{digest}\"");
        let plugin = plugin("ledger", &address, &more);
        sandbox.write("host.yaml", configuration(&address, &plugin));
    };
    let told = |wanted: &Digest, found: &Digest| {
        let told = refused(&sandbox);
        let parts = ["`ledger`", &wanted.to_string(), &found.to_string()];
        assert!(parts.iter().all(|part| told.contains(*part)), "{told}");
    };
    expecting(&clerk);
    told(&clerk, &ledger);
    expecting(&ledger);
    let mut host = sandbox.start(&RUN);
    host.ready(1);
    host.stop();
    // The tag has moved: what was right is in the cache, and is not what the configuration names.
    push_guest(&sandbox, &registry, test_guests::CLERK, "demo/ledger:1");
    told(&ledger, &clerk);
}
