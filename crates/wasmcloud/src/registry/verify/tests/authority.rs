//! A Sigstore of our own: an authority for certificates, a log of them, and a log of signatures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
    date_time_ymd,
};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::workload::Digest;

use super::super::key::{Kind, PublicKey};

/// 2025-01-01: certificates begin to be valid.
pub(in crate::registry) const BEGIN: i64 = 1_735_689_600;
/// They are for ten minutes.
pub(in crate::registry) const VALID: i64 = 600;

pub(super) fn b64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// A key of a log.
pub(super) struct Log {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl Log {
    pub(super) fn new() -> Self {
        let kind = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let random = SystemRandom::new();
        let secret = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(kind, secret.as_ref(), &random).unwrap();
        let pem = PublicKey::new(Kind::P256, pair.public_key().as_ref()).to_pem();
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let spki = STANDARD.decode(body).unwrap();
        Self { pair, spki }
    }

    pub(super) fn id(&self) -> Digest {
        Digest::of(&self.spki)
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair
            .sign(&SystemRandom::new(), message)
            .unwrap()
            .as_ref()
            .to_vec()
    }

    fn trusted(&self) -> Value {
        json!({
            "baseUrl": "https://log.example",
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": b64(&self.spki),
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "validFor": { "start": "2024-01-01T00:00:00Z" },
            },
            "logId": { "keyId": b64(self.id().as_bytes()) },
        })
    }

    /// The annotation that says that it has an entry.
    pub(super) fn entry(&self, body: &Value, time: i64) -> String {
        let body = b64(body.to_string());
        let id = self.id().hex();
        json!({
            "SignedEntryTimestamp": b64(self.promise(&body, time)),
            "Payload": { "body": body, "integratedTime": time, "logIndex": 0, "logID": id },
        })
        .to_string()
    }

    fn promise(&self, body: &str, time: i64) -> Vec<u8> {
        let id = self.id().hex();
        let text =
            format!(r#"{{"body":"{body}","integratedTime":{time},"logID":"{id}","logIndex":0}}"#);
        self.sign(text.as_bytes())
    }

    /// An entry for a bundle, which is the only one in the log.
    pub(super) fn proven_entry(&self, body: &Value, time: i64) -> Value {
        let content = body.to_string();
        let leaf = Digest::of(&[b"\0", content.as_bytes()].concat());
        let root = b64(leaf.as_bytes());
        let text = format!("log.example - 1\n1\n{root}\n");
        let signature = [&self.id().as_bytes()[..4], &self.sign(text.as_bytes())].concat();
        let checkpoint = format!("{text}\n\u{2014} log.example {}\n", b64(signature));
        json!({
            "logIndex": "0",
            "logId": { "keyId": b64(self.id().as_bytes()) },
            "kindVersion": { "kind": body["kind"], "version": body["apiVersion"] },
            "integratedTime": time.to_string(),
            "inclusionPromise": { "signedEntryTimestamp": b64(self.promise(&b64(&content), time)) },
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": root,
                "treeSize": "1",
                "hashes": [],
                "checkpoint": { "envelope": checkpoint },
            },
            "canonicalizedBody": b64(&content),
        })
    }
}

/// Whom a certificate is for, and what is odd about it.
#[derive(Clone)]
pub(in crate::registry) struct Who {
    pub(in crate::registry) subject: &'static str,
    pub(in crate::registry) issuer: &'static str,
    pub(in crate::registry) is_for_signing: bool,
    pub(in crate::registry) is_logged: bool,
}

/// Who signs, where it matters not.
pub(in crate::registry) const RELEASE: Who = Who {
    subject: "https://github.com/acme/shop/.github/workflows/release.yml@refs/tags/1.0",
    issuer: "https://token.actions.githubusercontent.com",
    is_for_signing: true,
    is_logged: true,
};

/// A certificate and its key.
pub(in crate::registry) struct Leaf {
    pub(super) der: Vec<u8>,
    pub(super) pem: String,
    pair: EcdsaKeyPair,
}

impl Leaf {
    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair
            .sign(&SystemRandom::new(), message)
            .unwrap()
            .as_ref()
            .to_vec()
    }
}

