//! Components that are none, or not there.

use std::path::Path;
use std::sync::Arc;

use wasmcloud::artifact::Files;
use wasmcloud::host::{StartError, WorkloadState};

use crate::support::{TestHost, component, http, p2, spec};

/// Starts a workload whose only component is at a path, and gives the error.
async fn start(host: &TestHost, path: &Path) -> StartError {
    let image = path.to_str().unwrap();
    let error = host
        .try_run("bad", &spec([component("bad-one", image)], [http()]))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("bad-one"), "{error}");
    assert_eq!(
        host.status("bad").await.unwrap().state,
        WorkloadState::Failed
    );
    error
}

#[tokio::test]
async fn an_image_that_is_no_component_is_refused() {
    let host = TestHost::start().await;
    host.run("good", &spec([p2()], [http()])).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let whole = std::fs::read(test_guests::HTTP_P2).unwrap();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle..middle + 64].fill(0xff);

    // Its outline is whole and something inside is not. Who sees it depends on what is there: the reader, or only the compiler.
    let error = start(&host, &file("flipped.wasm", &flipped)).await;
    assert!(
        matches!(error, StartError::Prepare(_) | StartError::Inspect { .. }),
        "{error:?}"
    );

    let error = start(&host, &folder.path().join("none.wasm")).await;
    assert!(
        error.to_string().contains("there is no such file"),
        "{error}"
    );
    let error = start(&host, folder.path()).await;
    assert!(error.to_string().contains("not a regular file"), "{error}");
    for (name, bytes) in [
        ("empty.wasm", &b""[..]),
        ("text.wasm", b"#!/bin/sh\necho not wasm\n"),
        ("magic.wasm", b"\0asm"),
        ("half.wasm", &whole[..whole.len() / 2]),
        ("short.wasm", &whole[..whole.len() - 1]),
        ("module.wasm", b"\0asm\x01\0\0\0"),
        ("future.wasm", b"\0asm\x99\0\x01\0"),
    ] {
        let path = file(name, bytes);
        let error = start(&host, &path).await;
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
        assert_eq!(error.places()[0].path, "spec.components.bad-one.image");
        assert!(
            matches!(error, StartError::Inspect { .. }),
            "{name}: {error:?}"
        );
    }
    // Everything else keeps serving.
    assert_eq!(host.get("/hello").await.status, 200);
}

#[tokio::test]
async fn an_image_has_a_largest_size() {
    let size = std::fs::metadata(test_guests::HTTP_P2).unwrap().len();
    let host = TestHost::with(|config| config.fetch = Arc::new(Files { limit: size - 1 })).await;
    let error = start(&host, Path::new(test_guests::HTTP_P2)).await;
    let wanted = format!("it has {size} bytes, more than the limit of {}", size - 1);
    assert!(error.to_string().contains(&wanted), "{error}");
    let host = TestHost::with(|config| config.fetch = Arc::new(Files { limit: size })).await;
    host.run("good", &spec([p2()], [http()])).await;
}
