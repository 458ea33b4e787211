//! Signatures by keys, pinned digests, and what a registry can do wrong.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::memory::BUNDLE;
use super::*;

/// A repository with the image, signed.
fn signed(key: &SigningKey) -> Memory {
    let mut memory = Memory::new();
    memory.put(&key.sign(&reference(), image(), None).unwrap());
    memory
}

fn statement(predicate: &str, digest: Digest) -> String {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "digest": { "sha256": digest.hex() } }],
        "predicateType": predicate,
        "predicate": {},
    })
    .to_string()
}

const SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

/// A bundle with an envelope of DSSE, which signs a type and a payload with their lengths.
fn enveloped(key: &SigningKey, payload: &str) -> String {
    let kind = "application/vnd.in-toto+json";
    let message = format!("DSSEv1 {} {kind} {} {payload}", kind.len(), payload.len());
    let signature = key.sign_bytes_for_tests(message.as_bytes());
    json!({
        "mediaType": BUNDLE,
        "verificationMaterial": { "publicKey": { "hint": STANDARD.encode(key.public().fingerprint().as_bytes()) } },
        "dsseEnvelope": {
            "payload": STANDARD.encode(payload),
            "payloadType": kind,
            "signatures": [{ "sig": STANDARD.encode(signature) }],
        },
    })
    .to_string()
}

/// A bundle with a signature of some bytes.
fn plain(key: &SigningKey, message: &[u8]) -> String {
    let signature = key.sign_bytes_for_tests(message);
    json!({
        "mediaType": BUNDLE,
        "verificationMaterial": { "publicKey": { "hint": "" } },
        "messageSignature": {
            "messageDigest": { "algorithm": "SHA2_256", "digest": STANDARD.encode(Digest::of(message).as_bytes()) },
            "signature": STANDARD.encode(signature),
        },
    })
    .to_string()
}

#[tokio::test]
async fn a_signature_by_each_kind_of_key_will_do_in_each_format() {
    for key in [p256(), p384(), ed25519()] {
        let fingerprint = key.public().fingerprint();
        let mut enveloped_one = Memory::new();
        enveloped_one.put_bundle(&enveloped(&key, &statement(SIGN, image())), Some(BUNDLE));
        let mut plain_one = Memory::new();
        plain_one.put_bundle(&plain(&key, IMAGE), None);
        for memory in [signed(&key), enveloped_one, plain_one] {
            let proof = verify(by(&[&p256(), &key]), &memory).await.unwrap();
            assert_eq!(proof, Proof::Key { fingerprint });
        }
    }
}

#[tokio::test]
async fn an_unsigned_image_does_not_run() {
    let error = verify(by(&[&p256()]), &Memory::new()).await.unwrap_err();
    assert!(matches!(error.kind, VerifyErrorKind::Unsigned));
    let told = error.to_string();
    assert!(
        told.contains("`registry.example:5000/acme/shop:1.0` must not run"),
        "{told}"
    );
    assert!(
        told.contains(
            "the rule for `registry.example:5000/acme/*` demands a signature by the key sha256:"
        ),
        "{told}"
    );
    assert!(told.ends_with("it has no signature"), "{told}");
    assert!(error.hint().unwrap().contains("wash push --sign"));
}

#[tokio::test]
async fn a_signature_by_another_key_will_not_do() {
    for key in [p256(), p384(), ed25519()] {
        let memory = signed(&key);
        assert!(matches!(
            why(by(&[&p256()]), &memory).await,
            Rejection::OtherKey { found: None }
        ));
        assert!(matches!(
            why(by(&[]), &memory).await,
            Rejection::OtherKey { .. }
        ));
    }
}

#[tokio::test]
async fn a_signature_of_another_image_will_not_do_here() {
    let key = p256();
    let other = Digest::of(b"other");
    let artifact = key.sign(&reference(), other, None).unwrap();
    let mut memory = Memory::new();
    memory.put(&artifact);
    memory.put_manifest(&SignatureArtifact::tag_of(image()), &artifact.manifest);
    let found = why(by(&[&key]), &memory).await;
    assert!(
        matches!(&found, Rejection::OtherImage { found } if *found == other.to_string()),
        "{found}"
    );

    let mut memory = Memory::new();
    memory.put_bundle(&enveloped(&key, &statement(SIGN, other)), Some(BUNDLE));
    let found = why(by(&[&key]), &memory).await;
    assert!(
        matches!(&found, Rejection::OtherImage { found } if *found == other.to_string()),
        "{found}"
    );

    let mut memory = Memory::new();
    memory.put_bundle(&plain(&key, b"other"), Some(BUNDLE));
    let found = why(by(&[&key]), &memory).await;
    assert!(
        matches!(&found, Rejection::OtherImage { found } if *found == other.to_string()),
        "{found}"
    );
}

