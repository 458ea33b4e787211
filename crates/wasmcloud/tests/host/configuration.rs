//! Configuration by the plain import and by a label, in one component.

use serde_json::json;
use wasmcloud::host::CallRequest;

use crate::support::{TestHost, component, id, spec, within};

/// Asks both imports for the same key. Written by hand: the linker of Rust 1.95 knows no labels yet.
const BOTH: &str = r#"
(component
  (import "wasi:config/store@0.2.0-rc.1" (instance $plain
    (type $e (variant (case "upstream" string) (case "io" string)))
    (export "error" (type $error (eq $e)))
    (export "get" (func (param "key" string) (result (result (option string) (error $error)))))))
  (import "flags" (implements "wasi:config/store@0.2.0-rc.1") (instance $flags
    (type $e (variant (case "upstream" string) (case "io" string)))
    (export "error" (type $error (eq $e)))
    (export "get" (func (param "key" string) (result (result (option string) (error $error)))))))
  (core module $memory
    (memory (export "memory") 1)
    (data (i32.const 0) "key")
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $m (instantiate $memory))
  (core func $of-plain (canon lower (func $plain "get")
    (memory $m "memory") (realloc (func $m "realloc"))))
  (core func $of-flags (canon lower (func $flags "get")
    (memory $m "memory") (realloc (func $m "realloc"))))
  (core module $code
    (import "" "plain" (func $plain (param i32 i32 i32)))
    (import "" "flags" (func $flags (param i32 i32 i32)))
    (func (export "plain") (result i32)
      (call $plain (i32.const 0) (i32.const 3) (i32.const 16))
      (i32.const 24))
    (func (export "flags") (result i32)
      (call $flags (i32.const 0) (i32.const 3) (i32.const 16))
      (i32.const 24)))
  (core instance $i (instantiate $code (with "" (instance
    (export "plain" (func $of-plain))
    (export "flags" (func $of-flags))))))
  (func (export "plain") (result string)
    (canon lift (core func $i "plain") (memory $m "memory")))
  (func (export "flags") (result string)
    (canon lift (core func $i "flags") (memory $m "memory"))))
"#;

#[tokio::test]
async fn a_label_has_settings_of_its_own_beside_the_plain_import() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("both.wasm");
    std::fs::write(&image, wat::parse_str(BOTH).unwrap()).unwrap();
    let host = TestHost::with(|config| config.calls_only = true).await;
    let entry = |name: Option<&str>, value: &str| {
        json!({
            "name": name, "namespace": "wasi", "package": "config", "interfaces": ["store"],
            "config": { "key": value },
        })
    };
    let read = async |function: &str| {
        let request = CallRequest {
            workload: id("shop"),
            component: None,
            function: function.parse().unwrap(),
            args: Vec::new(),
        };
        let answer = within(host.host.call(&request)).await;
        answer.expect("the call returns").wave().to_owned()
    };
    let entries = || [entry(None, "plainly"), entry(Some("flags"), "by the label")];
    let mut both = component("both", image.to_str().unwrap());
    host.run("shop", &spec([both.clone()], entries())).await;
    assert_eq!(read("plain").await, "\"plainly\"");
    assert_eq!(read("flags").await, "\"by the label\"");
    host.stop("shop").await;
    // What is the component's own counts more, whichever way it asks.
    both["localResources"] = json!({ "config": { "key": "its own" } });
    host.run("shop", &spec([both], entries())).await;
    for way in ["plain", "flags"] {
        assert_eq!(read(way).await, "\"its own\"");
    }
}
