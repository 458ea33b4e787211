//! The backend against real servers: the contract, what is on the server, and what happens when the server or the way to it fails.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

mod hostile;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use test_servers::{Proxy, S3 as Service, Way};
use tokio::net::{TcpListener, TcpStream};

use super::super::conformance::{self, faults, id, name, read_all, write_all};
use super::super::settings::testing::tenant;
use super::place::AccessKeys;
use super::transport::Patience;
use super::writing::PART;
use super::*;
use crate::capability::budget::Budget;
use crate::net::dial::Dial;
use crate::net::resolve::{Resolve, ResolveError, SystemResolver};
use crate::net::trust::Authorities;
use crate::policy::{EgressOptions, EgressPolicy};

/// Short, for tests that wait for its end.
const IMPATIENT: Patience = Patience {
    usual: Duration::from_secs(2),
    sent: Duration::from_secs(2),
    work: Duration::from_secs(2),
};

fn place(endpoint: &str) -> S3Place {
    S3Place {
        endpoint: endpoint.parse().unwrap(),
        region: "us-east-1".to_owned(),
        bucket: Service::BUCKET.to_owned(),
        virtual_host: false,
        prefix: "kept/".to_owned(),
        keys: Some(AccessKeys {
            id: Service::KEY.to_owned(),
            secret: Service::SECRET.to_owned(),
            session: None,
        }),
    }
}

/// The way out to this machine.
fn dial() -> Dial {
    let options = EgressOptions {
        allow: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
        ..EgressOptions::default()
    };
    Dial::new(
        EgressPolicy::new(options),
        Arc::new(SystemResolver::default()),
    )
}

fn with(place: S3Place, patience: Patience) -> Arc<Bucket> {
    Arc::new(Bucket::with(place, dial(), patience).unwrap())
}

fn backend(bucket: &Arc<Bucket>, of: &str) -> S3 {
    S3::new(Arc::clone(bucket), &tenant(of), Budget::new(64 << 20))
}

fn opened(bucket: &Arc<Bucket>, of: &str) -> Arc<dyn Blobs> {
    Arc::new(backend(bucket, of))
}

fn on(service: &Service) -> Arc<Bucket> {
    with(place(&service.endpoint()), Patience::default())
}

fn behind(proxy: &Proxy) -> Arc<Bucket> {
    let endpoint = format!("http://127.0.0.1:{}", proxy.port());
    with(place(&endpoint), IMPATIENT)
}

#[tokio::test]
async fn it_conforms() {
    let service = Service::in_memory();
    let bucket = on(&service);
    conformance::whole(async |of| opened(&bucket, of)).await;
}

