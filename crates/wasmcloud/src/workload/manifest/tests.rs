//! Stories of manifests: good ones that read as written, and bad ones that are told so.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::num::NonZeroU32;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::workload::{Image, Limit, LinkKind, LinkTarget, Mebibytes, Reuse, VolumeSource};

const CHAIN: &str = r#"
apiVersion: runtime.wasmcloud.dev/v1alpha1
kind: Workload
metadata:
  name: chain
  namespace: shop
  annotations: {owner: team-a}
  labels: {app: chain}
spec:
  components:
    - name: front
      image: ./front.wasm
      localResources:
        environment:
          config:
            GREETING: hello
            PORT: 8080
        config: {colour: blue}
    - name: greeter
      image: file:greeter.wasm
  hostInterfaces:
    - namespace: wasi
      package: http
      interfaces: [incoming-handler]
      version: 0.2.2
      config: {host: shop.example}
  links:
    - {from: front, import: "demo:greet/greeter", to: greeter}
    - {from: front, import: "wasi:config/store", to: host}
    - {import: "wasi:http/incoming-handler", to: front}
"#;

/// Everything a manifest may say, also what this version does not run.
const EVERYTHING: &str = r#"
apiVersion: runtime.wasmcloud.dev/v1alpha1
kind: Workload
metadata: {name: all}
spec:
  components:
    - name: api
      image: ghcr.io/demo/api:1.0.0
      imagePullPolicy: IfNotPresent
      imagePullSecret: {name: demo}
      poolSize: 4
      maxInvocations: 100
      localResources:
        memoryLimitMb: 64
        cpuLimit: 2
        volumeMounts: [{name: data, mountPath: /data, readOnly: true}]
        allowedHosts: ["*.example.com"]
        allowedIpNameLookups: [example.com]
        allowedHostLoopbackPorts: ["5432"]
        secrets: [api-key, db.password]
    - name: idle
      image: idle.wasm
      poolSize: 0
      maxInvocations: -1
      localResources: {memoryLimitMb: -1, cpuLimit: 0}
  service:
    image: ./service.wasm
    maxRestarts: 3
    localResources: {environment: {config: {A: b}}}
  hostInterfaces:
    - {name: cache, namespace: wasi, package: keyvalue, interfaces: [store, atomics], version: 0.2.0-draft}
  links:
    - {from: api, import: "a:b/c@1.0.0", to: idle, kind: isolated}
    - {from: idle, import: "a:b/d", to: api, kind: remote}
  volumes:
    - {name: data, hostPath: {path: /srv/data}}
    - name: scratch
      ephemeral: {}
"#;

fn file() -> &'static Path {
    Path::new("workload.yaml")
}

fn good(text: &str) -> Workload {
    parse(text, file())
        .map_err(|errors| errors.to_string())
        .unwrap()
        .remove(0)
        .workload
}

/// The errors of a text, one a line with its hint.
fn bad(text: &str) -> String {
    parse(text, file()).err().unwrap().to_string()
}

/// The errors of a document with that `spec`, which begins on line 5.
fn bad_spec(spec: &str) -> String {
    bad(&whole(spec))
}

fn whole(spec: &str) -> String {
    format!(
        "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {{name: a}}\nspec:\n{spec}"
    )
}

#[test]
fn a_chain_reads_as_written() {
    let chain = good(CHAIN);
    assert_eq!(chain.namespace.as_str(), "shop");
    assert_eq!(chain.name.as_str(), "chain");
    assert_eq!(chain.annotations["owner"], "team-a");
    assert_eq!(chain.labels["app"], "chain");
    let front = chain.component(&"front".parse().unwrap()).unwrap();
    assert_eq!(front.image, Image::File("./front.wasm".into()));
    assert_eq!(front.local_resources.environment["PORT"], "8080");
    assert_eq!(front.local_resources.config["colour"], "blue");
    assert_eq!(front.reuse, Reuse::Fresh);
    assert!(chain.component(&"nobody".parse().unwrap()).is_none());
    assert!(chain.host_interfaces[0].is_http_handler());
    let kinds: Vec<_> = chain.links.iter().map(|link| link.kind).collect();
    assert_eq!(kinds, [LinkKind::Fused, LinkKind::Host, LinkKind::Fused]);
    assert_eq!(chain.links[1].to, LinkTarget::Host);
    assert_eq!(chain.links[2].from, None);
}