#[tokio::test]
async fn a_payload_that_was_changed_will_not_do() {
    let key = p256();
    let artifact = key.sign(&reference(), Digest::of(b"other"), None).unwrap();
    let text = String::from_utf8(artifact.payload.to_vec()).unwrap();
    let changed = text.replace(&Digest::of(b"other").hex(), &image().hex());

    // With the signature of the payload as it was.
    let manifest: serde_json::Value = serde_json::from_slice(&artifact.manifest).unwrap();
    let mut memory = Memory::new();
    memory.put_simple(changed.as_bytes(), &manifest["layers"][0]["annotations"]);
    assert!(matches!(
        why(by(&[&key]), &memory).await,
        Rejection::OtherKey { .. }
    ));

    // Under the digest of the payload as it was.
    let mut memory = signed(&key);
    let payload = key.sign(&reference(), image(), None).unwrap().payload;
    memory.put_blob_as(Digest::of(&payload), [&payload[..], b" "].concat());
    let found = why(by(&[&key]), &memory).await;
    assert!(
        matches!(
            found,
            Rejection::Damaged {
                what: "payload",
                ..
            }
        ),
        "{found}"
    );
}

#[tokio::test]
async fn what_is_signed_must_say_that_it_is_a_signature_of_an_image() {
    let key = p256();
    let annotated = |payload: &str| {
        let signature = key.sign_bytes_for_tests(payload.as_bytes());
        let mut memory = Memory::new();
        memory.put_simple(
            payload.as_bytes(),
            &json!({ simple::SIGNATURE: STANDARD.encode(signature) }),
        );
        memory
    };
    let artifact = key.sign(&reference(), image(), None).unwrap();
    let text = String::from_utf8(artifact.payload.to_vec()).unwrap();
    let memory = annotated(&text.replace("cosign container image signature", r"a scan\u001b[2J"));
    let found = why(by(&[&key]), &memory).await;
    assert!(
        matches!(&found, Rejection::OtherStatement { found } if found == "a scan\\u{1b}[2J"),
        "{found:?}"
    );
    let found = why(by(&[&key]), &annotated(&image().to_string())).await;
    assert!(
        matches!(
            found,
            Rejection::Damaged {
                what: "payload",
                ..
            }
        ),
        "{found}"
    );

    let mut memory = Memory::new();
    let attestation = statement("https://cosign.sigstore.dev/attestation/vuln/v1", image());
    memory.put_bundle(&enveloped(&key, &attestation), Some(BUNDLE));
    let error = verify(by(&[&key]), &memory).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("another statement about one: `https://cosign"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("cosign sign"));
}

#[tokio::test]
async fn one_good_signature_among_bad_ones_is_enough() {
    let (first, second) = (p256(), ed25519());
    let one = first.sign(&reference(), image(), None).unwrap();
    let two = second
        .sign(&reference(), image(), Some(&one.manifest))
        .unwrap();
    let mut memory = Memory::new();
    memory.put(&one);
    memory.put(&two);
    for key in [&first, &second] {
        let fingerprint = key.public().fingerprint();
        assert_eq!(
            verify(by(&[key]), &memory).await.unwrap(),
            Proof::Key { fingerprint }
        );
    }

    // A bundle counts where the signatures in the other format are no good.
    let third = p384();
    memory.put_bundle(&enveloped(&third, &statement(SIGN, image())), Some(BUNDLE));
    assert!(verify(by(&[&third]), &memory).await.is_ok());
    let error = verify(by(&[&p256()]), &memory).await.unwrap_err();
    assert!(
        matches!(&error.kind, VerifyErrorKind::Rejected { rejected } if rejected.len() == 3),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains(".sig, layer 2: it was made by another key"),
        "{error}"
    );
}

