//! A server of Redis.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use test_servers::{Proxy, Redis, Way};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::super::faults::survives;
use super::*;
use crate::capability::keyvalue::listing::Page;
use crate::capability::keyvalue::redis::{Server, ServerUrl};
use crate::capability::keyvalue::stores::{Place, Stores};
use crate::net::trust::Authorities;
use crate::policy::EgressPolicy;

/// What is told of an answer that is longer than it may be.
const TOO_LONG: &str = "the server answers with more than was asked for";

fn server(url: &str) -> Arc<Server> {
    by(url, dial())
}

fn by(url: &str, dial: Dial) -> Arc<Server> {
    let url = url.parse::<ServerUrl>().unwrap();
    Server::new(about(), url, dial, &KeyValueOptions::default())
}

/// One that is waited for no longer than this.
fn hurried(url: &str, patient: Duration) -> Arc<Server> {
    let url = url.parse::<ServerUrl>().unwrap();
    let options = KeyValueOptions::default();
    Server::with_patience(about(), url, dial(), &options, patient)
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
        let url = format!("redis://127.0.0.1:{port}");
        let server = hurried(&url, Duration::from_secs(2));
        server.may_connect().await.unwrap();
        server.tenant(&tenant("one"), "").bucket("b")
    };
    survives(&mut redis, place).await;
}

/// As when the network is cut: nobody waits longer than it should.
#[tokio::test]
async fn a_server_that_hangs_is_told_and_left() {
    let redis = Redis::start();
    let server = hurried(&redis.url(), Duration::from_secs(1));
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
    let server = by(&redis.url(), dial);
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
    let server = by(&url, dial_trusting(&certified));
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
        let server = by(&url, dial);
        let bucket = server.tenant(&tenant("one"), "").bucket("b");
        let fault = bucket.get("k").await.unwrap_err();
        assert!(matches!(fault, Fault::Unavailable(_)), "{url}: {fault:?}");
        assert!(!fault.to_string().contains("localhost"), "{fault}");
    }
}

/// What has no room is told as such, and what makes room is done.
#[tokio::test]
async fn a_full_server_is_told_as_full() {
    let redis = Redis::with_settings(&["--maxmemory", "100kb", "--maxmemory-policy", "noeviction"]);
    let bucket = server(&redis.url()).tenant(&tenant("one"), "").bucket("b");
    let value = Bytes::from(vec![0; 100_000]);
    for told in [
        bucket.set("k", value.clone(), ALWAYS).await,
        bucket.set_many(vec![("k".to_owned(), value)]).await,
        bucket.increment("n", 1, Sign::Any).await.map(drop),
        bucket.increment("n", 1, Sign::NotNegative).await.map(drop),
    ] {
        assert!(matches!(told, Err(Fault::Full(_))), "{told:?}");
    }
    assert_eq!(bucket.get("k").await, Ok(None));
    bucket.delete("k").await.unwrap();
}

