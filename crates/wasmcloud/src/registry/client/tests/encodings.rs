//! Answers that say they are packed: nobody asked for that, and nobody unpacks them.

use std::process::Command;

use super::fake::{Fake, Kept, Say};
use super::*;

/// What `gzip` makes of bytes.
fn packed(bytes: &[u8]) -> Bytes {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bytes");
    std::fs::write(&path, bytes).unwrap();
    let mut gzip = Command::new("gzip");
    gzip.args(["--best", "--no-name", "--stdout"]).arg(&path);
    let output = gzip.output().expect("every Debian has it");
    assert!(output.status.success());
    output.stdout.into()
}

/// The same answer, as one whose body is packed.
fn as_packed(say: Say) -> Say {
    say.header("content-encoding", "gzip")
}

#[tokio::test]
async fn what_is_said_of_an_encoding_changes_no_bytes() {
    // A component that has nothing of it, and one that is packed itself: both are what their digests say.
    for component in [component(10_000), packed(&[0; 100_000])] {
        let kept = Kept::new(component);
        let keeps = kept.clone();
        let fake = Fake::start(move |seen, _| as_packed(keeps.say(seen))).await;
        assert_eq!(pulled(&fake).await.unwrap(), kept.component);
        assert!(!fake.was_shown("accept-encoding"));
    }
}

#[tokio::test]
async fn a_blob_that_comes_packed_is_refused_as_it_comes() {
    let kept = Kept::new(vec![0; 16 << 20].into());
    let bomb = packed(&kept.component);
    assert!(bomb.len() < 32 << 10, "{}", bomb.len());
    let (keeps, sends) = (kept.clone(), bomb.clone());
    let fake = Fake::start(move |seen, _| match seen.line.contains("/blobs/") {
        true => as_packed(Say::bytes(sends.clone())),
        false => keeps.say(seen),
    })
    .await;
    let registries = registries(settings(&[&fake.address]));
    let (reference, access) = (reference(&fake.address, "app:1"), anybody());
    let mut bytes = BytesMut::new();
    let fetched = registries.blob(&reference, &kept.layer, &mut bytes, &access);
    let error = fetched.await.unwrap_err();
    let told = format!("ends after {} of {} bytes", bomb.len(), 16 << 20);
    assert!(error.to_string().ends_with(&told), "{error}");
    // What was kept of it is what came.
    assert_eq!(bytes, bomb);
}

#[tokio::test]
async fn a_manifest_that_comes_packed_is_refused_as_it_comes() {
    let kept = Kept::new(component(10));
    // More than any manifest may have, once it is unpacked.
    let mut padded = kept.manifest.to_vec();
    padded.resize(16 << 20, b' ');
    let bomb = packed(&padded);
    let (keeps, sends) = (kept.manifest(), bomb.clone());
    let fake = Fake::start(move |_, _| as_packed(keeps.clone().body(sends.clone()))).await;
    let registries = registries(settings(&[&fake.address]));
    let resolve = async |version: &str| {
        let reference = reference(&fake.address, &format!("app{version}"));
        registries
            .resolve(&reference, &anybody())
            .await
            .unwrap_err()
    };
    let told = resolve(":1").await.to_string();
    let wanted = "its manifest is damaged: it is no JSON of a manifest";
    assert!(told.contains(wanted), "{told}");
    let pinned = Digest::of(&padded);
    let error = resolve(&format!("@{pinned}")).await;
    let RegistryErrorKind::Digest { wanted, found, .. } = error.kind else {
        panic!("{error}");
    };
    assert_eq!((wanted, found), (pinned, Digest::of(&bomb)));
    assert_eq!(fake.seen_of("GET /v2/app/manifests/").len(), 2);
}
