//! Signatures by identities.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::keyless::{MOST, MOST_WITNESSES};
use super::authority::{Authority, BEGIN, Log, RELEASE, VALID, Who, b64};
use super::bundles::{ENTRY, SIGN, Simple, body, enveloped, payload, plain};
use super::memory::BUNDLE;
use super::*;

const PATTERN: &str = "https://github.com/acme/*/.github/workflows/release.yml@refs/tags/*";

fn demand(authority: &Authority) -> Demand {
    demand_with(&authority.trusted(), RELEASE.issuer, PATTERN)
}

fn demand_with(root: &Value, issuer: &str, subject: &str) -> Demand {
    Demand::Keyless {
        root: Arc::new(TrustRoot::from_json(&root.to_string()).unwrap()),
        identities: vec![Identity {
            issuer: issuer.to_owned(),
            subject: Subject::pattern(subject).unwrap(),
        }],
    }
}

fn kept(bundle: &Value) -> Memory {
    let mut memory = Memory::new();
    memory.put_bundle(&bundle.to_string(), Some(BUNDLE));
    memory
}

#[tokio::test]
async fn somebody_who_may_sign_has_signed() {
    let authority = Authority::new();
    let leaf = authority.certify(&RELEASE);
    let signed = jiff::Timestamp::from_second(BEGIN + 5).unwrap();
    let wanted = Proof::Identity {
        issuer: RELEASE.issuer.to_owned(),
        subject: RELEASE.subject.to_owned(),
        signed,
    };
    let repositories = [
        Simple::good(&authority).kept(),
        kept(&plain(&authority, &leaf)),
        kept(&enveloped(&authority, &leaf, SIGN, image())),
    ];
    for memory in repositories {
        assert_eq!(verify(demand(&authority), &memory).await.unwrap(), wanted);
    }
    let mail = Who {
        subject: "jo@acme.example",
        issuer: "https://accounts.example",
        ..RELEASE
    };
    let memory = Simple::new(&authority, &mail, image(), BEGIN).kept();
    let demand = demand_with(&authority.trusted(), mail.issuer, "*@acme.example");
    assert!(matches!(
        verify(demand, &memory).await.unwrap(),
        Proof::Identity { .. }
    ));
}

