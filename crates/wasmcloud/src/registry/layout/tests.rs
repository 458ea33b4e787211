//! Manifests of components, and of what is taken for one.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use serde_json::{Value, json};

use super::*;
use crate::workload::Digest;

const LIMIT: u64 = 1000;

fn blob(media_type: &str, size: impl Into<Value>) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(b"x").to_string(), "size": size.into()})
}

fn image(config: &str, layers: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": media::MANIFEST, "config": blob(config, 2), "layers": layers})
}

fn read(manifest: &Value) -> Result<Artifact, NotAComponent> {
    Artifact::read(
        Some(media::MANIFEST),
        manifest.to_string().as_bytes(),
        LIMIT,
    )
}

fn told(manifest: &Value) -> String {
    read(manifest).unwrap_err().to_string()
}

#[test]
fn the_standard_layout_and_the_former_one_of_wasmcloud_are_components() {
    let standard = image(media::WASM_CONFIG, &[blob("application/wasm", 1000)]);
    let artifact = read(&standard).unwrap();
    assert_eq!(
        (artifact.layer.size, &*artifact.layer.media_type),
        (1000, media::WASM)
    );
    assert_eq!(artifact.config.media_type, media::WASM_CONFIG);
    let old = blob(media::OLD_WASM, 5);
    let config = "application/vnd.wasmcloud.actor.archive.config";
    assert_eq!(
        read(&image(config, std::slice::from_ref(&old)))
            .unwrap()
            .layer
            .size,
        5
    );
    let more = image(config, &[old, blob("application/json", 7)]);
    assert_eq!(read(&more).unwrap().layer.size, 5);
    // As `oras push … app.wasm:application/wasm` has it.
    let by_oras = image(media::EMPTY, &[blob("application/wasm", 1)]);
    assert!(read(&by_oras).is_ok());
    // Without types: some registries send none.
    let mut bare = standard;
    bare.as_object_mut().unwrap().remove("mediaType");
    assert!(Artifact::read(None, bare.to_string().as_bytes(), LIMIT).is_ok());
    assert!(Artifact::read(Some("application/json"), bare.to_string().as_bytes(), LIMIT).is_ok());
}

#[test]
fn an_image_index_is_told_with_its_platforms() {
    let mut amd = blob(media::MANIFEST, 5);
    amd["platform"] = json!({"os": "linux", "architecture": "amd64"});
    let index = json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": [amd, blob(media::MANIFEST, 5)]});
    let index = index.to_string();
    for media_type in [Some(media::INDEX), None] {
        let told = Artifact::read(media_type, index.as_bytes(), LIMIT)
            .unwrap_err()
            .to_string();
        assert_eq!(
            told,
            format!(
                "it is an image index of linux/amd64, {}, not a component",
                media::MANIFEST
            )
        );
    }
}

#[test]
fn a_container_image_is_told() {
    let layer = blob("application/vnd.oci.image.layer.v1.tar+gzip", 5);
    for config in [media::IMAGE_CONFIG, media::DOCKER_CONFIG] {
        let wanted = "it is a container image, not a component";
        assert_eq!(told(&image(config, std::slice::from_ref(&layer))), wanted);
        assert_eq!(
            told(&image(config, &[layer.clone(), layer.clone()])),
            wanted
        );
    }
}

#[test]
fn an_empty_artifact_is_told() {
    for layers in [
        vec![],
        vec![blob(media::EMPTY, 2)],
        vec![blob(media::WASM, 0)],
    ] {
        assert!(
            told(&image(media::WASM_CONFIG, &layers)).contains("empty artifact"),
            "{layers:?}"
        );
    }
}

#[test]
fn an_artifact_with_several_layers_is_told_with_their_types() {
    let two = image(
        media::WASM_CONFIG,
        &[blob(media::WASM, 1), blob("text/plain", 1)],
    );
    assert_eq!(
        told(&two),
        "it has 2 layers (application/wasm, text/plain), and a component has one"
    );
    let many = image(media::WASM_CONFIG, &vec![blob(media::WASM, 1); 9]);
    assert!(told(&many).contains("and 5 more"), "{}", told(&many));
    let bomb = image(media::WASM_CONFIG, &vec![blob(media::WASM, 1); 2000]);
    assert!(told(&bomb).contains("2000 layers or manifests, more than 1000"));
}

#[test]
fn a_compressed_layer_is_refused_by_name() {
    for end in ["+gzip", "+zstd"] {
        let told = told(&image(
            media::WASM_CONFIG,
            &[blob(&format!("application/wasm{end}"), 5)],
        ));
        assert!(told.contains("compressed") && told.contains(end), "{told}");
    }
}

#[test]
fn another_artifact_is_told_with_its_type() {
    let chart = image(
        "application/vnd.cncf.helm.config.v1+json",
        &[blob("application/x-tar", 5)],
    );
    assert_eq!(
        told(&chart),
        "it is another kind of artifact (application/vnd.cncf.helm.config.v1+json, with a layer of application/x-tar), not a component"
    );
    let mut typed = chart;
    typed["artifactType"] = json!("application/vnd.example");
    assert!(told(&typed).contains("(application/vnd.example,"));
}

