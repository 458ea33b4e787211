//! Signatures: made with keys, asked for with keys, digests and identities, and taken along by copies.

use std::fs;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use test_servers::{Registry, cosign_2, oras};
use wasmcloud::workload::Digest;

use crate::image_support::{self, keys, openssl, run, wash};
use crate::support::{EMPTY_COMPONENT, Run, Sandbox};

#[test]
fn what_is_signed_is_verified_and_its_copy_as_well() {
    let (sandbox, registry, other) = (Sandbox::new(), Registry::start(), Registry::start());
    sandbox.write("a.wasm", EMPTY_COMPONENT);
    keys(&sandbox, "ours");
    keys(&sandbox, "theirs");
    let at = format!("{}/demo/a:1", registry.address());
    run(&sandbox, &registry, &["push", "a.wasm", &at]).succeeded();
    let unsigned = run(&sandbox, &registry, &["verify", &at, "--key", "ours.pub"]);
    unsigned.failed().says("wash push --sign");

    let sign = ["push", "a.wasm", &at, "--sign", "ours.pem"];
    let signed = image_support::json(&sandbox, &registry, &sign);
    assert!(signed["signature"].as_str().unwrap().ends_with(".sig"));
    run(&sandbox, &registry, &["verify", &at, "--key", "ours.pub"]).succeeded();
    run(&sandbox, &registry, &["verify", &at, "--key", "theirs.pub"]).failed();
    let digest = signed["digest"].as_str().unwrap();
    run(&sandbox, &registry, &["verify", &at, "--digest", digest]).succeeded();

    let (to, address) = (format!("{}/mirror/a:1", other.address()), other.address());
    let copy = ["copy", &at, &to, "--signatures", "--plain-http", &address];
    let copied = image_support::json(&sandbox, &registry, &copy);
    assert_eq!(
        (&copied["digest"], &copied["signatures"]),
        (&signed["digest"], &1.into())
    );
    run(&sandbox, &other, &["verify", &to, "--key", "ours.pub"]).succeeded();
}

/// A key of cosign's own is encrypted, and its password is where cosign looks for it.
#[test]
fn a_key_that_cosign_has_encrypted_signs_with_its_password_only() {
    let (sandbox, registry) = (Sandbox::new(), Registry::start());
    sandbox.write("a.wasm", EMPTY_COMPONENT);
    let mut generate = cosign_2(&sandbox.path(""));
    generate.arg("generate-key-pair");
    let generated = generate.env("COSIGN_PASSWORD", "open sesame").output();
    assert!(generated.unwrap().status.success());
    let (at, address) = (
        format!("{}/demo/a:1", registry.address()),
        registry.address(),
    );
    let sign = |password: Option<&str>| {
        let args = [
            "push",
            "a.wasm",
            &at,
            "--sign",
            "cosign.key",
            "--plain-http",
            &address,
        ];
        let mut command = wash(&sandbox, &args);
        command.envs(password.map(|password| ("COSIGN_PASSWORD", password)));
        sandbox.finish(command)
    };
    let wrong = sign(Some("mellon")).failed();
    let wrong = wrong.says("cannot use the key cosign.key: the password is wrong");
    assert!(!wrong.snapshot().contains("mellon"), "{}", wrong.snapshot());
    let missing = sign(None).failed();
    missing
        .says("it is encrypted, and there is no password for it")
        .says("`COSIGN_PASSWORD`");
    // What cannot be signed is not pushed either.
    let pushed = registry.folder().join("repositories");
    assert!(!pushed.exists(), "{}", pushed.display());

    let signed = sign(Some("open sesame")).succeeded();
    assert!(
        signed.stdout.contains("\npushed\nsigned, as "),
        "{}",
        signed.stdout
    );
    let verified = run(&sandbox, &registry, &["verify", &at, "--key", "cosign.pub"]);
    let by = verified.succeeded().stdout;
    assert!(by.contains("\nsigned by the key sha256:"), "{by}");
}

const ISSUER: &str = "https://token.actions.githubusercontent.com";
const SUBJECT: &str = "https://github.com/acme/shop/.github/workflows/release.yml@refs/tags/1.0";

/// A Sigstore of our own by OpenSSL: an authority that has certified who signs, and a log.
struct Sigstore {
    sandbox: Sandbox,
    registry: Registry,
}

