//! TLS of the client: whose certificates are trusted, and a configuration for each workload.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::{ClientOptions, TrustRoots};

/// How many sessions a workload may resume.
const SESSIONS: usize = 32;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file of certificates cannot be read.
    #[error("cannot read the certificates in `{}`: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The operating system gives none of its certificates.
    #[error("the operating system trusts no certificates, or they cannot be read: {0}")]
    Native(String),
    /// Nobody would be trusted.
    #[error("no certificates are trusted: only those in extra files would be, and there are none")]
    Nobody,
    /// The library for TLS does not take the settings.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// Checks certificates; shared by all workloads.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    provider: Arc<CryptoProvider>,
    verifier: Arc<WebPkiServerVerifier>,
}

impl Trust {
    pub(super) fn load(options: &ClientOptions) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        if matches!(
            options.trust,
            TrustRoots::Webpki | TrustRoots::WebpkiAndNative
        ) {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        if matches!(
            options.trust,
            TrustRoots::Native | TrustRoots::WebpkiAndNative
        ) {
            add_native(&mut roots)?;
        }
        for path in &options.extra_ca_files {
            add_file(&mut roots, path)?;
        }
        if roots.is_empty() {
            return Err(TrustError::Nobody);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| TrustError::Tls(error.to_string()))?;
        Ok(Self { provider, verifier })
    }

    /// TLS for one workload. Sessions are its own: one that another workload has agreed on would tell the server that both are on
    /// one host.
    pub(super) fn connector(&self) -> Result<TlsConnector, rustls::Error> {
        Ok(TlsConnector::from(self.client(&["h2", "http/1.1"])?))
    }

    /// What a client of one workload goes by, which speaks these protocols.
    pub(crate) fn client(&self, protocols: &[&str]) -> Result<Arc<ClientConfig>, rustls::Error> {
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_webpki_verifier(Arc::clone(&self.verifier))
            .with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        let protocols = protocols.iter().map(|name| name.as_bytes().to_vec());
        config.alpn_protocols = protocols.collect();
        Ok(Arc::new(config))
    }
}

/// Certificates of the system that are damaged are passed over, as other programs do; none at all is an error.
fn add_native(roots: &mut RootCertStore) -> Result<(), TrustError> {
    let found = rustls_native_certs::load_native_certs();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let problems: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TrustError::Native(problems.join("; ")));
    }
    if ignored > 0 || !found.errors.is_empty() {
        tracing::warn!(ignored, errors = ?found.errors, "some certificates of the system could not be read");
    }
    Ok(())
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), TrustError> {
    let wrong = |problem: String| TrustError::File {
        path: path.to_owned(),
        problem,
    };
    let before = roots.len();
    let found = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| wrong(error.to_string()))?;
    }
    if roots.len() == before {
        return Err(wrong("there is no `BEGIN CERTIFICATE` in it".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn load(trust: TrustRoots, files: &[&Path]) -> Result<Trust, TrustError> {
        Trust::load(&ClientOptions {
            trust,
            extra_ca_files: files.iter().map(|path| path.to_path_buf()).collect(),
            ..ClientOptions::default()
        })
    }

    #[test]
    fn the_compiled_in_roots_need_nothing() {
        load(TrustRoots::Webpki, &[]).unwrap().connector().unwrap();
    }

    #[test]
    fn to_trust_nobody_is_an_error() {
        let error = load(TrustRoots::ExtraOnly, &[]).unwrap_err();
        assert!(matches!(error, TrustError::Nobody), "{error}");
    }

    #[test]
    fn a_file_without_certificates_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let error = load(TrustRoots::Webpki, &[&path]).unwrap_err();
        assert!(error.to_string().contains("ca.pem"), "{error}");
        std::fs::write(&path, "not a certificate").unwrap();
        let error = load(TrustRoots::Webpki, &[&path]).unwrap_err();
        assert!(error.to_string().contains("BEGIN CERTIFICATE"), "{error}");
        std::fs::write(
            &path,
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        )
        .unwrap();
        let error = load(TrustRoots::Webpki, &[&path]).unwrap_err();
        assert!(matches!(error, TrustError::File { .. }), "{error}");
    }
}
