//! TLS that the host ends for a service.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::plugin::PluginError;
use crate::workload::PortTls;

/// The most that a file of certificates or keys may be, in bytes.
const MOST: u64 = 1024 * 1024;

/// Reads the files, whose paths are absolute or relative to the working directory.
pub(super) async fn acceptor(tls: &PortTls, port: &str) -> Result<TlsAcceptor, PluginError> {
    let certificate_path = format!("{port}.tls.certificate");
    let key_path = format!("{port}.tls.key");
    let pem = read(&tls.certificate, "certificate", &certificate_path).await?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let wrong = |path: &Path, what: &str, field: &str, problem: &dyn std::fmt::Display| {
        PluginError::new(format!(
            "the {what} in `{}` is of no use: {problem}",
            path.display()
        ))
        .at(field)
    };
    let chain =
        chain.map_err(|error| wrong(&tls.certificate, "certificate", &certificate_path, &error))?;
    if chain.is_empty() {
        let problem = "there is no `BEGIN CERTIFICATE` in it";
        return Err(wrong(
            &tls.certificate,
            "certificate",
            &certificate_path,
            &problem,
        ));
    }
    let pem = read(&tls.key, "key", &key_path).await?;
    // What is wrong with a key is not repeated: it may hold what is secret.
    let problem = "wanted one unencrypted private key in PEM";
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| wrong(&tls.key, "key", &key_path, &problem))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| PluginError::new(format!("TLS cannot be set up: {error}")).at(port))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| {
            wrong(&tls.key, "key", &key_path, &error)
                .hint("the key has to be that of the first certificate")
        })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn read(path: &Path, what: &str, field: &str) -> Result<Vec<u8>, PluginError> {
    let cannot = |problem: &dyn std::fmt::Display| {
        PluginError::new(format!(
            "cannot read the {what} in `{}`: {problem}",
            path.display()
        ))
        .hint("write the path of a file in PEM, relative to the manifest")
        .at(field)
    };
    let metadata = tokio::fs::metadata(path)
        .await
        .map_err(|error| cannot(&error))?;
    if !metadata.is_file() {
        return Err(cannot(&"it is no file"));
    }
    if metadata.len() > MOST {
        return Err(cannot(&"it is larger than 1 MiB"));
    }
    tokio::fs::read(path).await.map_err(|error| cannot(&error))
}