/// As when its disk is full: it takes nothing that it could not keep.
#[tokio::test]
async fn a_server_that_cannot_save_is_told_as_full() {
    let redis = Redis::with_settings(&["--save", "3600 1", "--appendonly", "no"]);
    let client = ::redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let bucket = server(&redis.url()).tenant(&tenant("one"), "").bucket("b");
    set(&*bucket, "k", "before").await;
    // There is a folder where the file should be.
    std::fs::create_dir(redis.folder().join("dump.rdb")).unwrap();
    let save = ::redis::cmd("BGSAVE");
    save.query_async::<String>(&mut connection).await.unwrap();
    let failed = async {
        let mut info = ::redis::cmd("INFO");
        info.arg("persistence");
        loop {
            let found: String = info.query_async(&mut connection).await.unwrap();
            if found.contains("rdb_last_bgsave_status:err") {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, failed).await.unwrap();
    let told = bucket.set("k", bytes("after"), ALWAYS).await;
    assert!(matches!(told, Err(Fault::Full(_))), "{told:?}");
    assert_eq!(got(&*bucket, "k").await.as_deref(), Some("before"));
    std::fs::remove_dir(redis.folder().join("dump.rdb")).unwrap();
    let save = ::redis::cmd("SAVE");
    save.query_async::<String>(&mut connection).await.unwrap();
    set(&*bucket, "k", "after").await;
}

/// Counts what is on its way to a bucket.
struct Counted {
    bucket: Arc<dyn Bucket>,
    under_way: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

#[async_trait]
impl Bucket for Counted {
    async fn set(&self, key: &str, value: Bytes, how: SetOptions) -> Result<(), Fault> {
        let bytes = value.len();
        let now = self.under_way.fetch_add(bytes, Ordering::SeqCst) + bytes;
        self.most.fetch_max(now, Ordering::SeqCst);
        let done = self.bucket.set(key, value, how).await;
        self.under_way.fetch_sub(bytes, Ordering::SeqCst);
        done
    }

    async fn set_many(&self, pairs: Vec<(String, Bytes)>) -> Result<(), Fault> {
        for (key, value) in pairs {
            self.set(&key, value, ALWAYS).await?;
        }
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, Fault> {
        self.bucket.get(key).await
    }

    async fn delete(&self, key: &str) -> Result<(), Fault> {
        self.bucket.delete(key).await
    }

    async fn exists(&self, key: &str) -> Result<bool, Fault> {
        self.bucket.exists(key).await
    }

    async fn list(&self, wanted: Wanted) -> Result<Page, Fault> {
        self.bucket.list(wanted).await
    }

    async fn increment(&self, key: &str, delta: i64, sign: Sign) -> Result<i64, Fault> {
        self.bucket.increment(key, delta, sign).await
    }

    async fn current(&self, key: &str) -> Result<Option<Entry>, Fault> {
        self.bucket.current(key).await
    }

    async fn swap(&self, key: &str, value: Bytes, expected: Expected) -> Result<Swap, Fault> {
        self.bucket.swap(key, value, expected).await
    }

    async fn get_many(&self, keys: Vec<String>) -> Result<Vec<Option<Bytes>>, Fault> {
        self.bucket.get_many(keys).await
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), Fault> {
        self.bucket.delete_many(keys).await
    }
}

/// A guest that starts more and more calls with one buffer, while nothing passes: what is on its way and what waits have an end.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_on_its_way_to_a_held_server_than_may_be() {
    const ROOM: usize = 1 << 20;
    const VALUE: usize = 100_000;
    let redis = Redis::start();
    let way = Proxy::to(redis.port());
    let url = format!("redis://127.0.0.1:{}", way.port());
    let server = hurried(&url, Duration::from_secs(2));
    let (under_way, most) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let counted = Counted {
        bucket: server.tenant(&tenant("one"), "").bucket("b"),
        under_way: Arc::clone(&under_way),
        most: Arc::clone(&most),
    };
    let traffic = Traffic::of(ROOM, ROOM);
    let bucket = Limited::new(Arc::new(counted), &KeyValueOptions::default(), traffic);
    let bucket = Arc::new(bucket);
    set(&*bucket, "k", "before").await;
    way.set(Way::Held);
    let calls = (0..500).map(|who: u32| {
        let bucket = Arc::clone(&bucket);
        let value = Bytes::from(vec![0; VALUE]);
        tokio::spawn(async move { bucket.set(&who.to_string(), value, ALWAYS).await })
    });
    let told = tokio::time::timeout(PATIENCE, join_all(calls)).await;
    let told: Vec<Fault> = told
        .unwrap()
        .into_iter()
        .map(|told| told.unwrap().unwrap_err())
        .collect();
    let most = most.load(Ordering::SeqCst);
    assert!((VALUE..=ROOM).contains(&most), "{most} bytes");
    let full = told.iter().filter(|it| matches!(it, Fault::Full(_)));
    // What waits has an end, too: the others are told so.
    assert!(full.count() > 0, "{told:?}");
    way.set(Way::Open);
    let back = async {
        while bucket.set("k", bytes("after"), ALWAYS).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, back).await.unwrap();
    assert_eq!(under_way.load(Ordering::SeqCst), 0);
}

/// What is as long as it may be, is no longer than what was asked for.
#[tokio::test]
async fn the_longest_answers_that_there_are_come_whole() {
    let redis = Redis::start();
    let options = KeyValueOptions::default();
    let bucket = server(&redis.url()).tenant(&tenant("one"), "").bucket("b");
    let bucket = Limited::new(bucket, &options, Traffic::default());
    let value = Bytes::from(vec![7; options.value_bytes]);
    let keys: Vec<String> = (0..16).map(|n| n.to_string()).collect();
    for key in &keys {
        bucket.set(key, value.clone(), ALWAYS).await.unwrap();
    }
    let all = bucket.get_many(keys).await.unwrap();
    assert_eq!(all.len(), 16);
    assert!(all.iter().all(|found| found.as_ref() == Some(&value)));
    let entry = bucket.current("0").await.unwrap().unwrap();
    assert_eq!(entry.value, value);
    let long = (0..PAGE).map(|n| (format!("{n:01024}"), Bytes::new()));
    bucket.set_many(long.collect()).await.unwrap();
    let wanted = Wanted::named(Mark::of(&["b"]), Some("0".repeat(1000)), None);
    let page = bucket.list(wanted.unwrap()).await.unwrap();
    assert_eq!(page.keys.len(), PAGE);
}

/// A server that greets as it should, and answers what it is asked for with something that has no end.
async fn endless(begin: &'static [u8]) -> (String, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        until_asked(&mut stream, "GET").await.unwrap();
        stream.write_all(begin).await.unwrap();
        let more = vec![b'x'; 1 << 16];
        let mut taken = 0;
        while stream.write_all(&more).await.is_ok() {
            taken += more.len();
        }
        taken
    });
    (url, served)
}

/// Greets, until a command comes, and what it is about. Tells what came; `None`: whoever connected is gone.
async fn until_asked(stream: &mut TcpStream, command: &str) -> Option<String> {
    let (mut said, mut greeted) = (Vec::<u8>::new(), 0);
    let command = format!("\r\n{command}\r\n");
    loop {
        let came = stream.read_buf(&mut said).await.ok();
        came.filter(|came| *came > 0)?;
        let text = String::from_utf8_lossy(&said);
        let greetings = text.matches("SETINFO").count();
        let answers = "+OK\r\n".repeat(greetings - greeted);
        stream.write_all(answers.as_bytes()).await.unwrap();
        greeted = greetings;
        let about = text.split_once(&command);
        if about.is_some_and(|(_, about)| about.matches("\r\n").count() >= 2) {
            return Some(text.into_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_ends_the_connection_before_it_is_held() {
    let begins: [&[u8]; 4] = [
        b"$99999999999\r\n",
        b"*99999999\r\n",
        b"+",
        b"%99999999\r\n",
    ];
    for begin in begins {
        let (url, served) = endless(begin).await;
        let bucket = server(&url).tenant(&tenant("one"), "").bucket("b");
        let told = tokio::time::timeout(PATIENCE, bucket.get("k")).await;
        let told = told.unwrap().unwrap_err();
        assert_eq!(told, Fault::Other(TOO_LONG.to_owned()));
        let taken = tokio::time::timeout(PATIENCE, served).await;
        let taken = taken.unwrap().unwrap();
        assert!(taken < 32 << 20, "{taken} bytes were taken");
    }
}

/// Another program gives the key `long` of the tenant `one` a value that is longer than any may be.
async fn lengthen(redis: &Redis) {
    let client = ::redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let value = vec![7_u8; 2 * KeyValueOptions::default().value_bytes];
    let mut set = ::redis::cmd("SET");
    set.arg("default/workload/one/b/long").arg(&*value);
    set.query_async::<String>(&mut connection).await.unwrap();
}

/// The connection ends, and what else is under way on it and may be asked again is.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_a_value_that_is_too_long_fails_alone() {
    let redis = Redis::start();
    let way = Proxy::to(redis.port());
    let server = server(&format!("redis://127.0.0.1:{}", way.port()));
    let [one, other] = ["one", "other"].map(|it| server.tenant(&tenant(it), "").bucket("b"));
    set(&*other, "k", "v").await;
    lengthen(&redis).await;
    let all = Wanted::named(Mark::of(&["b"]), None, None).unwrap();
    way.set(Way::Held);
    let asked = async { way.set(Way::Open) };
    let (before, long, value, there, entry, values, gone, page, ()) = tokio::join!(
        other.get("k"),
        one.get("long"),
        other.get("k"),
        other.exists("k"),
        other.current("k"),
        other.get_many(vec!["k".to_owned()]),
        other.delete("none"),
        other.list(all),
        asked
    );
    assert_eq!(long, Err(Fault::Other(TOO_LONG.to_owned())));
    assert_eq!(before, Ok(Some(bytes("v"))));
    assert_eq!(value, Ok(Some(bytes("v"))));
    assert_eq!(there, Ok(true));
    assert_eq!(entry.unwrap().unwrap().value, "v");
    assert_eq!(values, Ok(vec![Some(bytes("v"))]));
    assert_eq!(gone, Ok(()));
    assert_eq!(page.unwrap().keys, ["k"]);
}

/// Not even one that is never asked again: each tenant has a connection of its own.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_one_tenant_asks_for_ends_a_call_of_another() {
    let redis = Redis::start();
    let way = Proxy::to(redis.port());
    let stores = Stores::new(KeyValueOptions::default(), None, dial());
    let place = Place::Redis {
        url: format!("redis://127.0.0.1:{}", way.port()).parse().unwrap(),
        prefix: String::new(),
    };
    let bucket = async |name: &str| {
        let store = stores.open(&place, &tenant(name)).await.unwrap();
        store.bucket("b")
    };
    let (one, other) = (bucket("one").await, bucket("other").await);
    set(&*one, "n", "1").await;
    set(&*other, "n", "1").await;
    lengthen(&redis).await;
    way.set(Way::Held);
    let asked = async { way.set(Way::Open) };
    let (long, counted, ()) =
        tokio::join!(one.get("long"), other.increment("n", 1, Sign::Any), asked);
    assert_eq!(long, Err(Fault::Other(TOO_LONG.to_owned())));
    assert_eq!(counted, Ok(2));
}

/// It would go on in another order, and leave keys out.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_begins_anew_where_the_server_was_started_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        until_asked(&mut stream, "SCAN").await.unwrap();
        stream.write_all(b"*2\r\n$1\r\n7\r\n*0\r\n").await.unwrap();
        let on = until_asked(&mut stream, "SCAN").await.unwrap();
        drop(stream);
        loop {
            // Some who connect only look whether it is there.
            let (mut stream, _) = listener.accept().await.unwrap();
            let Some(anew) = until_asked(&mut stream, "SCAN").await else {
                continue;
            };
            let key = "default/workload/one/b/k";
            let page = format!("*2\r\n$1\r\n0\r\n*1\r\n${}\r\n{key}\r\n", key.len());
            stream.write_all(page.as_bytes()).await.unwrap();
            break [on, anew];
        }
    });
    let bucket = server(&url).tenant(&tenant("one"), "").bucket("b");
    let listed = tokio::time::timeout(PATIENCE, names(&*bucket, "")).await;
    assert_eq!(listed.unwrap(), ["k"]);
    let [on, anew] = served.await.unwrap();
    assert!(on.contains("\r\nSCAN\r\n$1\r\n7\r\n"), "{on}");
    assert!(anew.contains("\r\nSCAN\r\n$1\r\n0\r\n"), "{anew}");
}
