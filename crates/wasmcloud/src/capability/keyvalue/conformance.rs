//! What every backend and every wrapper must do, as the contract of [`Bucket`] says.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

#[cfg(any(feature = "keyvalue-nats", feature = "keyvalue-redis"))]
mod faults;
mod places;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;

use super::listing::{Mark, Next, PAGE, Wanted};
use super::{Bucket, Entry, Expected, Fault, SetOptions, Sign, Store, Swap};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const ALWAYS: SetOptions = SetOptions {
    ttl: None,
    if_absent: false,
};
const IF_ABSENT: SetOptions = SetOptions {
    ttl: None,
    if_absent: true,
};

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn gone_after(millis: u64) -> SetOptions {
    SetOptions {
        ttl: Some(Duration::from_millis(millis)),
        if_absent: false,
    }
}

async fn set(bucket: &dyn Bucket, key: &str, value: &str) {
    bucket.set(key, bytes(value), ALWAYS).await.unwrap();
}

async fn got(bucket: &dyn Bucket, key: &str) -> Option<String> {
    let value = bucket.get(key).await.unwrap();
    value.map(|value| String::from_utf8(value.into()).unwrap())
}

async fn until_gone(bucket: &dyn Bucket, key: &str) {
    let gone = async {
        while bucket.exists(key).await.unwrap() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}

/// Everything, with the same place as two tenants have it.
pub(super) async fn conforms(one: &dyn Store, other: &dyn Store) {
    values_come_back_as_they_were(&*one.bucket("values")).await;
    a_value_is_set_once_where_it_must_be_absent(one.bucket("absent")).await;
    time_runs_out(&*one.bucket("times")).await;
    counters_count(one.bucket("counters")).await;
    counters_refuse(&*one.bucket("no counters")).await;
    swaps_depend_on_what_is_there(one.bucket("swaps")).await;
    names_are_listed_in_order(&*one.bucket("names")).await;
    places_are_listed_while_others_write(&*one.bucket("places")).await;
    several_at_once(&*one.bucket("batch")).await;
    buckets_and_tenants_share_nothing(one, other).await;
}

async fn values_come_back_as_they_were(bucket: &dyn Bucket) {
    assert_eq!(bucket.get("k").await, Ok(None));
    assert_eq!(bucket.exists("k").await, Ok(false));
    bucket.delete("k").await.unwrap();
    let long = "k".repeat(1024);
    let awkward = [
        "..", "a/../b", "a\0b", "*?[x]\\", "ключ", " ", "%2F", "\n", &long,
    ];
    for key in awkward {
        let value = Bytes::from([key.as_bytes(), &[0, 255, 13, 10]].concat());
        bucket.set(key, value.clone(), ALWAYS).await.unwrap();
        assert_eq!(bucket.get(key).await, Ok(Some(value)), "{key}");
        assert_eq!(bucket.exists(key).await, Ok(true), "{key}");
    }
    for key in awkward {
        bucket.delete(key).await.unwrap();
        assert_eq!(bucket.get(key).await, Ok(None), "{key}");
    }
    set(bucket, "k", "").await;
    assert_eq!(got(bucket, "k").await.as_deref(), Some(""));
    let large = Bytes::from(vec![7; 1 << 20]);
    bucket.set("k", large.clone(), ALWAYS).await.unwrap();
    assert_eq!(bucket.get("k").await, Ok(Some(large)));
}

async fn a_value_is_set_once_where_it_must_be_absent(bucket: Arc<dyn Bucket>) {
    let tries = (0..16).map(|who: u32| {
        let bucket = Arc::clone(&bucket);
        tokio::spawn(async move { bucket.set("k", bytes(&who.to_string()), IF_ABSENT).await })
    });
    let done = join_all(tries).await.into_iter().map(Result::unwrap);
    let (won, lost): (Vec<_>, Vec<_>) = done.partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 15));
    assert!(lost.into_iter().all(|lost| lost == Err(Fault::Exists)));
    bucket.delete("k").await.unwrap();
    bucket.set("k", bytes("new"), IF_ABSENT).await.unwrap();
    assert_eq!(got(&*bucket, "k").await.as_deref(), Some("new"));
}

