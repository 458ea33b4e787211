//! No error about a manifest repeats a value that is configured in it.

use crate::workload::manifest;

use super::*;

const TOP: &str =
    "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {name: a}\nspec:\n";

/// Faults in what one component is given, in flow style and in block style.
const FAULTS: &[&str] = &[
    "{environment: {config: {A: SECRETVALUE}}, confg: {B: SECRETVALUE}}",
    "{enviroment: {config: {A: SECRETVALUE}}, config: {B: SECRETVALUE}}",
    "{environment: {confg: {A: SECRETVALUE}}}",
    "{config: {A: SECRETVALUE, A: SECRETVALUE}}",
    "{config: {A: 1, B: SECRETVALUE, A: \"SECRETVALUE\"}, config: {}}",
    "{cpuLimit: many, config: {A: *SECRETVALUE}}",
    "{config: {A: *SECRETVALUE}}",
    "{config: {A: &SECRETVALUE}}",
    "{config: {A: !SECRETVALUE}}",
    "{config: {A: !!int SECRETVALUE}}",
    "{config: {A: !!binary SECRETVALUE}}",
    "{config: {A: null, B: SECRETVALUE}}",
    "{config: {A: [SECRETVALUE]}}",
    "{config: {A: {SECRETVALUE: SECRETVALUE}}}",
    "{config: {A: {SECRETVALUE}}}",
    "{config: SECRETVALUE}",
    "{config: [SECRETVALUE, SECRETVALUE]}",
    "{environment: SECRETVALUE}",
    "{environment: {SECRETVALUE}}",
    "{environment: {config: \"SECRETVALUE\"}}",
    "{config: {A: &s SECRETVALUE}, cpuLimit: *s}",
    "{config: {A: &s SECRETVALUE}, memoryLimitMb: *s, allowedHosts: *s}",
    "{config: {A: \"SECRETVALUE}}",
    "{config: {A: \"\\q SECRETVALUE\"}}",
    "{config: {A: SECRETVALUE]}",
    "{config: {A: SECRETVALUE: x}}",
    "{config: {A: @SECRETVALUE}}",
    "{config: {A: `SECRETVALUE}}",
    "{config: {A: %SECRETVALUE, B: |SECRETVALUE}}",
    "{config: {A: \"a\" SECRETVALUE}}",
    "{config: {A: SECRETVALUE}",
    "\n      config:\n        A: |\n          SECRETVALUE: x\n         SECRETVALUE: y\n       z: SECRETVALUE\n",
    "\n      config:\n        A: >SECRETVALUE\n          x\n",
    "\n      config:\n        A: SECRETVALUE\n          SECRETVALUE: x\n",
    "\n      config:\n        A: SECRETVALUE: x\n",
    "\n      config:\n        A: \"x\n        SECRETVALUE: x\" SECRETVALUE\n",
    "\n      config:\n        A: SECRETVALUE\n       B: SECRETVALUE\n",
    "\n      config:\n      A: SECRETVALUE\n",
    "\n      config:\n      - SECRETVALUE\n",
    "\n      config:\n        SECRETVALUE\n",
    "\n      config:\n        A:\n          - SECRETVALUE\n",
    "\n      config:\n\t  A: SECRETVALUE\n",
    "\n      config:\n        A: SECRETVALUE\n        <<: SECRETVALUE\n",
    "\n      environment: {config: {A: SECRETVALUE\n   }, confg: SECRETVALUE}\n",
    "\n      config: {A: \"SECRETVALUE\\0\"}\n",
    "\n      environment: {config: {\"A=\": SECRETVALUE}}\n",
    "\r      config:\r        A: *SECRETVALUE\r",
];

#[test]
fn no_error_repeats_a_configured_value() {
    for fault in FAULTS {
        let component = "  components:\n  - name: a\n    image: ./a.wasm\n    localResources: ";
        let text = format!("{TOP}{component}{fault}\n");
        let errors = manifest::parse(&text, Path::new("w.yaml"))
            .map(|_| fault)
            .unwrap_err();
        let told = format!("{errors}\n{}\n{errors:?}", errors.render(false));
        assert!(!told.contains("SECRET"), "{text}\n{told}");
    }
}

#[test]
fn a_secret_in_a_host_interface_is_not_repeated_either() {
    for config in [
        "{host: *SECRETVALUE}",
        "{host: [SECRETVALUE]}",
        "SECRETVALUE",
    ] {
        let entry = "{namespace: wasi, package: http, interfaces: [handler]";
        let text = format!("{TOP}  hostInterfaces:\n  - {entry}, config: {config}}}\n");
        let errors = manifest::parse(&text, Path::new("w.yaml"))
            .map(|_| config)
            .unwrap_err();
        let told = format!("{errors}\n{}", errors.render(false));
        assert!(!told.contains("SECRET"), "{text}\n{told}");
    }
}

#[test]
fn the_kind_of_a_hidden_value_is_told() {
    let told = |text: &str| {
        let error =
            decode_yaml::<std::collections::BTreeMap<String, u8>>(text, Path::new("c.yaml"));
        error.unwrap_err().to_string()
    };
    assert!(told("config: SECRETVALUE").contains("found a text, wanted a whole number"));
    assert!(told("config: -12345").contains("found a number, wanted a whole number"));
    assert!(told("other: -12345").contains("found `-12345`, wanted a whole number"));
}
