//! The places that the suite runs over, and what is special about each.

#[cfg(feature = "keyvalue-redb")]
mod disk;
#[cfg(feature = "keyvalue-nats")]
mod nats;
#[cfg(feature = "keyvalue-redis")]
mod redis;

use super::*;
use crate::capability::keyvalue::KeyValueOptions;
use crate::capability::keyvalue::limited::{Limited, Traffic};
use crate::capability::keyvalue::memory::Memory;
use crate::net::dial::Dial;
use crate::net::resolve::SystemResolver;
use crate::policy::{EgressOptions, EgressPolicy};

/// Refuses what is too much, in front of what takes all.
struct Guarded(Memory);

impl Store for Guarded {
    fn bucket(&self, name: &str) -> Arc<dyn Bucket> {
        Arc::new(Limited::new(
            self.0.bucket(name),
            &KeyValueOptions::default(),
            Traffic::default(),
        ))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory() {
    let rooms = [1, 2].map(|_| Memory::new(64 << 20));
    conforms(&rooms[0], &rooms[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limited() {
    let rooms = [1, 2].map(|_| Guarded(Memory::new(64 << 20)));
    conforms(&rooms[0], &rooms[1]).await;
}

#[tokio::test]
async fn what_is_too_much_is_refused() {
    let store = Guarded(Memory::new(64 << 20));
    let bucket = store.bucket("b");
    let invalid = |done: Result<(), Fault>| matches!(done, Err(Fault::Invalid(_)));
    for key in [String::new(), "k".repeat(1025), "k".repeat(4096)] {
        assert!(invalid(bucket.get(&key).await.map(drop)));
        assert!(invalid(bucket.set(&key, Bytes::new(), ALWAYS).await));
        assert!(invalid(
            bucket.delete_many(vec!["ok".to_owned(), key]).await
        ));
    }
    let large = Bytes::from(vec![0; (1 << 20) + 1]);
    assert!(invalid(bucket.set("k", large.clone(), ALWAYS).await));
    let require = Expected {
        value: Some(Bytes::new()),
        version: None,
    };
    assert!(invalid(bucket.swap("k", large, require).await.map(drop)));
    let nothing = bucket.swap("k", Bytes::new(), Expected::default());
    assert!(invalid(nothing.await.map(drop)));
    assert!(invalid(bucket.set("k", Bytes::new(), gone_after(0)).await));
    assert!(invalid(
        bucket.set("k", Bytes::new(), gone_after(u64::MAX)).await
    ));
    let many = (0..1001).map(|n| n.to_string()).collect();
    assert!(invalid(bucket.get_many(many).await.map(drop)));
    let value = Bytes::from(vec![0; 1 << 20]);
    let pairs = (0..17).map(|n| (n.to_string(), value.clone()));
    assert!(invalid(bucket.set_many(pairs.collect()).await));
    for n in 0..17 {
        let key = n.to_string();
        bucket.set(&key, value.clone(), ALWAYS).await.unwrap();
    }
    let all = (0..17).map(|n| n.to_string()).collect();
    assert!(invalid(bucket.get_many(all).await.map(drop)));
}

/// Fills a store of 100 KiB, frees some, and sees that what is free can be used again.
async fn is_full_and_empties(store: &dyn Store) {
    let bucket = store.bucket("b");
    let value = Bytes::from(vec![0; 10_000]);
    let mut held = 0;
    let fault = loop {
        match bucket.set(&held.to_string(), value.clone(), ALWAYS).await {
            Ok(()) => held += 1,
            Err(fault) => break fault,
        }
    };
    assert!(matches!(fault, Fault::Full(_)), "{fault:?}");
    assert_eq!(held, 10);
    // What is there can be written over, but not grow.
    bucket.set("0", value.clone(), ALWAYS).await.unwrap();
    let larger = Bytes::from(vec![0; 20_000]);
    let grown = bucket.set("0", larger, ALWAYS).await;
    assert!(matches!(grown, Err(Fault::Full(_))), "{grown:?}");
    assert_eq!(bucket.get("0").await, Ok(Some(value.clone())));
    bucket.delete("1").await.unwrap();
    bucket
        .set("2", value.clone(), gone_after(20))
        .await
        .unwrap();
    until_gone(&*bucket, "2").await;
    bucket.set("one", value.clone(), ALWAYS).await.unwrap();
    bucket.set("two", value.clone(), ALWAYS).await.unwrap();
    let more = bucket.set("three", value, ALWAYS).await;
    assert!(matches!(more, Err(Fault::Full(_))), "{more:?}");
}

#[tokio::test]
async fn memory_has_an_end() {
    is_full_and_empties(&Memory::new(100 << 10)).await;
}

/// Anywhere on this machine.
fn dial() -> Dial {
    let options = EgressOptions {
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        ..EgressOptions::default()
    };
    Dial::new(
        EgressPolicy::new(options),
        Arc::new(SystemResolver::default()),
    )
}

/// Whose connection to a server it is.
fn about() -> String {
    "a test".to_owned()
}

fn tenant(name: &str) -> crate::capability::tenant::Tenant {
    use crate::workload::manifest;
    let text = format!(
        "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {{ name: {name} }}\nspec: {{ components: [{{ name: a, image: a.wasm }}] }}\n"
    );
    let parsed = manifest::parse(&text, std::path::Path::new("workload.yaml")).unwrap();
    crate::capability::tenant::Tenant::of(&parsed[0].workload)
}
