//! Images, host interfaces, and what stays out of logs.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;

fn image(text: &str) -> Image {
    text.parse().unwrap()
}

fn file(path: &str) -> Image {
    Image::File(path.into())
}

#[test]
fn an_image_is_a_file_or_a_reference() {
    assert_eq!(image("./api.wasm"), file("./api.wasm"));
    assert_eq!(image("../x"), file("../x"));
    assert_eq!(image("/abs/x.wasm"), file("/abs/x.wasm"));
    assert_eq!(image("file:x"), file("x"));
    assert_eq!(image("file:///abs/x"), file("/abs/x"));
    assert_eq!(image("target/x.wasm"), file("target/x.wasm"));
    assert_eq!(
        image("ghcr.io/a/b:1"),
        Image::Registry("ghcr.io/a/b:1".parse().unwrap())
    );
    assert_eq!(
        image("localhost:5000/b"),
        Image::Registry("localhost:5000/b".parse().unwrap())
    );
    for bad in [
        "",
        "api",
        "file:",
        "file://",
        "file://host/x",
        "https://a/b",
        "artifact://a",
        "a b/c",
        "./a\0",
    ] {
        assert!(bad.parse::<Image>().is_err(), "{bad:?}");
    }
}

#[test]
fn an_image_prints_as_something_that_reads_back() {
    for text in [
        "./a.wasm",
        "/a",
        "a.wasm",
        "file:a",
        "file:a:b.wasm",
        "ghcr.io/a/b:1",
    ] {
        assert_eq!(image(text).to_string(), text);
    }
    assert_eq!(image("file:///a").to_string(), "/a");
}

#[test]
fn a_file_resolves_against_the_manifests_folder() {
    let base = Path::new("/srv/app");
    assert_eq!(image("./api.wasm").resolve(base), file("/srv/app/api.wasm"));
    assert_eq!(
        image("../api.wasm").resolve(base),
        file("/srv/app/../api.wasm")
    );
    assert_eq!(image("/api.wasm").resolve(base), file("/api.wasm"));
    assert_eq!(image("ghcr.io/a/b:1").resolve(base), image("ghcr.io/a/b:1"));
}

#[test]
fn a_host_interface_covers_compatible_versions_of_what_it_lists() {
    let entry: HostInterface = "wasi:http/incoming-handler,types@0.2.2".parse().unwrap();
    let covers = |id: &str| entry.covers(&id.parse().unwrap());
    assert!(covers("wasi:http/types@0.2.6"));
    assert!(covers("wasi:http/types"));
    assert!(!covers("wasi:http/types@0.3.0"));
    assert!(!covers("wasi:http/outgoing-handler@0.2.2"));
    assert!(!covers("wasi:cli/types@0.2.2"));
    assert_eq!(entry.to_string(), "wasi:http/incoming-handler,types@0.2.2");
    assert!("wasi:http/a,,b".parse::<HostInterface>().is_err());
}

#[test]
fn either_dialect_of_the_handler_is_an_http_handler() {
    let entry = |text: &str| text.parse::<HostInterface>().unwrap().is_http_handler();
    assert!(entry("wasi:http/incoming-handler@0.2.2"));
    assert!(entry("wasi:http/handler@0.3.0"));
    assert!(!entry("wasi:http/outgoing-handler"));
    assert!(!entry("demo:http/handler"));
}

#[test]
fn the_config_of_a_host_interface_stays_out_of_logs() {
    let mut entry: HostInterface = "wasi:keyvalue/store".parse().unwrap();
    entry.config.insert("password".into(), "hunter2".into());
    assert!(!format!("{entry:?}").contains("hunter2"));
}