async fn time_runs_out(bucket: &dyn Bucket) {
    bucket.set("k", bytes("v"), gone_after(40)).await.unwrap();
    bucket
        .set("stays", bytes("v"), gone_after(3_600_000))
        .await
        .unwrap();
    bucket
        .set("again", bytes("v"), gone_after(40))
        .await
        .unwrap();
    set(bucket, "again", "w").await;
    // Counting leaves the time as it is. On a slow machine it may be over before.
    loop {
        bucket.set("n", bytes("1"), gone_after(300)).await.unwrap();
        match bucket.increment("n", 1, Sign::Any).await.unwrap() {
            2 => break,
            _ => bucket.delete("n").await.unwrap(),
        }
    }
    until_gone(bucket, "k").await;
    until_gone(bucket, "n").await;
    assert_eq!(bucket.get("k").await, Ok(None));
    assert_eq!(bucket.current("k").await, Ok(None));
    let many = bucket.get_many(vec!["k".to_owned(), "again".to_owned()]);
    assert_eq!(many.await, Ok(vec![None, Some(bytes("w"))]));
    let listed = names(bucket, "").await;
    assert_eq!(listed, ["again", "stays"]);
    let require = Expected {
        value: Some(bytes("v")),
        version: None,
    };
    let swapped = bucket.swap("k", bytes("w"), require).await;
    assert_eq!(swapped, Ok(Swap::Stale(None)));
    bucket.set("k", bytes("new"), IF_ABSENT).await.unwrap();
    assert_eq!(bucket.increment("n", 5, Sign::Any).await, Ok(5));
    assert_eq!(got(bucket, "again").await.as_deref(), Some("w"));
}

async fn counters_count(bucket: Arc<dyn Bucket>) {
    assert_eq!(bucket.increment("n", 0, Sign::NotNegative).await, Ok(0));
    assert_eq!(got(&*bucket, "n").await.as_deref(), Some("0"));
    let tasks = (0..8).map(|_| {
        let bucket = Arc::clone(&bucket);
        tokio::spawn(async move {
            for _ in 0..25 {
                bucket.increment("n", 3, Sign::NotNegative).await.unwrap();
            }
        })
    });
    join_all(tasks).await.into_iter().for_each(Result::unwrap);
    assert_eq!(got(&*bucket, "n").await.as_deref(), Some("600"));
    assert_eq!(bucket.increment("n", -601, Sign::Any).await, Ok(-1));
    set(&*bucket, "n", "41").await;
    assert_eq!(bucket.increment("n", 1, Sign::Any).await, Ok(42));
}

async fn counters_refuse(bucket: &dyn Bucket) {
    let most = i64::MAX.to_string();
    set(bucket, "most", &most).await;
    for sign in [Sign::Any, Sign::NotNegative] {
        let counted = bucket.increment("most", 1, sign).await;
        assert_eq!(counted, Err(Fault::OutOfRange));
        assert_eq!(bucket.increment("most", 0, sign).await, Ok(i64::MAX));
    }
    assert_eq!(got(bucket, "most").await, Some(most));
    set(bucket, "least", &i64::MIN.to_string()).await;
    let counted = bucket.increment("least", -1, Sign::Any).await;
    assert_eq!(counted, Err(Fault::OutOfRange));
    let counted = bucket.increment("least", 1, Sign::NotNegative).await;
    assert_eq!(counted, Err(Fault::OutOfRange));
    for text in ["", " 1", "1.5", "one", "9223372036854775808", "+1", "01"] {
        set(bucket, "text", text).await;
        let counted = bucket.increment("text", 1, Sign::Any).await;
        assert_eq!(counted, Err(Fault::NotACounter), "{text:?}");
        assert_eq!(got(bucket, "text").await.as_deref(), Some(text));
    }
}

