//! What a host says about itself, and how large a blob is.

use super::fake::{Fake, Kept, Say};
use super::*;

const PATH: &str = "/.well-known/wasm-pkg/registry.json";

async fn found(fake: &Fake) -> Result<Option<Bytes>, RegistryError> {
    let registries = registries(settings(&[&fake.address]));
    // Credentials for this very host: it is never asked with them.
    let access = with(&fake.address, basic("me", "pw"));
    registries.package_registry(&fake.address, &access).await
}

#[tokio::test]
async fn a_document_is_had_without_credentials_and_along_redirects() {
    let document = r#"{"oci": {"registry": "ghcr.io"}}"#;
    let other = Fake::start(move |_, _| Say::bytes(document)).await;
    let to = format!("http://{}/elsewhere.json", other.address);
    let fake = Fake::start(move |_, nth| match nth {
        0 => Say::status(503),
        _ => Say::status(301).header("Location", to.clone()),
    })
    .await;
    assert_eq!(found(&fake).await.unwrap().unwrap(), document);
    assert_eq!(fake.seen()[0].line, format!("GET {PATH}"));
    assert!(!fake.was_shown("authorization") && !other.was_shown("authorization"));
}

#[tokio::test]
async fn a_host_that_knows_no_document_or_has_a_page_for_people_has_none() {
    for status in [404, 401, 403, 405] {
        let fake = Fake::start(move |_, _| Say::status(status)).await;
        assert_eq!(found(&fake).await.unwrap(), None, "{status}");
        assert_eq!(fake.seen().len(), 1, "{status}");
    }
    for page in ["<html></html>", "", "[]", "7"] {
        let fake = Fake::start(move |_, _| Say::bytes(page)).await;
        assert_eq!(found(&fake).await.unwrap(), None, "{page}");
    }
}

#[tokio::test]
async fn a_host_that_fails_leads_nowhere_or_says_too_much_is_an_error() {
    let told = async |fake: Fake| found(&fake).await.unwrap_err().to_string();
    let broken = Fake::start(|_, _| Say::status(500)).await;
    assert!(told(broken).await.contains("answers with 500"));
    let round = Fake::start(|_, _| Say::status(302).header("Location", PATH)).await;
    assert!(told(round).await.contains("more than 5 times"));
    let file = Fake::start(|_, _| Say::status(302).header("Location", "file:///etc/passwd"));
    assert!(told(file.await).await.contains("something else than HTTP"));
    for sized in [true, false] {
        let large = Fake::start(move |_, _| {
            let large = Say::bytes(vec![b' '; (64 << 10) + 1]);
            if sized { large } else { large.unsized_() }
        });
        assert!(
            told(large.await)
                .await
                .contains("has more than 65536 bytes")
        );
    }
}

#[tokio::test]
async fn a_blob_whose_size_nobody_tells_or_which_is_another_is_not_taken() {
    let kept = Kept::new(component(1000));
    let digest = kept.layer.digest;
    let of = async |fake: &Fake| {
        let registries = registries(settings(&[&fake.address]));
        let package = reference(&fake.address, "app");
        registries
            .package_content(&package, digest, &anybody())
            .await
    };
    let honest = kept.clone();
    let fake = Fake::start(move |seen, _| honest.say(seen)).await;
    assert_eq!(of(&fake).await.unwrap(), kept.component);
    let silent = Fake::start(|_, _| Say::status(200).unsized_()).await;
    let error = of(&silent).await.unwrap_err();
    assert!(
        error.to_string().contains("does not say how many bytes"),
        "{error}"
    );
    let other = Fake::start(|_, _| Say::bytes(vec![7; 1000])).await;
    let error = of(&other).await.unwrap_err();
    assert!(
        matches!(error.kind, RegistryErrorKind::Digest { .. }),
        "{error}"
    );
    let longer = Fake::start(|seen, _| match seen.line.starts_with("HEAD") {
        true => Say::bytes(vec![7; 1000]),
        false => Say::bytes(vec![7; 2000]),
    });
    let error = of(&longer.await).await.unwrap_err();
    assert!(
        matches!(error.kind, RegistryErrorKind::TooLarge { .. }),
        "{error}"
    );
}