impl Sigstore {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let config = format!(
            "[req]\ndistinguished_name = name\n[name]\n\
             [authority]\nbasicConstraints = critical, CA:true\nkeyUsage = critical, keyCertSign\n\
             [signer]\nkeyUsage = critical, digitalSignature\nextendedKeyUsage = codeSigning\n\
             subjectAltName = URI:{SUBJECT}\n1.3.6.1.4.1.57264.1.8 = ASN1:UTF8String:{ISSUER}\n"
        );
        sandbox.write("openssl.conf", config);
        let openssl = |command: &str| {
            let args: Vec<&str> = command.split(' ').collect();
            openssl(&sandbox, &args);
        };
        for name in ["authority", "signer", "log"] {
            openssl(&format!(
                "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.key"
            ));
        }
        openssl("pkey -in log.key -pubout -out log.pub");
        openssl(
            "req -x509 -config openssl.conf -extensions authority -key authority.key \
             -subj /CN=authority -days 9 -out authority.pem",
        );
        openssl("req -new -config openssl.conf -key signer.key -subj /CN=signer -out signer.csr");
        openssl(
            "x509 -req -in signer.csr -CA authority.pem -CAkey authority.key -set_serial 7 -days 1 \
             -extfile openssl.conf -extensions signer -out signer.pem",
        );
        Self {
            sandbox,
            registry: Registry::start(),
        }
    }

    fn image(&self) -> String {
        format!("{}/demo/a:1", self.registry.address())
    }

    /// Pushes a component to the image. The digest of its manifest.
    fn push(&self, more: &[&str]) -> Digest {
        self.sandbox.write("a.wasm", EMPTY_COMPONENT);
        let image = self.image();
        let args = [&["push", "a.wasm", &image][..], more].concat();
        let pushed = image_support::json(&self.sandbox, &self.registry, &args);
        pushed["digest"].as_str().unwrap().parse().unwrap()
    }

    /// What a file of PEM holds, in Base64.
    fn inside(&self, file: &str) -> String {
        let text = self.sandbox.read(file);
        text.lines().filter(|line| !line.starts_with('-')).collect()
    }

    fn log_id(&self) -> Digest {
        Digest::of(&STANDARD.decode(self.inside("log.pub")).unwrap())
    }

    fn trust_root(&self) -> Value {
        let since = json!({"start": "2024-01-01T00:00:00Z"});
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [{
                "baseUrl": "https://log.example",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": self.inside("log.pub"),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": since,
                },
                "logId": {"keyId": STANDARD.encode(self.log_id().as_bytes())},
            }],
            "certificateAuthorities": [{
                "subject": {"organization": "acme", "commonName": "authority"},
                "uri": "https://authority.example",
                "certChain": {"certificates": [{"rawBytes": self.inside("authority.pem")}]},
                "validFor": since,
            }],
            "ctlogs": [],
            "timestampAuthorities": [],
        })
    }

    /// The signature of a text, in Base64.
    fn signature(&self, key: &str, text: &str) -> String {
        self.sandbox.write("text", text);
        let sign = ["dgst", "-sha256", "-sign", key, "-out", "text.sig", "text"];
        openssl(&self.sandbox, &sign);
        STANDARD.encode(fs::read(self.sandbox.path("text.sig")).unwrap())
    }

    /// What the log says of something that is in it.
    fn entry(&self, body: &Value) -> Value {
        let body = STANDARD.encode(body.to_string());
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let (time, id) = (since.unwrap().as_secs(), self.log_id().hex());
        let promise =
            format!(r#"{{"body":"{body}","integratedTime":{time},"logID":"{id}","logIndex":0}}"#);
        json!({
            "SignedEntryTimestamp": self.signature("log.key", &promise),
            "Payload": {"body": body, "integratedTime": time, "logIndex": 0, "logID": id},
        })
    }

    /// Puts a signature of an image beside it, as cosign does, by whoever is certified.
    fn sign(&self, image: Digest) {
        let payload = json!({
            "critical": {
                "identity": {"docker-reference": "demo/a"},
                "image": {"docker-manifest-digest": image.to_string()},
                "type": "cosign container image signature",
            },
            "optional": null,
        });
        let payload = payload.to_string();
        let (signature, certificate) = (
            self.signature("signer.key", &payload),
            self.sandbox.read("signer.pem"),
        );
        let entry = self.entry(&json!({
            "apiVersion": "0.0.1",
            "kind": "hashedrekord",
            "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": Digest::of(payload.as_bytes()).hex()}},
                "signature": {"content": signature, "publicKey": {"content": STANDARD.encode(&certificate)}},
            },
        }));
        let annotations = json!({"payload.json": {
            "dev.cosignproject.cosign/signature": signature,
            "dev.sigstore.cosign/certificate": certificate,
            "dev.sigstore.cosign/bundle": entry.to_string(),
        }});
        self.sandbox.write("payload.json", payload);
        self.sandbox.write("config.json", "{}");
        self.sandbox
            .write("annotations.json", annotations.to_string());
        let tag = format!(
            "{}/demo/a:sha256-{}.sig",
            self.registry.address(),
            image.hex()
        );
        let mut push = oras(&self.sandbox.path(""));
        push.args([
            "push",
            "--plain-http",
            "--annotation-file",
            "annotations.json",
        ]);
        push.args([
            "--config",
            "config.json:application/vnd.oci.image.config.v1+json",
            &tag,
        ]);
        push.arg("payload.json:application/vnd.dev.cosign.simplesigning.v1+json");
        let done = push.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{said}");
    }

    /// Verifies the image with a file as the trust root.
    fn verify(&self, root: &str, issuer: &str, subject: &str) -> Run {
        let image = self.image();
        let who = ["--issuer", issuer, "--subject", subject];
        let args = [&["verify", &image, "--trust-root", root][..], &who].concat();
        run(&self.sandbox, &self.registry, &args)
    }
}

