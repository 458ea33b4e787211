//! TLS to servers: who is trusted, and how far.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::PostgresOptions;
use super::url::Mode;

/// Why a file of certificates is of no use.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot read the certificates in `{}`: {problem}", path.display())]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: String,
}

/// TLS as the modes have it. What is missing, is so for a reason.
pub(super) struct Tls {
    /// A server of that name, by any authority that is trusted.
    full: Result<MakeRustlsConnect, String>,
    /// Any server that an authority of the configuration vouches for.
    authority: Result<MakeRustlsConnect, String>,
}

impl Tls {
    /// Reads the files. It takes its time.
    pub(super) fn load(options: &PostgresOptions) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let own = own_roots(options).map_err(|error| error.to_string());
        Self {
            full: own.clone().and_then(|own| {
                let mut roots = own;
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                let verifier = verifier(roots, &provider)?;
                config(verifier, &provider)
            }),
            authority: own.and_then(|own| {
                if own.is_empty() {
                    let told = "`sslmode=verify-ca` needs the certificate of an authority in the host's configuration (`postgres.caFiles`); `verify-full` does not";
                    return Err(told.to_owned());
                }
                let verifier = verifier(own, &provider)?;
                config(Arc::new(AnyName(verifier)), &provider)
            }),
        }
    }

    /// None of it.
    pub(super) fn none() -> Self {
        let none = || Err("the certificates could not be read".to_owned());
        Self {
            full: none(),
            authority: none(),
        }
    }

    /// TLS of a mode; none where there is none to be.
    pub(super) fn of(
        &self,
        mode: Mode,
        loopback: bool,
    ) -> Result<Option<&MakeRustlsConnect>, String> {
        let wanted = match mode {
            Mode::Disable => return Ok(None),
            Mode::Usual if loopback => return Ok(None),
            Mode::Usual | Mode::Full => &self.full,
            Mode::Authority => &self.authority,
        };
        wanted.as_ref().map(Some).map_err(Clone::clone)
    }
}

/// The authorities of the configuration.
pub(super) fn own_roots(options: &PostgresOptions) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for path in &options.ca_files {
        add_file(&mut roots, path).map_err(|problem| TlsError {
            path: path.clone(),
            problem,
        })?;
    }
    Ok(roots)
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let before = roots.len();
    let found = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    for certificate in found {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    match roots.len() == before {
        true => Err("there is no `BEGIN CERTIFICATE` in it".to_owned()),
        false => Ok(()),
    }
}

fn verifier(
    roots: RootCertStore,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, String> {
    let built =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    built.map_err(|error| format!("no certificates are trusted: {error}"))
}

fn config(
    verifier: Arc<dyn ServerCertVerifier>,
    provider: &Arc<CryptoProvider>,
) -> Result<MakeRustlsConnect, String> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    // The verifiers here check all that their modes promise.
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    // Sessions that are resumed would tell a server that two workloads are on one host.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(MakeRustlsConnect::new(config))
}

/// Takes any name of a certificate that an authority vouches for.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.0
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is looked at last, when all else is right.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
