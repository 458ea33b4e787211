//! Whose certificates are trusted when the host speaks TLS to somebody: what the operating system trusts, and files of PEM.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

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

/// Certificates of the system that are damaged are passed over, as other programs do; none at all is an error.
pub(crate) fn add_native(roots: &mut RootCertStore) -> Result<(), TrustError> {
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

/// All certificates of a file; none at all is an error.
pub(crate) fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), TrustError> {
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

#[cfg(feature = "servers")]
pub(crate) use authorities::Authorities;

#[cfg(feature = "servers")]
mod authorities {
    use std::path::PathBuf;
    use std::sync::{Arc, OnceLock};

    use rustls::client::WebPkiServerVerifier;
    use rustls::crypto::CryptoProvider;
    use rustls::{ClientConfig, RootCertStore};

    use super::{TrustError, add_file, add_native};

    /// Who may certify the servers of backends: whoever the operating system trusts, and those in files that the configuration of the
    /// host names. A manifest has no say in it.
    #[derive(Debug)]
    pub(crate) struct Authorities {
        extra: RootCertStore,
        /// The system's are read when somebody needs them: most hosts never do.
        verifier: OnceLock<Result<Arc<WebPkiServerVerifier>, String>>,
    }

    impl Default for Authorities {
        /// Only those of the operating system.
        fn default() -> Self {
            Self {
                extra: RootCertStore::empty(),
                verifier: OnceLock::new(),
            }
        }
    }

    impl Authorities {
        /// Reads the files.
        pub(crate) fn load(files: &[PathBuf]) -> Result<Self, TrustError> {
            let mut extra = RootCertStore::empty();
            for path in files {
                add_file(&mut extra, path)?;
            }
            Ok(Self {
                extra,
                ..Self::default()
            })
        }

        /// Those that the configuration names.
        #[cfg(feature = "postgres")]
        pub(crate) fn extra(&self) -> &RootCertStore {
            &self.extra
        }

        /// Checks certificates.
        pub(crate) fn verifier(&self) -> Result<Arc<WebPkiServerVerifier>, String> {
            let made = self.verifier.get_or_init(|| {
                let mut roots = self.extra.clone();
                match add_native(&mut roots) {
                    Err(error) if roots.is_empty() => return Err(error.to_string()),
                    // A small container has none of its own.
                    Err(_) | Ok(()) => {}
                }
                let roots = Arc::new(roots);
                let made = WebPkiServerVerifier::builder_with_provider(roots, provider()).build();
                made.map_err(|error| error.to_string())
            });
            made.clone()
        }

        /// TLS with servers that are checked by their names.
        #[cfg_attr(
            not(any(feature = "blobstore-s3", feature = "keyvalue-redis")),
            allow(dead_code, reason = "others check names by themselves")
        )]
        pub(crate) fn client(&self) -> Result<ClientConfig, String> {
            let verifier = self.verifier()?;
            let config = ClientConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())?;
            Ok(config.with_webpki_verifier(verifier).with_no_client_auth())
        }
    }

    pub(crate) fn provider() -> Arc<CryptoProvider> {
        Arc::new(rustls::crypto::ring::default_provider())
    }
}