#[test]
fn what_a_registry_writes_reaches_no_terminal_as_it_is() {
    let evil = "text/\u{1b}[2J\u{202e}\nok";
    let shown = "text/\\u{1b}[2J\\u{202e}\\nok";
    let mut typed = image("text/plain", &[blob(evil, 5)]);
    assert_eq!(
        told(&typed),
        format!(
            "it is another kind of artifact (text/plain, with a layer of {shown}), not a component"
        )
    );
    typed["artifactType"] = json!(evil);
    assert!(told(&typed).contains(&format!("({shown}, with a layer of {shown})")));
    let config = image(evil, &[blob("text/plain", 5)]);
    assert!(told(&config).contains(&format!("({shown}, with")));
    let zipped = image(media::WASM_CONFIG, &[blob(&format!("{evil}+gzip"), 5)]);
    assert!(told(&zipped).contains(&format!("compressed ({shown}+gzip)")));
    let several = image(media::WASM_CONFIG, &[blob(evil, 1), blob(evil, 1)]);
    assert!(told(&several).contains(&format!("({shown}, {shown})")));
    let mut lies = image(media::WASM_CONFIG, &[]);
    lies["mediaType"] = json!(evil);
    assert!(told(&lies).contains(&format!("says that it is {shown}")));
    let mut platform = blob(evil, 5);
    let list = |manifest: &Value| {
        let index = json!({"schemaVersion": 2, "manifests": [manifest]}).to_string();
        let read = Artifact::read(None, index.as_bytes(), LIMIT);
        read.unwrap_err().to_string()
    };
    assert!(list(&platform).contains(&format!("index of {shown},")));
    platform["platform"] = json!({"os": evil, "architecture": "x".repeat(1 << 20)});
    let told = list(&platform);
    assert!(told.contains(&format!("index of {shown}/xxx")) && told.len() < 500);
}

#[test]
fn a_text_of_mebibytes_is_neither_quoted_whole_nor_taken_for_a_type() {
    let long = "x".repeat(1 << 20);
    let told = |manifest: &Value| {
        let told = told(manifest);
        assert!(told.len() < 500, "{} bytes", told.len());
        told
    };
    let mut typed = image("text/plain", &[blob("text/plain", 5)]);
    typed["artifactType"] = json!(long);
    assert_eq!(
        told(&typed),
        "its manifest is damaged: its artifact type has more than 255 letters"
    );
    typed["artifactType"] = json!("x".repeat(255));
    let cut = format!("({}…, with a layer", "x".repeat(200));
    assert!(told(&typed).contains(&cut));
    for field in ["mediaType", "artifactType"] {
        let mut layer = blob(media::WASM, 5);
        layer[field] = json!(long);
        let told = told(&image(media::WASM_CONFIG, &[layer]));
        assert!(
            told.contains("its layer 1: its type has more than 255 letters"),
            "{told}"
        );
    }
    // What the parser would quote.
    let mut damaged = image(media::WASM_CONFIG, &[]);
    for (field, wrong) in [("schemaVersion", json!(long)), ("layers", json!(long))] {
        damaged[field] = wrong;
        let told = told(&damaged);
        assert!(
            told.contains("no JSON of a manifest: invalid type: string \"xxx"),
            "{told}"
        );
    }
}

#[test]
fn sizes_that_cannot_be_are_refused_before_anything_is_fetched() {
    let of = |size: Value| told(&image(media::WASM_CONFIG, &[blob(media::WASM, size)]));
    assert_eq!(
        of(json!(1001)),
        "its component has 1001 bytes, more than the limit of 1000"
    );
    assert!(of(json!(u64::MAX)).contains("more than the limit"));
    for size in [json!(-1), json!(1.5), json!(1e30)] {
        let told = of(size);
        assert!(
            told.contains("its layer 1: its size of") && told.contains("no number of bytes"),
            "{told}"
        );
    }
    assert!(of(json!("5")).contains("no JSON of a manifest"));
}

#[test]
fn what_is_no_manifest_or_an_old_or_ambiguous_one_is_told() {
    let raw = |text: &str| {
        Artifact::read(None, text.as_bytes(), LIMIT)
            .unwrap_err()
            .to_string()
    };
    for text in ["", "<html>", "[]", "{\"layers\": 5}", "{}"] {
        assert!(
            raw(text).contains("no JSON of a manifest"),
            "{text}: {}",
            raw(text)
        );
    }
    assert!(
        raw(r#"{"schemaVersion": 1, "fsLayers": [], "history": []}"#).contains("schema version 1")
    );
    let deep = "[".repeat(100_000);
    assert!(raw(&deep).contains("no JSON"));
    let mut both = image(media::WASM_CONFIG, &[blob(media::WASM, 1)]);
    both["manifests"] = json!([]);
    assert!(told(&both).contains("two ways"));
    let mut lies = image(media::WASM_CONFIG, &[blob(media::WASM, 1)]);
    lies["mediaType"] = json!(media::INDEX);
    assert!(told(&lies).contains("it was sent as"));
    assert!(raw(&lies.to_string()).contains("has no `manifests`"));
    let mut path = image(media::WASM_CONFIG, &[blob(media::WASM, 1)]);
    path["layers"][0]["digest"] = json!("../../etc/passwd");
    assert!(told(&path).contains("no digest"));
    path["layers"][0]["digest"] = json!(format!("sha512:{}", "0".repeat(128)));
    assert!(told(&path).contains("no digest"));
}

#[test]
fn a_manifest_is_written_as_it_is_read_and_always_the_same() {
    let layer = Descriptor::of(media::WASM, b"wasm");
    let config = Descriptor::of(media::WASM_CONFIG, b"{}");
    let annotations = BTreeMap::from([
        ("b".to_owned(), "2".to_owned()),
        ("a".to_owned(), "1".to_owned()),
    ]);
    let bytes = write(
        None,
        &config,
        std::slice::from_ref(&layer),
        None,
        &annotations,
    );
    assert_eq!(
        bytes,
        write(
            None,
            &config,
            std::slice::from_ref(&layer),
            None,
            &annotations
        )
    );
    let read = Artifact::read(Some(media::MANIFEST), &bytes, LIMIT).unwrap();
    assert_eq!(
        read,
        Artifact {
            layer,
            config,
            annotations
        }
    );
}