async fn swaps_depend_on_what_is_there(bucket: Arc<dyn Bucket>) {
    let require = |version: Option<&str>, value: Option<&str>| Expected {
        version: version.map(str::to_owned),
        value: value.map(bytes),
    };
    let swap = async |expected: Expected, value: &str| {
        bucket.swap("k", bytes(value), expected).await.unwrap()
    };
    assert_eq!(swap(require(None, Some("1")), "2").await, Swap::Stale(None));
    set(&*bucket, "k", "1").await;
    let first = bucket.current("k").await.unwrap().unwrap();
    assert_eq!(first.value, "1");
    let stale = swap(require(None, Some("0")), "2").await;
    assert_eq!(stale, Swap::Stale(Some(first.clone())));
    let version = first.version.as_str();
    assert_eq!(swap(require(Some(version), None), "2").await, Swap::Done);
    let Swap::Stale(Some(Entry { value, version })) = swap(require(Some(version), None), "3").await
    else {
        panic!("the version is an old one");
    };
    assert_eq!(value, "2");
    assert_eq!(swap(require(None, Some("2")), "3").await, Swap::Done);
    let stale = swap(require(Some(&version), Some("3")), "4").await;
    assert!(matches!(stale, Swap::Stale(Some(_))), "{stale:?}");
    let now = bucket.current("k").await.unwrap().unwrap().version;
    assert_eq!(swap(require(Some(&now), Some("3")), "4").await, Swap::Done);
    assert_eq!(got(&*bucket, "k").await.as_deref(), Some("4"));
    only_one_of_many_swaps(bucket).await;
}

async fn only_one_of_many_swaps(bucket: Arc<dyn Bucket>) {
    let now = bucket.current("k").await.unwrap().unwrap().version;
    let tries = (0..16).map(|who: u32| {
        let (bucket, version) = (Arc::clone(&bucket), Some(now.clone()));
        let expected = Expected {
            version,
            value: None,
        };
        let value = bytes(&format!("by {who}"));
        tokio::spawn(async move { bucket.swap("k", value, expected).await.unwrap() })
    });
    let done = join_all(tries).await.into_iter().map(Result::unwrap);
    assert_eq!(done.filter(|done| *done == Swap::Done).count(), 1);
}

/// All names that begin with a text, page by page.
async fn names(bucket: &dyn Bucket, prefix: &str) -> Vec<String> {
    let mark = Mark::of(&["names"]);
    let (mut all, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let wanted = Wanted::named(mark, Some(prefix.to_owned()), cursor.as_deref());
        let wanted = wanted.unwrap();
        let page = bucket.list(wanted).await.unwrap();
        all.extend(page.keys);
        cursor = match page.next {
            None => return all,
            Some(Next::After(key)) => Some(mark.at_key(prefix, &key)),
            Some(Next::Cursor(_)) => panic!("a cursor of the other kind"),
        };
    }
}

async fn fill(bucket: &dyn Bucket, keys: impl Iterator<Item = String>) {
    let pairs: Vec<_> = keys.map(|key| (key, bytes("v"))).collect();
    for pairs in pairs.chunks(PAGE) {
        bucket.set_many(pairs.to_vec()).await.unwrap();
    }
}

async fn names_are_listed_in_order(bucket: &dyn Bucket) {
    assert!(names(bucket, "").await.is_empty());
    for key in ["b*", "b", "a", "bb", "c", "b*x", "é"] {
        set(bucket, key, "v").await;
    }
    assert_eq!(
        names(bucket, "").await,
        ["a", "b", "b*", "b*x", "bb", "c", "é"]
    );
    assert_eq!(names(bucket, "b").await, ["b", "b*", "b*x", "bb"]);
    assert_eq!(names(bucket, "b*").await, ["b*", "b*x"]);
    assert!(names(bucket, "x").await.is_empty());
    let many = 2 * PAGE + 7;
    fill(bucket, (0..many).map(|n| format!("many/{n:05}"))).await;
    let listed = names(bucket, "many/").await;
    let wanted: Vec<_> = (0..many).map(|n| format!("many/{n:05}")).collect();
    assert_eq!(listed, wanted);
    let wanted = Wanted::named(Mark::of(&["one"]), Some("many/".to_owned()), None);
    let one_page = bucket.list(wanted.unwrap());
    assert_eq!(one_page.await.unwrap().keys.len(), PAGE);
}

