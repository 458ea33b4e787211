//! Signing.

use serde_json::{Value, json};

use super::*;

#[test]
fn signatures_that_are_there_stay_as_they_are() {
    let existing = json!({
        "layers": [{
            "mediaType": simple::PAYLOAD,
            "digest": image().to_string(),
            "size": 7,
            "annotations": { simple::SIGNATURE: "AA==", "of.somebody": "else" },
        }],
        "config": {},
    });
    let artifact = p256()
        .sign(&reference(), image(), Some(existing.to_string().as_bytes()))
        .unwrap();
    let manifest: Value = serde_json::from_slice(&artifact.manifest).unwrap();
    let config: Value = serde_json::from_slice(&artifact.config).unwrap();
    assert!(artifact.is_new);
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
    assert_eq!(manifest["layers"][0], existing["layers"][0]);
    assert_eq!(
        manifest["layers"][1]["digest"],
        Digest::of(&artifact.payload).to_string()
    );
    assert_eq!(
        manifest["config"]["digest"],
        Digest::of(&artifact.config).to_string()
    );
    assert_eq!(
        config["rootfs"]["diff_ids"][1],
        manifest["layers"][1]["digest"]
    );
}

#[test]
fn signing_twice_with_a_key_is_signing_once() {
    for key in [p256(), p384(), ed25519()] {
        let first = key.sign(&reference(), image(), None).unwrap();
        let second = key
            .sign(&reference(), image(), Some(&first.manifest))
            .unwrap();
        assert!(!second.is_new);
        assert_eq!(first.manifest, second.manifest);
        let other = p256()
            .sign(&reference(), image(), Some(&first.manifest))
            .unwrap();
        assert!(other.is_new);
    }
}

#[test]
fn what_is_no_list_of_signatures_is_not_written_over() {
    let key = p256();
    let refused = |existing: &str| {
        let error = key
            .sign(&reference(), image(), Some(existing.as_bytes()))
            .unwrap_err();
        assert!(matches!(error, SignError::Existing { .. }), "{error}");
    };
    refused("");
    refused("{}");
    refused(r#"{"layers":{}}"#);
    refused(r#"{"layers":[7]}"#);
    refused(r#"{"layers":[{"mediaType":"application/wasm","digest":"sha256:12"}]}"#);
    let layer = json!({ "mediaType": simple::PAYLOAD, "digest": image().to_string() });
    let full = json!({ "layers": vec![layer; candidate::MOST] }).to_string();
    let error = key
        .sign(&reference(), image(), Some(full.as_bytes()))
        .unwrap_err();
    assert!(
        matches!(
            error,
            SignError::Full {
                found: candidate::MOST,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn what_is_no_private_key_is_told_why() {
    let told = |text: &str| SigningKey::from_pem(text, Some(b"")).unwrap_err();
    assert!(matches!(told(""), KeyError::NotPem { .. }));
    assert!(matches!(
        told("-----BEGIN PRIVATE KEY-----"),
        KeyError::NotPem { .. }
    ));
    assert!(matches!(told("-----BEGIN "), KeyError::NotPem { .. }));
    assert!(matches!(told(&"x".repeat(100_000)), KeyError::Large { .. }));
    assert!(matches!(
        told(&p256().public().to_pem()),
        KeyError::Label { .. }
    ));
    assert!(matches!(
        told(&signing::pem("PRIVATE KEY", b"0")),
        KeyError::Algorithm
    ));
    for label in [
        "EC PRIVATE KEY",
        "RSA PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
    ] {
        assert!(
            told(&signing::pem(label, b"0"))
                .to_string()
                .contains("openssl pkcs8"),
            "{label}"
        );
    }
    let damaged = told("-----BEGIN PRIVATE KEY-----\nsecret%\n-----END PRIVATE KEY-----\n");
    assert!(matches!(damaged, KeyError::Damaged(_)) && !damaged.to_string().contains("secret"));
    assert!(matches!(
        told(&signing::pem("ENCRYPTED SIGSTORE PRIVATE KEY", b"0")),
        KeyError::Damaged(_)
    ));
}

#[test]
fn a_key_shows_its_fingerprint_and_nothing_else() {
    let key = ed25519();
    assert_eq!(
        format!("{key:?}"),
        format!("SigningKey({})", key.public().fingerprint())
    );
}
