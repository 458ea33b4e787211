//! What cosign itself has made: keys and signatures of the simple format by 2.5.0, and bundles by 3.1.1. `testdata/README.md` says
//! how.

use super::*;

const KEYS: [(&str, &str); 2] = [
    (
        include_str!("../testdata/cosign.key"),
        include_str!("../testdata/cosign.pub"),
    ),
    (
        include_str!("../testdata/ed25519.key"),
        include_str!("../testdata/ed25519.pub"),
    ),
];
const PASSWORD: &[u8] = b"fixture";
/// The images that were signed.
const SIMPLE: &str = "sha256:f4da88e5490a73c224aa3b5f78f48444bc0fd1da0d5c0c8c3ddf7deb3983d624";
const BUNDLE: &str = "sha256:ebb57f086c2ade700335dab44f98db2fa89a2d3f4be0075ad163743a17018046";

fn repository() -> Memory {
    let mut memory = Memory::new();
    let simple: Digest = SIMPLE.parse().unwrap();
    let bundle: Digest = BUNDLE.parse().unwrap();
    memory.put_manifest(
        &SignatureArtifact::tag_of(simple),
        include_bytes!("../testdata/simple-manifest.json"),
    );
    memory.put_manifest(
        &format!("sha256-{}", bundle.hex()),
        include_bytes!("../testdata/bundle-index.json"),
    );
    let manifests = [
        include_bytes!("../testdata/bundle-manifest.json"),
        include_bytes!("../testdata/bundle-ed25519-manifest.json"),
    ];
    for manifest in manifests {
        memory.put_manifest(&Digest::of(manifest).to_string(), manifest);
    }
    memory.put_blob(include_bytes!("../testdata/simple-payload.json"));
    memory.put_blob(include_bytes!("../testdata/bundle.json"));
    memory.put_blob(include_bytes!("../testdata/bundle-ed25519.json"));
    memory
}

#[tokio::test]
async fn both_formats_of_cosign_are_understood() {
    for (_, public) in KEYS {
        let key = PublicKey::from_pem(public).unwrap();
        let fingerprint = key.fingerprint();
        let demand = Demand::Signed { keys: vec![key] };
        for image in [SIMPLE, BUNDLE] {
            let image = image.parse().unwrap();
            let proof = verify_image(demand.clone(), image, &repository()).await;
            assert_eq!(proof.unwrap(), Proof::Key { fingerprint });
        }
    }
}

#[tokio::test]
async fn a_bundle_names_the_key_that_made_it() {
    let wanted = by(&[&p256()]);
    let error = verify_image(wanted, BUNDLE.parse().unwrap(), &repository()).await;
    let told = error.unwrap_err().to_string();
    for (_, public) in KEYS {
        let made = PublicKey::from_pem(public).unwrap().fingerprint();
        assert!(told.contains(&format!("made by the key {made}")), "{told}");
    }
}

#[test]
fn a_key_of_cosign_opens_with_its_password() {
    for (key, public) in KEYS {
        assert!(SigningKey::is_sealed(key));
        let opened = SigningKey::from_pem(key, Some(PASSWORD)).unwrap();
        assert_eq!(*opened.public(), PublicKey::from_pem(public).unwrap());
        assert_eq!(opened.public().to_pem(), public);
        assert_eq!(
            SigningKey::from_pem(key, None).unwrap_err(),
            KeyError::Sealed
        );
    }
    let guessed = SigningKey::from_pem(KEYS[0].0, Some(b"guess"));
    assert_eq!(guessed.unwrap_err(), KeyError::Password);
}

#[test]
fn a_key_does_not_say_how_long_it_is_worked_for() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let body: String = KEYS[0]
        .0
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let json = String::from_utf8(STANDARD.decode(body).unwrap()).unwrap();
    let with = |from: &str, to: &str| {
        assert!(json.contains(from));
        let changed = json.replace(from, to);
        let pem = signing::pem("ENCRYPTED SIGSTORE PRIVATE KEY", changed.as_bytes());
        SigningKey::from_pem(&pem, Some(PASSWORD)).unwrap_err()
    };
    let costly = [
        ("65536", "4294967296"),
        ("65536", "18446744073709551615"),
        ("65536", "0"),
        ("\"p\":1", "\"p\":99"),
    ];
    for (from, to) in costly {
        assert!(matches!(with(from, to), KeyError::Costly { .. }), "{to}");
    }
    assert!(matches!(with("scrypt", "none"), KeyError::Damaged(_)));
    assert!(matches!(
        with("\"nonce\":\"", "\"nonce\":\"!"),
        KeyError::Damaged(_)
    ));
    assert!(matches!(with("{", "["), KeyError::Damaged(_)));
}