async fn places_are_listed_while_others_write(bucket: &dyn Bucket) {
    let stays: BTreeSet<String> = (0..2 * PAGE + 100).map(|n| format!("stays {n}")).collect();
    fill(bucket, stays.iter().cloned()).await;
    let mark = Mark::of(&["this"]);
    let (mut seen, mut cursor, mut pages) = (Vec::new(), None, 0);
    loop {
        let wanted = Wanted::placed(mark, cursor).unwrap();
        let page = bucket.list(wanted).await.unwrap();
        seen.extend(page.keys.into_iter().filter(|key| key.starts_with("stays")));
        pages += 1;
        // What comes and goes between two pages moves nothing that stays.
        fill(bucket, (0..50).map(|n| format!("comes {pages} {n}"))).await;
        let gone = (0..50).map(|n| format!("comes {} {n}", pages - 1));
        bucket.delete_many(gone.collect()).await.unwrap();
        cursor = match page.next {
            None => break,
            Some(Next::Cursor(cursor)) => Some(cursor),
            Some(Next::After(_)) => panic!("a cursor of the other kind"),
        };
        assert!(matches!(
            Wanted::placed(Mark::of(&["that"]), cursor),
            Err(Fault::Invalid(_))
        ));
    }
    assert!(pages >= 3, "{pages}");
    assert_eq!(seen.len(), stays.len());
    assert_eq!(BTreeSet::from_iter(seen), stays);
}

async fn several_at_once(bucket: &dyn Bucket) {
    let keys = |keys: &[&str]| keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>();
    let pair = |key: &str, value: &str| (key.to_owned(), bytes(value));
    let pairs = vec![pair("a", "1"), pair("b", "2"), pair("a", "3")];
    bucket.set_many(pairs).await.unwrap();
    let found = bucket.get_many(keys(&["b", "none", "a", "b"])).await;
    let wanted = [Some("2"), None, Some("3"), Some("2")];
    assert_eq!(found, Ok(wanted.map(|value| value.map(bytes)).to_vec()));
    bucket.delete_many(keys(&["a", "none"])).await.unwrap();
    let found = bucket.get_many(keys(&["a", "b"])).await;
    assert_eq!(found, Ok(vec![None, Some(bytes("2"))]));
    assert_eq!(bucket.get_many(Vec::new()).await, Ok(Vec::new()));
    // A time that a key had is none of its new value.
    bucket.set("t", bytes("1"), gone_after(30)).await.unwrap();
    bucket
        .set_many(vec![pair("t", "2"), pair("u", "1")])
        .await
        .unwrap();
    bucket.set("u", bytes("1"), gone_after(30)).await.unwrap();
    until_gone(bucket, "u").await;
    assert_eq!(got(bucket, "t").await.as_deref(), Some("2"));
}

async fn buckets_and_tenants_share_nothing(one: &dyn Store, other: &dyn Store) {
    let buckets = ["", "a", "a/b", "..", "a%2Fb", "*"];
    for (index, name) in buckets.into_iter().enumerate() {
        set(&*one.bucket(name), "b/k", &index.to_string()).await;
        set(&*one.bucket(name), "own", name).await;
    }
    for (index, name) in buckets.into_iter().enumerate() {
        let bucket = one.bucket(name);
        assert_eq!(
            got(&*bucket, "b/k").await,
            Some(index.to_string()),
            "{name}"
        );
        assert_eq!(got(&*bucket, "own").await.as_deref(), Some(name));
        assert_eq!(names(&*bucket, "").await, ["b/k", "own"]);
        assert!(names(&*other.bucket(name), "").await.is_empty(), "{name}");
    }
    assert_eq!(got(&*one.bucket("a"), "b/b/k").await, None);
    set(&*other.bucket("a"), "b/k", "of the other").await;
    one.bucket("a").delete("b/k").await.unwrap();
    let found = got(&*other.bucket("a"), "b/k").await;
    assert_eq!(found.as_deref(), Some("of the other"));
}