#[tokio::test]
async fn what_is_kept_is_there_when_the_server_is_back() {
    let mut service = Service::start();
    let bucket = on(&service);
    let blobs = opened(&bucket, "shop");
    faults::what_was_acknowledged_outlives_a_server(&blobs, async || {
        service.kill();
        let away = blobs.info(&id("kept", "o")).await.map(drop).unwrap_err();
        assert!(matches!(away, BlobError::Unavailable(_)), "{away}");
        service.resume();
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_absent_at_first_is_used_when_it_is_there() {
    let mut service = Service::absent();
    let bucket = on(&service);
    bucket.may_connect().await.unwrap();
    let blobs = opened(&bucket, "shop");
    let away = blobs.create_container(&name("c")).await.unwrap_err();
    assert_eq!(
        away,
        BlobError::Unavailable("its server cannot be reached".to_owned())
    );
    service.resume();
    blobs.create_container(&name("c")).await.unwrap();
    write_all(&blobs, "c", "o", b"x").await.unwrap();
    assert_eq!(read_all(&blobs, "c", "o").await.unwrap(), b"x");
}

#[tokio::test]
async fn a_way_that_is_held_cut_or_slow_is_told_and_gone_when_it_is_over() {
    let service = Service::start();
    let proxy = Proxy::to(service.port());
    let blobs = opened(&behind(&proxy), "shop");
    faults::the_way(&blobs, &proxy, Way::Slow(Duration::from_millis(1))).await;
}

#[tokio::test]
async fn large_objects_go_in_parts_and_little_of_them_is_held() {
    let service = Service::start();
    let bucket = on(&service);
    let budget = Budget::new(16 << 20);
    let s3 = S3::new(Arc::clone(&bucket), &tenant("shop"), Arc::clone(&budget));
    let blobs: Arc<dyn Blobs> = Arc::new(s3);
    blobs.create_container(&name("c")).await.unwrap();
    let mut writing = blobs.write(&id("c", "big")).await.unwrap();
    let piece = Bytes::from(vec![7; 1 << 20]);
    for _ in 0..40 {
        writing.write(piece.clone()).await.unwrap();
        assert!(budget.used() <= PART as u64, "one part is held");
    }
    writing.commit().await.unwrap();
    assert_eq!(budget.used(), 0);
    assert_eq!(service.unfinished(), 0);
    let read = read_all(&blobs, "c", "big").await.unwrap();
    assert!(read.len() == 40 << 20 && read.iter().all(|byte| *byte == 7));
}

#[tokio::test]
async fn a_large_object_that_is_dropped_leaves_no_parts() {
    let service = Service::start();
    let blobs = opened(&on(&service), "shop");
    blobs.create_container(&name("c")).await.unwrap();
    let before = service.keys();
    let mut writing = blobs.write(&id("c", "big")).await.unwrap();
    writing.write(vec![1; 2 * PART + 5].into()).await.unwrap();
    assert!(service.unfinished() > 0, "parts are on the server");
    drop(writing);
    let gone = async {
        while service.unfinished() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone)
        .await
        .unwrap();
    assert_eq!(service.keys(), before);
}

#[tokio::test]
async fn what_one_request_cannot_copy_flows_through_the_host() {
    let service = Service::start();
    let s3 = S3 {
        largest_copy: PART as u64,
        ..backend(&on(&service), "shop")
    };
    let blobs: Arc<dyn Blobs> = Arc::new(s3);
    blobs.create_container(&name("c")).await.unwrap();
    let bytes: Vec<u8> = (0..PART + 100).map(|n| (n % 251) as u8).collect();
    write_all(&blobs, "c", "o", &bytes).await.unwrap();
    blobs.copy(&id("c", "o"), &id("c", "copy")).await.unwrap();
    blobs
        .rename(&id("c", "o"), &id("c", "moved"))
        .await
        .unwrap();
    assert!(read_all(&blobs, "c", "copy").await.unwrap() == bytes);
    assert!(read_all(&blobs, "c", "moved").await.unwrap() == bytes);
    let gone = blobs.info(&id("c", "o")).await.map(drop);
    assert_eq!(gone, Err(BlobError::NoSuchObject));
}

#[tokio::test]
async fn keys_are_readable_and_a_deleted_container_leaves_none() {
    let service = Service::start();
    let bucket = on(&service);
    let blobs = opened(&bucket, "shop");
    blobs.create_container(&name("../Photos")).await.unwrap();
    write_all(&blobs, "../Photos", "cats/1.jpeg", b"meow")
        .await
        .unwrap();
    let home = "kept/default/workload/shop/!2e.!2fPhotos/";
    let keys = service.keys();
    assert_eq!(keys[0], format!("{home}.container"));
    assert!(keys[1].starts_with(home) && keys[1].ends_with("/cats!2f1.jpeg"));
    blobs.delete_container(&name("../Photos")).await.unwrap();
    assert!(service.keys().is_empty());
}

#[tokio::test]
async fn what_a_host_left_that_ended_too_early_goes_with_the_next_of_its_name() {
    let service = Service::start();
    let bucket = on(&service);
    let blobs = opened(&bucket, "shop");
    blobs.create_container(&name("c")).await.unwrap();
    write_all(&blobs, "c", "o", b"x").await.unwrap();
    // As if it had ended between the two steps of deleting.
    let marker = key("kept/default/workload/shop/c/.container").unwrap();
    bucket.store.delete(&marker).await.unwrap();
    assert_eq!(service.keys().len(), 1);
    blobs.create_container(&name("c")).await.unwrap();
    assert_eq!(service.keys(), [marker.as_ref()]);
    write_all(&blobs, "c", "new", b"y").await.unwrap();
    blobs.create_container(&name("c")).await.unwrap_err();
    assert_eq!(read_all(&blobs, "c", "new").await.unwrap(), b"y");
}

#[tokio::test]
async fn hosts_with_one_bucket_see_the_same() {
    let service = Service::in_memory();
    let hosts: Vec<_> = (0..4).map(|_| opened(&on(&service), "shop")).collect();
    hosts[0].create_container(&name("c")).await.unwrap();
    for host in &hosts[1..] {
        let again = host.create_container(&name("c")).await;
        assert_eq!(again, Err(BlobError::ContainerExists));
    }
    write_all(&hosts[0], "c", "o", b"x").await.unwrap();
    assert_eq!(read_all(&hosts[3], "c", "o").await.unwrap(), b"x");
}

#[tokio::test]
async fn who_may_not_is_told_and_no_secret_is() {
    let service = Service::start();
    let mut wrong = place(&service.endpoint());
    let keys = wrong.keys.as_mut().unwrap();
    keys.secret = "n0tTheS3cret".to_owned();
    let bucket = with(wrong.clone(), Patience::default());
    let denied = opened(&bucket, "shop").create_container(&name("c")).await;
    assert_eq!(denied, Err(BlobError::Denied));
    let told = format!("{wrong:?} {bucket:?} {:?}", backend(&bucket, "shop"));
    assert!(!told.contains("n0tTheS3cret"), "{told}");
    // Who says nothing of who he is, is nobody.
    wrong.keys = None;
    let bucket = with(wrong, Patience::default());
    let denied = opened(&bucket, "shop").create_container(&name("c")).await;
    assert_eq!(denied, Err(BlobError::Denied));
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_told() {
    let service = Service::in_memory();
    let mut place = place(&service.endpoint());
    place.bucket = "absent".to_owned();
    let blobs = opened(&with(place, Patience::default()), "shop");
    let told = blobs.create_container(&name("c")).await.unwrap_err();
    assert_eq!(told, no_bucket());
}

/// Knows every name, and that it is this machine's.
struct Here;

#[async_trait]
impl Resolve for Here {
    async fn resolve(&self, _: &str) -> Result<Vec<IpAddr>, ResolveError> {
        Ok(vec![Ipv4Addr::LOCALHOST.into()])
    }
}

#[tokio::test]
async fn a_bucket_can_be_part_of_the_name_of_its_host() {
    let service = Service::start();
    let place = S3Place {
        virtual_host: true,
        ..place(&format!("http://{}:{}", Service::DOMAIN, service.port()))
    };
    assert_eq!(place.host(), "blobs.s3.test");
    let policy = EgressOptions {
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        ..EgressOptions::default()
    };
    let dial = Dial::new(EgressPolicy::new(policy), Arc::new(Here));
    let bucket = Bucket::with(place, dial, Patience::default()).unwrap();
    let blobs = opened(&Arc::new(bucket), "shop");
    blobs.create_container(&name("c")).await.unwrap();
    write_all(&blobs, "c", "o", b"x").await.unwrap();
    assert_eq!(read_all(&blobs, "c", "o").await.unwrap(), b"x");
    assert_eq!(service.keys().len(), 2);
}

#[tokio::test]
async fn an_address_that_the_policy_denies_is_not_reached() {
    let service = Service::start();
    let shut = Dial::new(EgressPolicy::default(), Arc::new(SystemResolver::default()));
    let place = place(&service.endpoint());
    let bucket = Bucket::with(place, shut, Patience::default()).unwrap();
    let told = bucket.may_connect().await.unwrap_err().to_string();
    assert!(told.contains("may not be reached"), "{told}");
    let blobs = opened(&Arc::new(bucket), "shop");
    let denied = blobs.create_container(&name("c")).await;
    assert_eq!(denied, Err(BlobError::Denied));
}

#[tokio::test]
async fn only_a_server_with_a_trusted_certificate_is_spoken_to() {
    let service = Service::start();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!(
        "https://127.0.0.1:{}",
        listener.local_addr().unwrap().port()
    );
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let port = service.port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut inside = acceptor.accept(stream).await?;
                let mut outside = TcpStream::connect(("127.0.0.1", port)).await?;
                tokio::io::copy_bidirectional(&mut inside, &mut outside).await
            });
        }
    });
    let files = tempfile::tempdir().unwrap();
    let trusting = |certificate: &rcgen::Certificate| {
        let file = files.path().join("ca.pem");
        std::fs::write(&file, certificate.pem()).unwrap();
        let dial = dial().trusting(Authorities::load(&[file]).unwrap());
        let bucket = Bucket::with(place(&endpoint), dial, Patience::default()).unwrap();
        opened(&Arc::new(bucket), "shop")
    };
    let blobs = trusting(&made.cert);
    blobs.create_container(&name("c")).await.unwrap();
    let stranger = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let blobs = trusting(&stranger.cert);
    let refused = blobs.create_container(&name("d")).await.unwrap_err();
    assert!(matches!(refused, BlobError::Unavailable(_)), "{refused}");
}