#[tokio::test]
async fn a_certificate_is_good_only_while_it_is_valid() {
    let authority = Authority::new();
    for time in [BEGIN - 1, BEGIN + VALID + 1] {
        let memory = Simple::new(&authority, &RELEASE, image(), time).kept();
        let error = verify(demand(&authority), &memory).await.unwrap_err();
        let VerifyErrorKind::Rejected { rejected } = &error.kind else {
            panic!("{error}");
        };
        let Rejection::Expired {
            signed,
            from,
            until,
        } = rejected[0].why
        else {
            panic!("{error}");
        };
        assert_eq!(
            (signed.as_second(), from.as_second(), until.as_second()),
            (time, BEGIN, BEGIN + VALID)
        );
        assert!(
            error
                .to_string()
                .contains("for 2025-01-01T00:00:00Z to 2025-01-01T00:10:00Z"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn somebody_else_may_not_sign() {
    let authority = Authority::new();
    let memory = Simple::good(&authority).kept();
    let demanding = |issuer, subject| demand_with(&authority.trusted(), issuer, subject);
    let found = why(
        demanding(RELEASE.issuer, "https://github.com/acme/other/*"),
        &memory,
    )
    .await;
    assert!(
        matches!(&found, Rejection::OtherSubject { found, .. } if found == RELEASE.subject),
        "{found}"
    );
    let found = why(demanding("https://accounts.example", "**"), &memory).await;
    assert!(
        matches!(&found, Rejection::OtherIssuer { found, .. } if found == RELEASE.issuer),
        "{found}"
    );
    let mut nobody = demand(&authority);
    if let Demand::Keyless { identities, .. } = &mut nobody {
        identities.clear();
    }
    assert!(matches!(
        why(nobody, &memory).await,
        Rejection::OtherIssuer { .. }
    ));
}

#[tokio::test]
async fn an_authority_that_is_not_in_the_trust_root_certifies_nobody() {
    let (ours, other) = (Authority::new(), Authority::new());
    let mut root = ours.trusted();
    root["tlogs"] = other.trusted()["tlogs"].clone();
    let memory = Simple::good(&other).kept();
    let found = why(demand_with(&root, RELEASE.issuer, PATTERN), &memory).await;
    assert!(matches!(found, Rejection::Certificate { .. }), "{found}");
}

#[tokio::test]
async fn a_certificate_must_be_for_signing_and_in_a_log() {
    let authority = Authority::new();
    for who in [
        Who {
            is_for_signing: false,
            ..RELEASE
        },
        Who {
            is_logged: false,
            ..RELEASE
        },
    ] {
        let memory = Simple::new(&authority, &who, image(), BEGIN).kept();
        let found = why(demand(&authority), &memory).await;
        assert!(matches!(found, Rejection::Certificate { .. }), "{found}");
    }
    // The log has signed another certificate than this one.
    let mut other = authority.trusted();
    other["ctlogs"] = Authority::new().trusted()["ctlogs"].clone();
    let memory = Simple::good(&authority).kept();
    let found = why(demand_with(&other, RELEASE.issuer, PATTERN), &memory).await;
    assert!(matches!(found, Rejection::Certificate { .. }), "{found}");
    // A trust root without such logs does not ask for them.
    let mut root = authority.trusted();
    root["ctlogs"] = json!([]);
    let who = Who {
        is_logged: false,
        ..RELEASE
    };
    let memory = Simple::new(&authority, &who, image(), BEGIN).kept();
    assert!(
        verify(demand_with(&root, RELEASE.issuer, PATTERN), &memory)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_signature_without_an_entry_of_a_log_has_no_time() {
    let authority = Authority::new();
    let found = why(
        demand(&authority),
        &Simple::good(&authority).with(ENTRY, "").kept(),
    )
    .await;
    assert!(matches!(found, Rejection::NoLogEntry), "{found}");
    let mut bundle = plain(&authority, &authority.certify(&RELEASE));
    bundle["verificationMaterial"]["tlogEntries"] = json!([]);
    let found = why(demand(&authority), &kept(&bundle)).await;
    assert!(matches!(found, Rejection::NoLogEntry), "{found}");
}

#[tokio::test]
async fn the_entry_of_another_signature_will_not_do() {
    let authority = Authority::new();
    let other = Simple::new(&authority, &RELEASE, Digest::of(b"other"), BEGIN + 5);
    let entry = other.annotations[ENTRY].clone();
    let found = why(
        demand(&authority),
        &Simple::good(&authority).with(ENTRY, entry).kept(),
    )
    .await;
    assert!(matches!(found, Rejection::OtherEntry { .. }), "{found}");

    let leaf = authority.certify(&RELEASE);
    let mut bundle = plain(&authority, &leaf);
    let other = enveloped(&authority, &leaf, SIGN, image());
    bundle["verificationMaterial"]["tlogEntries"] =
        other["verificationMaterial"]["tlogEntries"].clone();
    assert!(verify(demand(&authority), &kept(&bundle)).await.is_err());
}

#[tokio::test]
async fn another_log_is_not_believed() {
    let authority = Authority::new();
    let leaf = authority.certify(&RELEASE);
    let payload = payload(image());
    let signature = leaf.sign(&payload);
    let log = Log::new();
    let entry = log.entry(&body(&leaf, &payload, &signature), BEGIN + 5);
    let annotations = json!({
        simple::SIGNATURE: b64(&signature),
        "dev.sigstore.cosign/certificate": leaf.pem,
        ENTRY: entry,
    });
    let found = why(
        demand(&authority),
        &Simple {
            payload: payload.clone(),
            annotations: annotations.clone(),
        }
        .kept(),
    )
    .await;
    assert!(matches!(found, Rejection::OtherLog { .. }), "{found}");

    // It says that it is ours.
    let entry = entry.replace(&log.id().hex(), &authority.signatures.id().hex());
    let found = why(
        demand(&authority),
        &Simple {
            payload,
            annotations,
        }
        .with(ENTRY, entry)
        .kept(),
    )
    .await;
    assert!(matches!(found, Rejection::NotInLog { .. }), "{found}");
}

#[tokio::test]
async fn an_entry_that_is_not_proven_will_not_do() {
    let authority = Authority::new();
    let leaf = authority.certify(&RELEASE);
    let material = |change: &dyn Fn(&mut Value)| {
        let mut bundle = plain(&authority, &leaf);
        change(&mut bundle["verificationMaterial"]["tlogEntries"][0]);
        kept(&bundle)
    };
    let other = plain(&Authority::new(), &leaf);
    let other = &other["verificationMaterial"]["tlogEntries"][0];
    let promised = material(&|entry| entry["inclusionPromise"] = other["inclusionPromise"].clone());
    let checked = material(&|entry| {
        entry["inclusionProof"]["checkpoint"] = other["inclusionProof"]["checkpoint"].clone();
    });
    let timed = material(&|entry| entry["integratedTime"] = json!((BEGIN + 6).to_string()));
    let hashed = material(&|entry| entry["inclusionProof"]["hashes"] = json!([b64([0; 32])]));
    for (name, memory) in [
        ("promised", promised),
        ("checked", checked),
        ("timed", timed),
        ("hashed", hashed),
    ] {
        let found = why(demand(&authority), &memory).await;
        assert!(
            matches!(found, Rejection::NotInLog { .. }),
            "{name}: {found}"
        );
    }
    // Proven to be there, and nobody says since when.
    let timeless = material(&|entry| {
        entry.as_object_mut().unwrap().remove("inclusionPromise");
    });
    let found = why(demand(&authority), &timeless).await;
    assert!(matches!(found, Rejection::Time { .. }), "{found}");
    let unproven = material(&|entry| {
        entry.as_object_mut().unwrap().remove("inclusionProof");
    });
    let found = why(demand(&authority), &unproven).await;
    assert!(matches!(found, Rejection::NoLogEntry), "{found}");
}

#[tokio::test]
async fn the_signature_of_another_image_will_not_do_here() {
    let authority = Authority::new();
    let other = Digest::of(b"other");
    let leaf = authority.certify(&RELEASE);
    let repositories = [
        Simple::new(&authority, &RELEASE, other, BEGIN).kept(),
        kept(&enveloped(&authority, &leaf, SIGN, other)),
    ];
    for memory in repositories {
        let found = why(demand(&authority), &memory).await;
        assert!(
            matches!(&found, Rejection::OtherImage { found } if *found == other.to_string()),
            "{found}"
        );
    }
    let mut bundle = plain(&authority, &leaf);
    bundle["messageSignature"]["messageDigest"]["digest"] = json!(b64(other.as_bytes()));
    let found = why(demand(&authority), &kept(&bundle)).await;
    assert!(matches!(found, Rejection::OtherImage { .. }), "{found}");
}

#[tokio::test]
async fn what_was_changed_or_signed_by_a_key_will_not_do() {
    let authority = Authority::new();
    let mut changed = Simple::good(&authority);
    changed.payload.push(b' ');
    let found = why(demand(&authority), &changed.kept()).await;
    assert!(
        matches!(found, Rejection::OtherKey { found: Some(_) }),
        "{found}"
    );

    let stolen = authority.certify(&RELEASE).pem;
    let memory = Simple::good(&authority)
        .with("dev.sigstore.cosign/certificate", stolen)
        .kept();
    let found = why(demand(&authority), &memory).await;
    assert!(
        matches!(found, Rejection::OtherKey { found: Some(_) }),
        "{found}"
    );

    let mut memory = Memory::new();
    memory.put(&p256().sign(&reference(), image(), None).unwrap());
    assert!(matches!(
        why(demand(&authority), &memory).await,
        Rejection::NoCertificate
    ));

    let attested = enveloped(
        &authority,
        &authority.certify(&RELEASE),
        "https://slsa.dev/provenance/v1",
        image(),
    );
    let found = why(demand(&authority), &kept(&attested)).await;
    assert!(matches!(found, Rejection::OtherStatement { .. }), "{found}");
}

#[tokio::test]
async fn damaged_parts_are_told_apart() {
    let authority = Authority::new();
    let good = Simple::good(&authority).annotations[ENTRY]
        .as_str()
        .unwrap()
        .to_owned();
    let entry: Value = serde_json::from_str(&good).unwrap();
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut entry = entry.clone();
        change(&mut entry);
        entry.to_string()
    };
    let entries = [
        "{}".to_owned(),
        broken(&|entry| entry["Payload"]["body"] = json!("%")),
        broken(&|entry| entry["Payload"]["body"] = json!(b64("{}"))),
        broken(&|entry| entry["Payload"]["logID"] = json!("c0")),
    ];
    for entry in entries {
        let found = why(
            demand(&authority),
            &Simple::good(&authority).with(ENTRY, entry.clone()).kept(),
        )
        .await;
        assert!(
            matches!(
                found,
                Rejection::Damaged {
                    what: "entry of a log",
                    ..
                }
            ),
            "{entry}: {found}"
        );
    }
    for index in [i64::MIN, -1, i64::MAX] {
        let entry = broken(&|entry| entry["Payload"]["logIndex"] = json!(index));
        assert!(
            verify(
                demand(&authority),
                &Simple::good(&authority).with(ENTRY, entry).kept()
            )
            .await
            .is_err()
        );
    }
    let certificates = [
        "-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n".to_owned(),
        signing::pem("CERTIFICATE", b"0"),
    ];
    for certificate in certificates {
        let memory = Simple::good(&authority)
            .with("dev.sigstore.cosign/certificate", certificate)
            .kept();
        let found = why(demand(&authority), &memory).await;
        assert!(
            matches!(
                found,
                Rejection::Damaged {
                    what: "certificate",
                    ..
                }
            ),
            "{found}"
        );
    }
}

#[tokio::test]
async fn a_bundle_with_more_in_it_than_can_be_checked_in_a_moment_is_refused() {
    let authority = Authority::new();
    let leaf = authority.certify(&RELEASE);
    let good = plain(&authority, &leaf);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut bundle = good.clone();
        change(&mut bundle["verificationMaterial"]);
        kept(&bundle)
    };
    let many = |one: &Value, count: usize| json!(vec![one.clone(); count]);
    let entries = |material: &mut Value, count| {
        let entry = material["tlogEntries"][0].clone();
        material["tlogEntries"] = many(&entry, count);
    };
    let timestamps = |material: &mut Value, count| {
        let token = json!({ "signedTimestamp": b64("no token") });
        let all = json!({ "rfc3161Timestamps": many(&token, count) });
        material["timestampVerificationData"] = all;
    };
    let certificates = |material: &mut Value, count| {
        let of = material.as_object_mut().unwrap();
        let certificate = of.remove("certificate").unwrap();
        let chain = json!({ "certificates": many(&certificate, count) });
        material["x509CertificateChain"] = chain;
    };
    let witnesses = |material: &mut Value, count: usize| {
        let checkpoint = &mut material["tlogEntries"][0]["inclusionProof"]["checkpoint"];
        let text = checkpoint["envelope"].as_str().unwrap();
        let (note, signature) = text.split_once("\n\n").unwrap();
        let signed = format!("{note}\n\n{}", signature.repeat(count));
        checkpoint["envelope"] = json!(signed);
    };
    type Put<'a> = &'a dyn Fn(&mut Value, usize);
    let parts: [(&str, usize, Put<'_>); 4] = [
        ("entries of logs", MOST, &entries),
        ("timestamps", MOST, &timestamps),
        ("certificates", MOST, &certificates),
        ("signatures of a checkpoint", MOST_WITNESSES, &witnesses),
    ];
    for (what, most, put) in parts {
        let memory = with(&|material| put(material, most + 1));
        let found = why(demand(&authority), &memory).await;
        let told = format!("it has {} {what}, more than the limit of {most}", most + 1);
        assert_eq!(found.to_string(), told);
        // As many as may be are looked at, whatever comes of that.
        let memory = with(&|material| put(material, most));
        let verified = verify(demand(&authority), &memory).await;
        let told = verified.err().map(|error| error.to_string());
        assert!(!told.unwrap_or_default().contains("limit"), "{what}");
    }
    let chain = authority.certify(&RELEASE).pem.repeat(MOST);
    let memory = Simple::good(&authority)
        .with("dev.sigstore.cosign/chain", chain)
        .kept();
    let found = why(demand(&authority), &memory).await;
    let wanted = Rejection::TooMany {
        what: "certificates",
        found: MOST + 1,
        limit: MOST,
    };
    assert_eq!(found.to_string(), wanted.to_string());
}

#[test]
fn a_signature_is_not_checked_where_others_wait() {
    use std::future::poll_fn;
    use std::task::Poll;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let authority = Authority::new();
    let memory = Simple::good(&authority).kept();
    runtime.block_on(async {
        // As long as the one thread for such work is taken, there is no verdict, and nobody is held up.
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let taken = tokio::task::spawn_blocking(move || wait.recv());
        let mut verifying = std::pin::pin!(verify(demand(&authority), &memory));
        let first = poll_fn(|context| Poll::Ready(verifying.as_mut().poll(context))).await;
        assert!(first.is_pending());
        release.send(()).unwrap();
        taken.await.unwrap().unwrap();
        assert!(verifying.await.is_ok());
    });
}

#[test]
fn the_trust_root_that_sigstore_publishes_is_understood() {
    use sigstore_verify::trust_root::SIGSTORE_PRODUCTION_TRUSTED_ROOT;

    let root = TrustRoot::from_json(SIGSTORE_PRODUCTION_TRUSTED_ROOT).unwrap();
    assert!(root.has_certificate_logs);
}

#[test]
fn what_is_no_trust_root_is_told_why() {
    let told = |text: &str| TrustRoot::from_json(text).unwrap_err();
    for text in ["", "{", "[]", "7", "-----BEGIN CERTIFICATE-----"] {
        assert!(matches!(told(text), TrustRootError::Format(_)), "{text}");
    }
    assert!(matches!(
        told(&" ".repeat(2 << 20)),
        TrustRootError::Large { .. }
    ));
    let without = |name: &str, instead: Value| {
        let mut root = Authority::new().trusted();
        root[name] = instead;
        told(&root.to_string())
    };
    assert!(matches!(
        without("tlogs", json!([])),
        TrustRootError::Nobody(_)
    ));
    assert!(matches!(
        without("certificateAuthorities", json!([])),
        TrustRootError::Nobody(_)
    ));
    let mut root = Authority::new().trusted();
    root["certificateAuthorities"][0]["certChain"]["certificates"][0]["rawBytes"] =
        json!(b64("no certificate"));
    assert!(matches!(
        told(&root.to_string()),
        TrustRootError::Content(_)
    ));
    assert_eq!(
        told("7").to_string().split(':').next(),
        Some("it is no `trusted_root.json` of Sigstore")
    );
}
