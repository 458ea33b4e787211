//! TLS that the host ends.

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;

use super::*;
use crate::workload::PortTls;

/// A folder with `certificate.pem` for localhost and `key.pem`.
fn files() -> (TempDir, CertificateDer<'static>) {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(folder.path().join("certificate.pem"), certificate.pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
    (folder, certificate.der().clone())
}

fn secret_port() -> PublishedPort {
    let tls = PortTls {
        certificate: "certificate.pem".into(),
        key: "key.pem".into(),
    };
    PublishedPort {
        tls: Some(tls),
        ..any_port()
    }
}

async fn publish(
    publisher: &Publisher,
    workload: &Workload,
    base: &Path,
) -> Result<Publication, PluginError> {
    let ports = [secret_port()];
    let opened = publisher.open(&workload.id, None, &ports, base, &workload.network);
    let mut publication = opened.await?.remove(0);
    publication.go_live();
    Ok(publication)
}

#[tokio::test]
async fn the_service_sees_what_was_inside_tls() {
    let (folder, certificate) = files();
    let mut workload = Workload::new("secret");
    let publication = publish(&publisher(), &workload, folder.path())
        .await
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(publication.addr()).await.unwrap();
    let localhost = ServerName::try_from("localhost").unwrap();
    let mut outside = connector.connect(localhost, stream).await.unwrap();
    let mut inside = workload.accept().await;
    send(&mut outside, "secret").await;
    assert_eq!(receive(&mut inside.reader, 6).await, "secret");
    inside.writer.write_all(&[7; 100_000]).await.unwrap();
    inside.writer.shutdown().await.unwrap();
    let mut answer = Vec::new();
    outside.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, [7; 100_000]);
    send(&mut outside, "more").await;
    outside.shutdown().await.unwrap();
    let mut rest = String::new();
    inside.reader.read_to_string(&mut rest).await.unwrap();
    assert_eq!(
        rest, "more",
        "the outside ends its direction, and that is an end inside"
    );
    publication.outside().drained().await;
}

#[tokio::test]
async fn whoever_does_not_speak_tls_or_not_at_all_is_not_let_in() {
    let (folder, _) = files();
    let mut workload = Workload::new("secret");
    let publisher = Publisher::new(PublishOptions {
        patience: Duration::from_millis(20),
        ..PublishOptions::default()
    });
    let publication = publish(&publisher, &workload, folder.path()).await.unwrap();
    let mut plain = TcpStream::connect(publication.addr()).await.unwrap();
    send(&mut plain, "GET / HTTP/1.1\r\n\r\n").await;
    let mut alert = Vec::new();
    let _ = plain.read_to_end(&mut alert).await;
    assert_eq!(alert.first(), Some(&21), "an alert of TLS");
    let mut silent = TcpStream::connect(publication.addr()).await.unwrap();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
    assert!(workload.accept().now_or_never().is_none());
    publication.outside().drained().await;
}

#[tokio::test]
async fn a_file_that_is_of_no_use_is_named_with_its_field() {
    let workload = Workload::new("secret");
    let open = async |base: &Path| {
        let error = publish(&publisher(), &workload, base).await.unwrap_err();
        (error.to_string(), error.path.unwrap())
    };
    let (folder, _) = files();
    let (certificate, key) = (
        folder.path().join("certificate.pem"),
        folder.path().join("key.pem"),
    );
    let (good_certificate, good_key) = (
        std::fs::read(&certificate).unwrap(),
        std::fs::read(&key).unwrap(),
    );
    let certificate_path = "spec.service.ports.0.tls.certificate";
    let key_path = "spec.service.ports.0.tls.key";

    std::fs::write(&key, &good_certificate).unwrap();
    let (text, path) = open(folder.path()).await;
    assert!(
        text.contains("wanted one unencrypted private key") && path == key_path,
        "{text}"
    );
    let (other, _) = files();
    std::fs::copy(other.path().join("key.pem"), &key).unwrap();
    let (text, path) = open(folder.path()).await;
    assert!(
        text.contains("key.pem` is of no use: keys may not be consistent") && path == key_path,
        "{text}"
    );
    std::fs::remove_file(&key).unwrap();
    let (text, path) = open(folder.path()).await;
    assert!(
        text.contains("cannot read the key in") && path == key_path,
        "{text}"
    );

    std::fs::write(&certificate, &good_key).unwrap();
    let (text, path) = open(folder.path()).await;
    assert!(
        text.contains("there is no `BEGIN CERTIFICATE`") && path == certificate_path,
        "{text}"
    );
    std::fs::write(&certificate, vec![0; 1024 * 1024 + 1]).unwrap();
    let (text, path) = open(folder.path()).await;
    assert!(
        text.contains("larger than 1 MiB") && path == certificate_path,
        "{text}"
    );
    std::fs::remove_file(&certificate).unwrap();
    std::fs::create_dir(&certificate).unwrap();
    let (text, path) = open(folder.path()).await;
    assert!(
        text.contains("it is no file") && path == certificate_path,
        "{text}"
    );
}