/// Everything that a trust root names.
pub(in crate::registry) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: Vec<u8>,
    spki: Vec<u8>,
    certificates: Log,
    pub(super) signatures: Log,
}

impl Authority {
    pub(in crate::registry) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.not_before = date_time_ymd(2024, 1, 1);
        params.not_after = date_time_ymd(2034, 1, 1);
        let root = params.self_signed(&key).unwrap().der().to_vec();
        let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
        Self {
            issuer: Issuer::new(params, key),
            root,
            spki,
            certificates: Log::new(),
            signatures: Log::new(),
        }
    }

    pub(in crate::registry) fn trusted(&self) -> Value {
        let mut trusted = json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [self.signatures.trusted()],
            "certificateAuthorities": [{
                "subject": { "organization": "an authority", "commonName": "an authority" },
                "uri": "https://authority.example",
                "validFor": { "start": "2024-01-01T00:00:00Z" },
            }],
            "ctlogs": [self.certificates.trusted()],
            "timestampAuthorities": [],
        });
        let chain = json!({ "certificates": [{ "rawBytes": b64(&self.root) }] });
        trusted["certificateAuthorities"][0]["certChain"] = chain;
        trusted
    }

    pub(in crate::registry) fn certify(&self, who: &Who) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.serial_number = Some(SerialNumber::from(7_u64));
        params.not_before = date_time_ymd(2025, 1, 1);
        params.not_after = params.not_before + std::time::Duration::from_secs(VALID.unsigned_abs());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match who.is_for_signing {
            true => ExtendedKeyUsagePurpose::CodeSigning,
            false => ExtendedKeyUsagePurpose::ServerAuth,
        }];
        let subject = who.subject.try_into().unwrap();
        params.subject_alt_names = vec![match who.subject.contains("://") {
            true => SanType::URI(subject),
            false => SanType::Rfc822Name(subject),
        }];
        let issuer = der(0x0c, who.issuer.as_bytes());
        let issuer = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, 8], issuer);
        params.custom_extensions = vec![issuer];
        if who.is_logged {
            let before = params.signed_by(&key, &self.issuer).unwrap();
            let proof = self.logged(to_be_signed(before.der()));
            let proof =
                CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 11129, 2, 4, 2], proof);
            params.custom_extensions.push(proof);
        }
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let kind = &ECDSA_P256_SHA256_ASN1_SIGNING;
        Leaf {
            der: certificate.der().to_vec(),
            pem: certificate.pem(),
            pair: EcdsaKeyPair::from_pkcs8(kind, &key.serialize_der(), &SystemRandom::new())
                .unwrap(),
        }
    }

    /// What the log of certificates says about one (RFC 6962, section 3.2).
    fn logged(&self, certificate: &[u8]) -> Vec<u8> {
        let time = (BEGIN.unsigned_abs() * 1000).to_be_bytes();
        let issuer = Digest::of(&self.spki);
        let length = u32::try_from(certificate.len()).unwrap().to_be_bytes();
        let signed = [
            &[0, 0][..],
            &time,
            &[0, 1],
            issuer.as_bytes(),
            &length[1..],
            certificate,
            &[0, 0],
        ]
        .concat();
        let signature = self.certificates.sign(&signed);
        let id = self.certificates.id();
        let one = [
            &[0][..],
            id.as_bytes(),
            &time,
            &[0, 0, 4, 3],
            &counted(&signature),
        ]
        .concat();
        der(0x04, &counted(&counted(&one)))
    }
}

/// With two bytes of length before it.
fn counted(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[..], bytes].concat()
}

/// With tag and length before it.
fn der(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).unwrap();
    let head = if length < 0x80 {
        vec![tag, length]
    } else {
        vec![tag, 0x81, length]
    };
    [head, bytes.to_vec()].concat()
}

/// The part of a certificate that is signed: the first thing in it.
fn to_be_signed(certificate: &[u8]) -> &[u8] {
    let header = |bytes: &[u8]| match bytes[1] {
        0x82 => (4, usize::from(bytes[2]) << 8 | usize::from(bytes[3])),
        0x81 => (3, usize::from(bytes[2])),
        length => (2, usize::from(length)),
    };
    let inner = &certificate[header(certificate).0..];
    let (head, length) = header(inner);
    &inner[..head + length]
}