#[test]
fn an_identity_is_verified_with_the_authorities_and_logs_of_a_trust_root() {
    let sigstore = Sigstore::new();
    sigstore
        .sandbox
        .write("root.json", sigstore.trust_root().to_string());
    let digest = sigstore.push(&[]);
    let unsigned = sigstore.verify("root.json", ISSUER, SUBJECT);
    unsigned.failed().says("it has no signature");
    sigstore.sign(digest);
    let everything = "https://github.com/acme/*/.github/workflows/*@refs/tags/**";
    for subject in [SUBJECT, everything] {
        let verified = sigstore.verify("root.json", ISSUER, subject).succeeded();
        let wanted = format!("@{digest}\nsigned by `{SUBJECT}` of `{ISSUER}` at ");
        assert!(verified.stdout.contains(&wanted), "{}", verified.stdout);
    }
    let other = sigstore.verify("root.json", ISSUER, "https://github.com/acme/other/**");
    other
        .failed()
        .says(&format!("it was made by `{SUBJECT}` of `{ISSUER}`"));
    let other = sigstore.verify("root.json", "https://accounts.example", "**");
    other.failed().says("nobody is wanted of that issuer");
    // Another log, and another authority.
    let others = Sigstore::new();
    for (part, why) in [
        ("tlogs", "a log that the trust root does not have"),
        (
            "certificateAuthorities",
            "certificate is not to be believed",
        ),
    ] {
        let mut root = sigstore.trust_root();
        root[part] = others.trust_root()[part].take();
        sigstore.sandbox.write("other.json", root.to_string());
        let run = sigstore.verify("other.json", ISSUER, SUBJECT).failed();
        run.says(why).says("`trusted_root.json`");
    }
}

#[test]
fn what_is_no_trust_root_and_what_nobody_is_named_by_are_told() {
    let sigstore = Sigstore::new();
    keys(&sigstore.sandbox, "ours");
    sigstore.push(&["--sign", "ours.pem"]);
    sigstore.sandbox.write("text.json", "hello");
    let empty = r#"{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#;
    sigstore.sandbox.write("empty.json", empty);
    for (root, why) in [
        ("none.json", "cannot read `none.json`: No such file"),
        (
            "text.json",
            "`text.json` is no trust root: it is no `trusted_root.json` of Sigstore",
        ),
        ("empty.json", "it has no certificate authorities"),
        ("ours.pub", "`ours.pub` is no trust root"),
    ] {
        sigstore.verify(root, ISSUER, SUBJECT).failed().says(why);
    }
    // Somebody has signed, and nobody says who.
    sigstore
        .sandbox
        .write("root.json", sigstore.trust_root().to_string());
    let anybody = sigstore.verify("root.json", "https://accounts.example", "**");
    anybody
        .failed()
        .says("it has no certificate")
        .says("demand a key if it is signed by one");

    let image = sigstore.image();
    let both = ["--issuer", ISSUER, "--subject", SUBJECT];
    let with_a_key = [&both[..], &["--key", "ours.pub"]].concat();
    for (more, told) in [
        (&both[..2], "--subject <WHO>"),
        (&both[2..], "--issuer <URL>"),
        (&with_a_key[..], "--key <FILE>"),
    ] {
        let args = [&["verify", &image, "--trust-root", "root.json"][..], more].concat();
        let run = run(&sigstore.sandbox, &sigstore.registry, &args);
        assert_eq!(run.code, Some(2), "{}", run.snapshot());
        run.says(told);
    }
}