#[tokio::test]
async fn bundles_are_found_where_registries_and_clients_put_them() {
    let key = p256();
    let bundle = enveloped(&key, &statement(SIGN, image()));
    // Under the tag, with the types that clients give there.
    for listed in [
        Some(BUNDLE),
        Some("application/vnd.oci.empty.v1+json"),
        None,
    ] {
        let mut memory = Memory::new();
        memory.put_bundle(&bundle, listed);
        assert!(verify(by(&[&key]), &memory).await.is_ok(), "{listed:?}");
    }
    // From the API of the registry.
    let mut memory = Memory::new();
    let digest = memory.put_bundle(&bundle, Some(BUNDLE));
    let other = Referrer {
        digest: Digest::of(b"sbom"),
        artifact_type: Some("application/spdx+json".to_owned()),
    };
    let artifact_type = Some(BUNDLE.to_owned());
    memory.referrers = Some(vec![
        other,
        Referrer {
            digest,
            artifact_type,
        },
    ]);
    memory.put_manifest(&format!("sha256-{}", image().hex()), "{}");
    assert!(verify(by(&[&key]), &memory).await.is_ok());
    // An API that knows nothing of what was there before it.
    let mut memory = Memory::new();
    memory.put_bundle(&bundle, Some(BUNDLE));
    memory.referrers = Some(Vec::new());
    assert!(verify(by(&[&key]), &memory).await.is_ok());
    // A list with what is not there.
    memory.referrers = Some(vec![Referrer {
        digest: image(),
        artifact_type: None,
    }]);
    assert!(matches!(
        verify(by(&[&key]), &memory).await.unwrap_err().kind,
        VerifyErrorKind::Unsigned
    ));
    memory.referrers = Some(vec![Referrer {
        digest: Digest::of(b"gone"),
        artifact_type: None,
    }]);
    assert!(matches!(
        why(by(&[&key]), &memory).await,
        Rejection::Damaged {
            what: "manifest",
            ..
        }
    ));
}

#[tokio::test]
async fn damaged_signatures_are_told_apart() {
    let demand = || by(&[&p256()]);
    let damaged = |found: Rejection| match found {
        Rejection::Damaged { what, .. } => what,
        other => panic!("{other:?}"),
    };
    let tag = SignatureArtifact::tag_of(image());
    let mut memory = Memory::new();
    for manifest in [
        "",
        "[]x",
        "null",
        r#"{"layers":7}"#,
        r#"{"layers":[{"digest":7}]}"#,
        "\u{0}",
    ] {
        memory.put_manifest(&tag, manifest);
        assert_eq!(
            damaged(why(demand(), &memory).await),
            "manifest",
            "{manifest}"
        );
    }
    memory.put_manifest(&tag, "[".repeat(100_000));
    assert_eq!(damaged(why(demand(), &memory).await), "manifest");
    memory.put_layers(&[json!({ "mediaType": simple::PAYLOAD, "digest": "sha256:12", "size": 1 })]);
    assert_eq!(damaged(why(demand(), &memory).await), "manifest");
    for annotations in [
        json!({}),
        json!({ simple::SIGNATURE: "" }),
        json!({ simple::SIGNATURE: "%" }),
    ] {
        memory.put_simple(b"{}", &annotations);
        assert_eq!(
            damaged(why(demand(), &memory).await),
            "signature",
            "{annotations}"
        );
    }
    memory.put_simple(
        b"{}",
        &json!({ simple::SIGNATURE: "AA==", "dev.sigstore.cosign/bundle": "{" }),
    );
    assert_eq!(damaged(why(demand(), &memory).await), "entry of a log");
    memory.put_manifest(&tag, "{}");
    for bundle in [
        "",
        "{}",
        "\u{0}",
        &"[".repeat(100_000),
        r#"{"mediaType":"application/vnd.dev.sigstore.bundle+json;version=9"}"#,
    ] {
        memory.put_bundle(bundle, Some(BUNDLE));
        assert_eq!(damaged(why(demand(), &memory).await), "bundle");
    }
    let key = p256();
    memory.put_bundle(&enveloped(&key, "no statement"), Some(BUNDLE));
    assert_eq!(damaged(why(by(&[&key]), &memory).await), "statement");
}

#[tokio::test]
async fn what_is_damaged_is_neither_quoted_whole_nor_as_it_is() {
    let mut memory = Memory::new();
    let tag = SignatureArtifact::tag_of(image());
    let long = format!("\u{202e}{}", "x".repeat(1 << 20));
    let told = async |memory: &Memory| {
        let told = why(by(&[&p256()]), memory).await.to_string();
        assert!(told.len() < 500, "{} bytes", told.len());
        assert!(!told.contains('\u{202e}'), "{told}");
        told
    };
    memory.put_manifest(&tag, json!({ "layers": long }).to_string());
    assert!(told(&memory).await.contains("its manifest is damaged"));
    memory.put_manifest(&tag, "{}");
    let bundle = json!({ "mediaType": long[..900_000] }).to_string();
    memory.put_bundle(&bundle, Some(BUNDLE));
    assert!(told(&memory).await.contains("its bundle is damaged"));
}

