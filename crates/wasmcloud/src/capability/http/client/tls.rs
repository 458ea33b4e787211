//! TLS of the client: whose certificates are trusted, and a configuration for each workload.

use std::sync::Arc;

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::{ClientOptions, TrustRoots};
use crate::net::trust::{TrustError, add_file, add_native};

/// How many sessions a workload may resume.
const SESSIONS: usize = 32;

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::path::Path;

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