#[test]
fn everything_reads_as_written() {
    let (manifests, errors) = read(EVERYTHING, file());
    assert_eq!(errors, []);
    let all = &manifests[0].workload;
    assert_eq!(all.namespace.as_str(), "default");
    let number = |number| NonZeroU32::new(number).unwrap();
    let pooled = Reuse::Pooled {
        size: number(4),
        max_invocations: Some(number(100)),
        max_concurrency: number(1),
    };
    assert_eq!(all.components[0].reuse, pooled);
    assert_eq!(
        all.components[0].local_resources.limits.memory,
        Limit::Of(Mebibytes(64))
    );
    assert_eq!(all.components[1].reuse, Reuse::Fresh);
    assert_eq!(all.components[1].local_resources, Default::default());
    assert_eq!(all.service.as_ref().unwrap().max_restarts, 3);
    assert_eq!(
        all.volumes[0].source,
        VolumeSource::HostPath("/srv/data".into())
    );
    assert_eq!(
        all.volumes[1].source,
        VolumeSource::Ephemeral(Limit::Default)
    );
}

#[test]
fn json_is_read_too_and_what_is_printed_reads_back() {
    for text in [CHAIN, EVERYTHING] {
        let (before, _) = read(text, file());
        let json = before[0].workload.to_manifest().to_string();
        let (after, errors) = read(&json, Path::new("workload.json"));
        assert_eq!(errors, []);
        assert_eq!(after[0].workload, before[0].workload);
    }
}

#[test]
fn several_documents_in_a_file_and_empty_ones_are_skipped() {
    let other = CHAIN.replace("name: chain", "name: other");
    let text = format!("\u{feff}---\n{CHAIN}\n---\n# nothing here\n---\n{other}---\n");
    let names: Vec<_> = parse(&text, file())
        .unwrap()
        .into_iter()
        .map(|m| m.workload.name)
        .collect();
    assert_eq!(
        names.iter().map(AsRef::as_ref).collect::<Vec<&str>>(),
        ["chain", "other"]
    );
}

#[test]
fn line_endings_of_windows_change_nothing() {
    assert_eq!(good(&CHAIN.replace('\n', "\r\n")), good(CHAIN));
}