#[tokio::test]
async fn what_is_huge_is_not_read() {
    let key = p256();
    let mut memory = Memory::new();
    let huge = json!({
        "mediaType": simple::PAYLOAD,
        "digest": image().to_string(),
        "size": 1_u64 << 40,
        "annotations": { simple::SIGNATURE: "AA==" },
    });
    memory.put_layers(&[huge]);
    assert!(matches!(
        why(by(&[&key]), &memory).await,
        Rejection::Large {
            what: "payload",
            ..
        }
    ));
    assert_eq!(memory.asked(), 3, "the tag, the referrers, and their tag");

    // One that lies about its size, and a manifest with no size to lie about.
    let digest = memory.put_blob(vec![b' '; 5 << 20]);
    let lying = json!({ "mediaType": simple::PAYLOAD, "digest": digest.to_string(), "size": 1 });
    memory.put_layers(&[lying]);
    assert!(matches!(
        why(by(&[&key]), &memory).await,
        Rejection::Large {
            what: "payload",
            ..
        }
    ));
    memory.put_manifest(&SignatureArtifact::tag_of(image()), vec![b' '; 5 << 20]);
    assert!(matches!(
        why(by(&[&key]), &memory).await,
        Rejection::Large {
            what: "manifest",
            ..
        }
    ));
}

#[tokio::test]
async fn only_so_many_signatures_are_looked_at() {
    let digest = Digest::of(b"{}").to_string();
    let layer = json!({
        "mediaType": simple::PAYLOAD,
        "digest": digest,
        "size": 2,
        "annotations": { simple::SIGNATURE: "AA==" },
    });
    let mut memory = Memory::new();
    memory.put_blob(b"{}");
    memory.put_layers(&vec![layer; 10_000]);
    let error = verify(by(&[&p256()]), &memory).await.unwrap_err();
    let VerifyErrorKind::Rejected { rejected } = &error.kind else {
        panic!("{error}");
    };
    assert_eq!(rejected.len(), candidate::MOST + 1);
    assert!(matches!(
        rejected.last().unwrap().why,
        Rejection::Many { .. }
    ));
    assert!(memory.asked() < 2 * candidate::MOST);
    assert!(error.to_string().len() < 2000, "{error}");
}

#[tokio::test]
async fn a_registry_that_cannot_be_asked_is_no_unsigned_image() {
    let mut memory = signed(&p256());
    memory.is_gone = true;
    let error = verify(by(&[&p256()]), &memory).await.unwrap_err();
    assert!(matches!(error.kind, VerifyErrorKind::Unreadable(_)));
    assert!(error.to_string().contains("connection refused"), "{error}");
}

#[tokio::test]
async fn pinned_digests_and_no_demand_ask_nobody() {
    let memory = Memory::new();
    let pin = |digest: Digest| Demand::Digests([digest].into());
    assert_eq!(verify(pin(image()), &memory).await.unwrap(), Proof::Pinned);
    assert_eq!(
        verify(Demand::Nothing, &memory).await.unwrap(),
        Proof::NoDemand
    );
    let error = verify(pin(Digest::of(b"other")), &memory)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("and its manifest is {}", image())),
        "{error}"
    );
    let error = verify(Demand::Deny, &memory).await.unwrap_err();
    assert!(matches!(error.kind, VerifyErrorKind::Denied));
    assert_eq!(memory.asked(), 0);
}

#[test]
fn what_is_no_public_key_is_told_why() {
    let told = |text: &str| PublicKey::from_pem(text).unwrap_err();
    assert!(matches!(told(""), KeyError::NotPem { .. }));
    assert!(matches!(told("ssh-ed25519 AAAA"), KeyError::NotPem { .. }));
    assert!(matches!(told(&"x".repeat(100_000)), KeyError::Large { .. }));
    assert!(matches!(
        told("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"),
        KeyError::Label { .. }
    ));
    assert!(matches!(
        told(&signing::pem("PUBLIC KEY", b"0")),
        KeyError::Algorithm
    ));
    assert!(matches!(
        told("-----BEGIN PUBLIC KEY-----\n%%\n-----END PUBLIC KEY-----\n"),
        KeyError::Damaged(_)
    ));
    let two = p256().public().to_pem() + &p384().public().to_pem();
    assert_eq!(told(&two), KeyError::Several);
    let one = ed25519();
    assert_eq!(
        PublicKey::from_pem(&one.public().to_pem()).unwrap(),
        *one.public()
    );
}
