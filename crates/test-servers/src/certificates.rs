//! Certificates for servers on this machine, by an authority that nobody trusts unless told.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;

/// An authority, and one certificate by it.
#[derive(Debug)]
pub(crate) struct Certificates {
    /// Of the authority, in PEM.
    pub(crate) ca: PathBuf,
    /// Of the server, in PEM.
    pub(crate) certificate: PathBuf,
    /// The key of the server, in PEM.
    pub(crate) key: PathBuf,
    /// Of the server, in DER.
    pub(crate) der: Vec<u8>,
    /// The key of the server, as PKCS #8.
    pub(crate) pkcs8: Vec<u8>,
}

impl Certificates {
    /// For what listens on 127.0.0.1 and answers to these names. The files are put into a folder.
    pub(crate) fn new(folder: &Path, names: &[&str]) -> Self {
        let mut authority = CertificateParams::default();
        authority.distinguished_name = named("authority of the test");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_key = KeyPair::generate().expect("a key");
        let root = authority.self_signed(&authority_key).expect("an authority");
        let issuer = Issuer::new(authority, authority_key);

        let mut all = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        all.extend(names.iter().map(|&name| name.to_owned()));
        let mut params = CertificateParams::new(all).expect("names");
        params.distinguished_name = named("server of the test");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate");

        let put = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).expect("a file");
            path
        };
        Self {
            ca: put("ca.pem", root.pem()),
            certificate: put("server.pem", certificate.pem()),
            key: put("server.key", key.serialize_pem()),
            der: certificate.der().to_vec(),
            pkcs8: key.serialize_der(),
        }
    }

    /// What a server of TLS needs.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivatePkcs8KeyDer::from(self.pkcs8.clone());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![self.der.clone().into()], key.into());
        Arc::new(config.expect("a key that fits"))
    }
}

/// The name of a certificate. One whose issuer is of the same name would be taken for signed by itself.
fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}
