//! TLS to servers: who is trusted, and how far.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::url::Mode;
use crate::net::trust::Authorities;

/// TLS as the modes have it. What is missing, is so for a reason.
pub(super) struct Tls {
    /// A server of that name, by any authority that is trusted.
    full: Result<MakeRustlsConnect, String>,
    /// Any server that an authority of the configuration vouches for.
    authority: Result<MakeRustlsConnect, String>,
}

impl Tls {
    /// Reads the certificates of the machine, which takes its time.
    pub(super) fn load(authorities: &Authorities) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let full = authorities.verifier();
        let full = full.and_then(|verifier| config(verifier, &provider));
        let own = authorities.extra();
        let authority = match own.is_empty() {
            true => Err("`sslmode=verify-ca` needs the certificate of an authority in the host's configuration (`backends.extraCaFiles`); `verify-full` does not".to_owned()),
            false => verifier(own.clone(), &provider)
                .and_then(|verifier| config(Arc::new(AnyName(verifier)), &provider)),
        };
        Self { full, authority }
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