#[test]
fn later_errors_can_point_into_the_file() {
    let locations = parse(CHAIN, file()).unwrap().remove(0).locations;
    assert_eq!(locations.find("metadata.name"), Some((5, 9)));
    assert_eq!(locations.find("spec.components.front"), Some((11, 7)));
    assert_eq!(
        locations.find("spec.components.greeter.image"),
        Some((20, 14))
    );
    assert_eq!(
        locations.find("spec.components.greeter.poolSize"),
        Some((19, 7)),
        "the nearest"
    );
    assert_eq!(locations.find("spec.links.1"), Some((29, 7)));
    assert_eq!(locations.find("spec.hostInterfaces.0"), Some((22, 7)));
    assert_eq!(
        locations.find("spec.links.9.kind"),
        locations.find("spec.links")
    );
    assert_eq!(locations.find("nothing.like.it"), Some((2, 1)));
    let error = locations.diagnostic(
        "spec.components.greeter",
        "wants `a:b/c`",
        Some("add it".into()),
    );
    insta::assert_snapshot!(error.render(false), @"
    error: wants `a:b/c`
      --> workload.yaml:19:7
       |
    19 |     - name: …
       |       ^^^^
       |
       = hint: add it
    ");
    assert!(
        !format!("{locations:?}").contains("hello"),
        "debug output leaves the text out"
    );
}

#[test]
fn typos_get_the_nearest_name() {
    insta::assert_snapshot!(bad_spec("  componets: []\n"), @"
    workload.yaml:5:3: unknown field `componets`
    hint: did you mean `components`? known here: `components`, `service`, `hostInterfaces`, `links`, `volumes`, `schedules`, `hostSelector`, `hostId`, `environment`, `kubernetes`
    ");
    insta::assert_snapshot!(bad_spec("  components:\n  - {name: a, image: ./a.wasm, pool_size: 1}\n"), @"
    workload.yaml:6:32: unknown field `pool_size`
    hint: did you mean `poolSize`? known here: `name`, `image`, `imagePullSecret`, `imagePullPolicy`, `poolSize`, `maxInvocations`, `maxConcurrency`, `localResources`
    ");
    insta::assert_snapshot!(bad(&CHAIN.replace("kind: Workload", "kind: Worklaod")), @"
    workload.yaml:3:7: `Worklaod` is no kind that a host runs
    hint: did you mean `Workload`? known here: `Workload`
    ");
    insta::assert_snapshot!(bad(&CHAIN.replace("v1alpha1", "v1alpha2")), @"
    workload.yaml:2:13: found apiVersion `runtime.wasmcloud.dev/v1alpha2`, wanted `runtime.wasmcloud.dev/v1alpha1`
    hint: write `apiVersion: runtime.wasmcloud.dev/v1alpha1`
    ");
    insta::assert_snapshot!(bad(&CHAIN.replace("to: greeter", "to: greter")), @"
    workload.yaml:28:55: `greter` is no component of this workload
    hint: did you mean `greeter`? known here: `front`, `greeter`
    ");
    insta::assert_snapshot!(bad(&CHAIN.replace("to: host", "to: host, kind: hots")), @"
    workload.yaml:29:66: `hots` is no kind of link
    hint: did you mean `host`? known here: `fused`, `isolated`, `host`, `remote`
    ");
}

#[test]
fn an_error_shows_its_line() {
    let error = parse(
        &CHAIN.replace("image: ./front.wasm", "image: front"),
        file(),
    )
    .err()
    .unwrap();
    insta::assert_snapshot!(error.render(false), @"
    error: `front` is no image: it has neither the form of a path nor that of a reference; wanted a file such as `./api.wasm`, or `registry/repository:tag`
      --> workload.yaml:12:14
       |
    12 |       image: front
       |              ^^^^^
    ");
}

#[test]
fn a_wrong_type_says_found_and_wanted() {
    insta::assert_snapshot!(bad_spec("  components: {name: a}\n"), @"workload.yaml:5:15: found a mapping, wanted a list (`- item`)");
    insta::assert_snapshot!(bad_spec("  components:\n  - api\n"), @"workload.yaml:6:5: found `api`, wanted a mapping (`key: value`)");
    insta::assert_snapshot!(bad_spec("  components:\n  - {name: a, image: ./a.wasm, poolSize: many}\n"), @"workload.yaml:6:42: found `many`, wanted a whole number");
    insta::assert_snapshot!(bad(&CHAIN.replace("kind: Workload", "kind: [Workload]")), @"workload.yaml:3:7: found a list, wanted a text");
    insta::assert_snapshot!(bad("hello"), @"workload.yaml:1:1: found `hello`, wanted a mapping (`key: value`)");
}

#[test]
fn all_errors_of_a_document_come_at_once() {
    let spec = "  components:\n  - image: a b\n  - name: Api\n    image: ./a.wasm\n    imagePullPolicy: Alway\n  - {name: x, poolSize: 3000000000}\n  hostInterfaces:\n  - {namespace: wasi, package: 'http/types', interfaces: [], version: '1.0'}\n";
    insta::assert_snapshot!(bad_spec(spec), @"
    workload.yaml:6:5: the component has no `name`
    workload.yaml:6:12: `a b` is no image: it has neither the form of a path nor that of a reference; wanted a file such as `./api.wasm`, or `registry/repository:tag`
    workload.yaml:7:11: `Api` is no component name; wanted 1 to 63 lower-case letters, digits and `-`, with no `-` at either end
    workload.yaml:9:22: `imagePullPolicy` is for registry images; a file is always read
    hint: remove it
    workload.yaml:9:22: `Alway` is no pull policy
    hint: did you mean `Always`? known here: `Always`, `IfNotPresent`, `Never`
    workload.yaml:10:5: component `x` has no `image`
    workload.yaml:10:25: found 3000000000, wanted at most 2147483647
    workload.yaml:12:32: `http/types` is no package; wanted a word in kebab-case, like `wasi`
    hint: `wasi:http/types@0.2.0` is written as `namespace: wasi`, `package: http`, `interfaces: [types]`, `version: 0.2.0`
    workload.yaml:12:58: the list of interfaces is empty; wanted one or more
    workload.yaml:12:71: `1.0` is no version of three numbers like `1.2.3`
    ");
}

#[test]
fn errors_of_every_document_come_at_once() {
    let text = format!(
        "{}---\nkind: Host\n---\nhello: world\n",
        CHAIN.replace("name: chain", "name: Chain")
    );
    insta::assert_snapshot!(bad(&text), @"
    workload.yaml:5:9: `Chain` is no workload name; wanted 1 to 253 lower-case letters, digits, `-` and `.`, with no `-` or `.` at either end
    workload.yaml:32:1: the document has no `apiVersion`
    hint: begin with `apiVersion: runtime.wasmcloud.dev/v1alpha1` and `kind: Workload`
    workload.yaml:32:7: kind `Host` is for a cluster's control plane; a host runs `kind: Workload`
    hint: write a `kind: Workload` with the same components
    workload.yaml:34:1: the document has neither `apiVersion` nor `kind`
    hint: begin with `apiVersion: runtime.wasmcloud.dev/v1alpha1` and `kind: Workload`
    ");
}

#[test]
fn another_kind_is_not_blamed_for_its_fields() {
    let text = "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: WorkloadDeployment\nspec: {replicas: 3}\n";
    insta::assert_snapshot!(bad(text), @"
    workload.yaml:2:7: kind `WorkloadDeployment` is for a cluster's control plane; a host runs `kind: Workload`
    hint: write a `kind: Workload` with the same components
    ");
}

#[test]
fn a_repetition_names_both_places() {
    let twice = "  components:\n  - {name: a, image: ./a.wasm}\n  - {name: a, image: ./b.wasm}\n";
    insta::assert_snapshot!(bad_spec(twice), @"workload.yaml:7:12: a component called `a` is already there at 6:12");
    insta::assert_snapshot!(bad_spec("  components: []\n  components: []\n"), @"
    workload.yaml:6:3: `components` is there twice in one mapping; the first is at 5:3
    hint: keep one of them
    ");
    insta::assert_snapshot!(bad(&format!("{CHAIN}---{CHAIN}")), @"workload.yaml:35:9: the workload `shop/chain` is already there at 5:9");
    let entry = |extra: &str| {
        format!("  - {{namespace: wasi, package: http, interfaces: [types]{extra}}}\n")
    };
    let components = "  components:\n  - {name: a, image: ./a.wasm}\n  hostInterfaces:\n";
    let spec = format!("{components}{}{}", entry(""), entry(", version: 0.3.0"));
    insta::assert_snapshot!(bad_spec(&spec), @"workload.yaml:9:5: an entry without a name for `wasi:http` is already there at 8:5");
    let named = entry(", name: x, version: 0.2.0");
    assert!(bad_spec(&format!("{components}{named}{named}")).contains("is already there at 8:5"));
    let handler = |component: &str| {
        format!(
            "  - {{namespace: wasmcloud, package: messaging, interfaces: [handler], config: {{component: {component}}}}}\n"
        )
    };
    let spec = format!(
        "{components}{}{}{}",
        handler("a"),
        handler("b"),
        handler("a")
    );
    insta::assert_snapshot!(bad_spec(&spec), @"workload.yaml:10:5: an entry of `wasmcloud:messaging` for component `a` is already there at 8:5");
}

#[test]
fn a_link_makes_sense_or_is_refused() {
    let link = |link: &str| {
        bad_spec(&format!(
            "  components: [{{name: a, image: ./a.wasm}}, {{name: b, image: ./b.wasm}}]\n  links:\n  - {{import: 'x:y/z', {link}}}\n"
        ))
    };
    insta::assert_snapshot!(link("from: a, to: a"), @"
    workload.yaml:7:5: component `a` cannot answer its own import
    hint: link it to another component, or `to: host`
    ");
    insta::assert_snapshot!(link("from: a, to: c"), @"
    workload.yaml:7:36: `c` is no component of this workload
    hint: known here: `a`, `b`
    ");
    insta::assert_snapshot!(link("from: a"), @"workload.yaml:7:5: the link has no `to`");
    insta::assert_snapshot!(link("from: a, to: host, kind: fused"), @"
    workload.yaml:7:48: a link `to: host` is of kind `host`, not `fused`
    hint: remove `kind`
    ");
    insta::assert_snapshot!(link("from: a, to: b, kind: host"), @"
    workload.yaml:7:45: a link of kind `host` goes `to: host`, not to a component
    hint: remove `kind`, or write `to: host`
    ");
    insta::assert_snapshot!(link("to: host"), @"
    workload.yaml:7:5: a link without `from` chooses the component that the outside calls
    hint: name a component in `to`, or add `from`
    ");
    insta::assert_snapshot!(link("to: b, kind: isolated"), @"
    workload.yaml:7:5: a link without `from` chooses the component that the outside calls, which is always isolated from it
    hint: remove `kind`, or add `from`
    ");
    assert!(
        link("from: a, to: b}\n  - {import: 'x:y/z', from: a, to: host")
            .contains("already there at 7:5")
    );
    assert!(
        bad_spec("  components: [{name: host, image: ./a.wasm}]").contains("can be called `host`")
    );
}

#[test]
fn a_broken_component_does_not_break_its_links() {
    let errors = bad(&CHAIN.replace("file:greeter.wasm", "greeter"));
    assert_eq!(errors.matches("workload.yaml:").count(), 1, "{errors}");
}

#[test]
fn mounts_and_volumes_fit_together() {
    let spec = "  components:\n  - name: a\n    image: ./a.wasm\n    localResources:\n      volumeMounts: [{name: dota, mountPath: data}]\n  volumes:\n  - {name: data}\n";
    insta::assert_snapshot!(bad_spec(spec), @"
    workload.yaml:9:29: `dota` is no volume of this workload
    hint: did you mean `data`? known here: `data`
    workload.yaml:9:46: found `data`, wanted an absolute path
    workload.yaml:11:5: the volume `data` needs exactly one source
    hint: write `ephemeral: {}` or `hostPath: {path: /srv/data}`
    ");
}

/// A manifest with one volume and its mounts.
fn volume(volume: &str, mounts: &str) -> String {
    format!(
        "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {{name: a}}\nspec:\n  components:\n  - name: a\n    image: ./a.wasm\n    localResources:\n      volumeMounts: [{mounts}]\n  volumes:\n  - {{name: v, {volume}}}\n"
    )
}

#[test]
fn the_size_of_an_ephemeral_volume_is_a_number_or_none() {
    for (limit, wanted) in [
        ("{}", Limit::Default),
        ("{sizeLimitMb: 0}", Limit::Default),
        ("{sizeLimitMb: -1}", Limit::Default),
        ("{sizeLimitMb: 64}", Limit::Of(Mebibytes(64))),
        ("{sizeLimitMb: none}", Limit::Unlimited),
    ] {
        let workload = good(&volume(&format!("ephemeral: {limit}"), ""));
        assert_eq!(
            workload.volumes[0].source,
            VolumeSource::Ephemeral(wanted),
            "{limit}"
        );
        let again = good(&workload.to_manifest().to_string());
        assert_eq!(again.volumes, workload.volumes, "{limit}");
    }
    for (limit, wanted) in [
        ("much", "wanted a number or `none`"),
        ("64Mi", "wanted a number or `none`"),
        ("None", "wanted a number or `none`"),
        ("1.5", ""),
        ("99999999999", "wanted at most"),
    ] {
        let error = bad(&volume(&format!("ephemeral: {{sizeLimitMb: {limit}}}"), ""));
        assert!(error.contains(wanted), "{error}");
        assert!(error.starts_with("workload.yaml:11:"), "{error}");
    }
}

#[test]
fn mount_paths_have_one_form() {
    for (path, wanted) in [
        ("/data", "/data"),
        ("/data/", "/data"),
        ("//data/./sub//", "/data/sub"),
        ("/", "/"),
        ("/a..b/..c", "/a..b/..c"),
    ] {
        let mounts = format!("{{name: v, mountPath: '{path}'}}");
        let workload = good(&volume("ephemeral: {}", &mounts));
        let mount = &workload.components[0].local_resources.volume_mounts[0];
        assert_eq!(
            (mount.mount_path.as_str(), mount.read_only),
            (wanted, false)
        );
    }
    let mount = |path: &str| {
        let mounts = format!("{{name: v, mountPath: /data}}, {{name: v, mountPath: {path}}}");
        bad(&volume("ephemeral: {}", &mounts))
    };
    insta::assert_snapshot!(mount("/data/../etc"), @"
    workload.yaml:9:72: `/data/../etc` goes up with `..`
    hint: write the path where the component sees the volume
    ");
    insta::assert_snapshot!(mount("//data/."), @"workload.yaml:9:72: a mount at `//data/.` is already there at 9:43");
    assert!(mount("\"/a\\nb\"").contains("a control character"));
    assert!(mount(&format!("/{}", "x".repeat(2_000))).contains("more than 1024 bytes"));
    // Below another mount is fine: the longer path wins.
    let mounts = "{name: v, mountPath: /data}, {name: v, mountPath: /data/sub, readOnly: true}";
    good(&volume("ephemeral: {}", mounts));
}

#[test]
fn a_host_path_is_absolute() {
    insta::assert_snapshot!(bad(&volume("hostPath: {path: ./data}", "")), @"
    workload.yaml:11:32: found `./data`, wanted an absolute path
    hint: write the folder of the machine, such as `/srv/data`
    ");
    insta::assert_snapshot!(bad(&volume("hostPath: {}", "")), @"workload.yaml:11:25: `hostPath` has no `path`");
}

#[test]
fn what_a_host_could_only_ignore_is_refused() {
    let spec = "  hostId: x\n  hostSelector: {a: b}\n  environment: prod\n  kubernetes: {}\n  components:\n  - name: a\n    image: ./a.wasm\n    imagePullSecret: {name: x}\n    imagePullPolicy: Always\n    maxConcurrency: 2\n    localResources:\n      environment: {configFrom: [{name: x}], secretFrom: []}\n";
    insta::assert_snapshot!(bad_spec(spec), @"
    workload.yaml:5:11: `hostId` is for a scheduler; a host runs what it is given
    hint: remove it
    workload.yaml:6:17: `hostSelector` is for a scheduler; a host runs what it is given
    hint: remove it
    workload.yaml:7:16: `environment` is for a scheduler; a host runs what it is given
    hint: remove it; variables of a component go under its `localResources.environment.config`
    workload.yaml:8:15: `kubernetes` is for a scheduler; a host runs what it is given
    hint: remove it
    workload.yaml:12:22: `imagePullSecret` is for registry images; a file is always read
    hint: remove it
    workload.yaml:13:22: `imagePullPolicy` is for registry images; a file is always read
    hint: remove it
    workload.yaml:14:21: `maxConcurrency` is for pooled instances, and there is no `poolSize`
    hint: add `poolSize`, or remove `maxConcurrency`
    workload.yaml:16:33: `configFrom` names ConfigMaps of a cluster, which a host does not see
    hint: write the values under `config`
    workload.yaml:16:58: `secretFrom` names Secrets of a cluster, which a host does not see
    hint: write the values under `config`
    ");
}

#[test]
fn an_allowed_host_that_is_none_is_told_with_its_place() {
    let spec = "  components:\n    - name: api\n      image: a.wasm\n      localResources:\n        allowedHosts:\n          - example.com\n          - https://example.com/path\n          - \"*foo\"\n";
    insta::assert_snapshot!(bad_spec(spec), @r"
    workload.yaml:11:13: `https://example.com/path` has more than a host
    hint: requests are allowed by host, not by path; leave out what comes after the host
    workload.yaml:12:13: `*foo` has a `*` where none can be
    hint: a `*` stands alone, or as `*.` before a name
    ");
}

#[test]
fn what_this_version_does_not_run_is_refused() {
    insta::assert_snapshot!(bad(EVERYTHING), @"
    workload.yaml:34:52: `remote` links are not made yet
    hint: use `kind: isolated` or `kind: fused`, or leave `kind` out
    ");
}

#[test]
fn a_service_is_one_and_goes_by_its_name() {
    let service = |more: &str| {
        format!(
            "  components:\n  - {{name: api, image: a.wasm}}\n  service:\n    image: s.wasm\n{more}"
        )
    };
    let workload = good(&whole(&service("    maxRestarts: 5\n")));
    let parts: Vec<&str> = workload.parts().map(|part| part.name.as_str()).collect();
    assert_eq!(parts, ["api", "service"]);
    assert_eq!(workload.service.unwrap().max_restarts, 5);

    insta::assert_snapshot!(bad_spec("  service:\n  - image: a.wasm\n  - image: b.wasm\n"), @"workload.yaml:5:3: found sequence, wanted one mapping, as a workload has one service at most");
    insta::assert_snapshot!(bad_spec("  service: {image: a.wasm}\n  service: {image: b.wasm}\n"), @"
    workload.yaml:6:3: `service` is there twice in one mapping; the first is at 5:3
    hint: keep one of them
    ");
    insta::assert_snapshot!(bad_spec("  components:\n  - {name: service, image: a.wasm}\n  service: {image: s.wasm}\n"), @"
    workload.yaml:6:12: a component is called `service`, as the service of the workload is
    hint: choose another name
    ");
    insta::assert_snapshot!(bad_spec(&service("    maxRestarts: -1\n    poolSize: 2\n")), @"
    workload.yaml:10:5: unknown field `poolSize`
    hint: known here: `image`, `imagePullSecret`, `imagePullPolicy`, `maxRestarts`, `ports`, `localResources`
    ");
    insta::assert_snapshot!(bad_spec(&service("    localResources: {cpuLimit: 100}\n")), @"
    workload.yaml:9:32: `cpuLimit` is for one invocation, and a service computes for as long as it lives
    hint: remove it; services share the processors fairly with everything else
    ");
    insta::assert_snapshot!(bad_spec(&service("  links:\n  - {from: api, import: \"a:b/c\", to: service}\n")), @"
    workload.yaml:10:38: a service cannot be linked to: its one instance is busy with what it runs
    hint: have the service listen on TCP, and connect to `service.wasmcloud.internal`
    ");
}

#[test]
fn a_file_without_a_workload_is_an_error() {
    for text in [
        "",
        "\n",
        "# only a comment\n",
        "---\n---\n",
        "null",
        "\u{feff}",
    ] {
        assert!(
            bad(text).starts_with("workload.yaml: the file holds no workload\n"),
            "{text:?}"
        );
    }
    insta::assert_snapshot!(bad("{}"), @"
    workload.yaml:1:1: the document has neither `apiVersion` nor `kind`
    hint: begin with `apiVersion: runtime.wasmcloud.dev/v1alpha1` and `kind: Workload`
    ");
    insta::assert_snapshot!(bad("apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\n"), @"
    workload.yaml:1:1: the document has no `metadata`
    workload.yaml:1:1: the document has no `spec`
    ");
    insta::assert_snapshot!(bad_spec("  components: []\n"), @"
    workload.yaml:5:3: the workload has no components
    hint: list components under `spec.components`, each with `name` and `image`, or add a `spec.service`
    ");
}

#[test]
fn broken_syntax_is_reported_once() {
    insta::assert_snapshot!(bad("kind: Workload\nspec: {\n"), @"
    workload.yaml:2:7: not valid YAML or JSON: unclosed bracket '{'
    hint: check quotes, brackets and indentation; a text with `: ` or ` #` in it needs quotes
    ");
    insta::assert_snapshot!(bad("kind: Workload\nspec:\n\tcomponents: []\n"), @"
    workload.yaml:3:2: not valid YAML or JSON: tabs disallowed within this context (block indentation)
    hint: indent with spaces
    ");
    insta::assert_snapshot!(bad("kind: *anchor\n"), @"
    workload.yaml:1:7: `*anchor` refers to no anchor of this file
    hint: a text that begins with `*` needs quotes
    ");
}

#[test]
fn aliases_and_merges_are_followed() {
    let text = CHAIN
        .replace("config: {colour: blue}", "config: &shared {colour: blue}")
        .replace(
            "image: file:greeter.wasm",
            "image: ./g.wasm\n      localResources: {config: *shared}",
        );
    assert_eq!(
        good(&text).components[1].local_resources.config["colour"],
        "blue"
    );
}

#[test]
fn hostile_text_is_refused_without_harm() {
    let header =
        "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {name: a}\nspec:\n";
    let mut bomb = format!("{header}  hostId:\n  - &a [x, x, x, x, x, x, x, x, x]\n");
    for (this, last) in ('b'..='z').zip('a'..) {
        let uses = format!("*{last}, ").repeat(9);
        bomb.push_str(&format!("  - &{this} [{uses}]\n"));
    }
    let hostile = [
        "[".repeat(100_000),
        "{\"a\":".repeat(100_000),
        "- ".repeat(100_000),
        format!("{header}{}", "  components: [".repeat(1_000)),
        bomb,
        "x".repeat(1024 * 1024 + 1),
        "\0".to_owned(),
        format!("{header}  components:\n  - name: \"a\\0\"\n"),
        "---\n".repeat(100_000),
        "a: 1\n---\n".repeat(10_000),
    ];
    for text in hostile {
        let errors = parse(&text, file()).err().unwrap();
        assert!(!errors.0.is_empty());
        assert!(errors.0.len() <= 101, "{}", errors.0.len());
        assert!(errors.0.iter().all(|error| error.to_string().len() < 1_000));
    }
}

#[test]
fn secrets_stay_out_of_errors() {
    let text = CHAIN.replace("GREETING: hello", "GREETING: \"hun\\0ter2\"");
    let error = bad(&text);
    assert!(
        error.contains("GREETING") && !error.contains("ter2"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn any_text_parses_or_explains(text in any::<String>()) {
        if let Err(errors) = parse(&text, file()) {
            prop_assert!(!errors.0.is_empty());
        }
    }

    /// One change in a good manifest reaches deeper than noise does.
    #[test]
    fn any_change_parses_or_explains(
        at in 0usize..CHAIN.len(), length in 0usize..20, put in "[a-z:{}\\[\\],&*!|>#%\"' \n\t0-9-]{0,6}",
    ) {
        let mut text = CHAIN.to_owned();
        let end = (at + length).min(text.len());
        text.replace_range(at..end, &put);
        if let Err(errors) = parse(&text, file()) {
            prop_assert!(!errors.render(false).is_empty());
        }
    }
}
