//! A server of Redis.

use test_servers::Redis;

use super::super::faults::survives;
use super::*;
use crate::capability::keyvalue::redis::{Server, ServerUrl};
use crate::capability::trust::Authorities;
use crate::policy::EgressPolicy;

fn server(url: &str) -> Arc<Server> {
    Server::new(url.parse::<ServerUrl>().unwrap(), dial())
}

#[tokio::test(flavor = "multi_thread")]
async fn redis() {
    let redis = Redis::start();
    let server = server(&redis.url());
    let one = server.tenant(&tenant("one"), "app[1]:");
    let other = server.tenant(&tenant("other"), "app[1]:");
    conforms(&one, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults() {
    let mut redis = Redis::start();
    let place = async |port: u16| {
        let url = format!("redis://127.0.0.1:{port}").parse().unwrap();
        let server = Server::with_patience(url, dial(), Duration::from_secs(2));
        server.may_connect().await.unwrap();
        server.tenant(&tenant("one"), "").bucket("b")
    };
    survives(&mut redis, place).await;
}

/// As when the network is cut: nobody waits longer than it should.
#[tokio::test]
async fn a_server_that_hangs_is_told_and_left() {
    let redis = Redis::start();
    let url = redis.url().parse::<ServerUrl>().unwrap();
    let server = Server::with_patience(url, dial(), Duration::from_secs(1));
    let bucket = server.tenant(&tenant("one"), "").bucket("b");
    set(&*bucket, "k", "v").await;
    redis.hang();
    assert_eq!(bucket.get("k").await, Err(Fault::Timeout));
    let absent = bucket.get("k").await;
    assert!(matches!(absent, Err(Fault::Unavailable(_))), "{absent:?}");
    redis.go_on();
    let back = async {
        while bucket.get("k").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, back).await.unwrap();
    assert_eq!(got(&*bucket, "k").await.as_deref(), Some("v"));
}

#[tokio::test]
async fn a_wrong_password_is_denied_and_told_to_nobody() {
    let redis = Redis::with_password("right");
    let url = |password: &str| format!("redis://:{password}@127.0.0.1:{}", redis.port());
    let right = server(&url("right")).tenant(&tenant("one"), "").bucket("b");
    set(&*right, "k", "v").await;
    for url in [url("wrong"), redis.url()] {
        let wrong = server(&url).tenant(&tenant("one"), "").bucket("b");
        assert_eq!(wrong.get("k").await, Err(Fault::Denied));
    }
}

#[tokio::test]
async fn a_manifest_leads_nowhere_that_the_policy_denies() {
    let redis = Redis::start();
    let resolver = Arc::new(SystemResolver::default());
    let dial = Dial::new(EgressPolicy::default(), resolver);
    let server = Server::new(redis.url().parse().unwrap(), dial);
    let told = server.may_connect().await.unwrap_err().to_string();
    assert!(told.contains("127.0.0.1 is a loopback address"), "{told}");
    let bucket = server.tenant(&tenant("one"), "").bucket("b");
    assert_eq!(bucket.get("k").await, Err(Fault::Denied));
}

/// An authority of its own, and a certificate of it for a name.
struct Certified {
    authority: tempfile::TempDir,
    certificate: String,
    key: String,
}

fn certified(name: &str) -> Certified {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let own = params.self_signed(&key).unwrap();
    let authority = tempfile::tempdir().unwrap();
    std::fs::write(authority.path().join("ca.pem"), own.pem()).unwrap();
    let issuer = rcgen::Issuer::new(params, key);
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    Certified {
        authority,
        certificate: params.signed_by(&key, &issuer).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

/// Trusts what the authority certifies.
fn dial_trusting(certified: &Certified) -> Dial {
    let file = certified.authority.path().join("ca.pem");
    dial().trusting(Authorities::load(&[file]).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_over_tls() {
    let certified = certified("localhost");
    let redis = Redis::with_tls(&certified.certificate, &certified.key);
    let url = format!("rediss://localhost:{}", redis.port());
    let server = Server::new(url.parse().unwrap(), dial_trusting(&certified));
    let one = server.tenant(&tenant("one"), "");
    conforms(&one, &server.tenant(&tenant("other"), "")).await;
}

#[tokio::test]
async fn tls_is_spoken_with_nobody_who_is_not_certified() {
    let local = certified("localhost");
    let redis = Redis::with_tls(&local.certificate, &local.key);
    let url = |scheme: &str, host: &str| format!("{scheme}://{host}:{}", redis.port());
    for (url, dial) in [
        // Nobody here trusts the authority.
        (url("rediss", "localhost"), dial()),
        // The certificate is for another name.
        (url("rediss", "127.0.0.1"), dial_trusting(&local)),
        // It is of another authority.
        (
            url("rediss", "localhost"),
            dial_trusting(&certified("localhost")),
        ),
        // The server speaks nothing but TLS.
        (url("redis", "localhost"), dial_trusting(&local)),
    ] {
        let server = Server::new(url.parse().unwrap(), dial);
        let bucket = server.tenant(&tenant("one"), "").bucket("b");
        let fault = bucket.get("k").await.unwrap_err();
        assert!(matches!(fault, Fault::Unavailable(_)), "{url}: {fault:?}");
        assert!(!fault.to_string().contains("localhost"), "{fault}");
    }
}
