//! Instances that are used again: kept while they are fit, and never after a trap, a timeout or a client that left.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use wasmcloud::capability::direct::Direct;
use wasmcloud::engine::Allocation;
use wasmcloud::instance::PoolUsage;
use wasmcloud::workload::WorkloadId;

use crate::support::{BAD, GOOD, HOSTILE, Pending, TestHost, component, hostile, id, spec, within};

/// A workload with a pool: state in its instances tells one from another.
fn pooled(name: &str, image: &str, pool: &Value) -> Value {
    let resources = json!({ "environment": { "config": { "NAME": name } } });
    hostile(name, image, resources, pool)
}

async fn host(image: &str, pool: Value) -> TestHost {
    let host = TestHost::start().await;
    host.run(BAD, &pooled(BAD, image, &pool)).await;
    host
}

impl TestHost {
    /// Asks for a path, when the instance that answered before is free again: its answer is there first.
    async fn ask(&self, path: &str) -> String {
        self.uses(BAD, |usage| usage.invocations == 0).await;
        let answer = self.get_from(BAD, path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body.trim_end().to_owned()
    }

    /// Waits until all is quiet, and gives the counts.
    async fn counts(&self) -> PoolUsage {
        self.uses(BAD, |usage| usage.invocations == 0).await;
        self.pool(BAD).await.usage
    }
}

#[tokio::test]
async fn a_warm_instance_remembers() {
    for image in HOSTILE {
        let host = host(image, json!({ "poolSize": 1 })).await;
        for nth in 1..=5 {
            assert_eq!(host.ask("/count").await, nth.to_string());
        }
        let pool = host.pool(BAD).await;
        assert_eq!(pool.component.to_string(), BAD);
        let counts = host.counts().await;
        assert_eq!((counts.hits, counts.misses), (4, 1), "{counts:?}");
        assert_eq!((counts.failed, counts.used_up, counts.evicted), (0, 0, 0));
        // What it holds shows, and goes with the workload.
        assert!(host.usage(BAD).await.memory_bytes > 0);
    }
}

#[tokio::test]
async fn without_a_pool_nothing_remembers() {
    for image in HOSTILE {
        let host = host(image, json!({ "poolSize": 0, "maxInvocations": -1 })).await;
        for _ in 0..3 {
            assert_eq!(host.ask("/count").await, "1");
        }
        let counts = host.counts().await;
        assert_eq!((counts.hits, counts.misses), (0, 3), "{counts:?}");
        host.nothing_is_left(BAD).await;
    }
}

/// More at once than the pool keeps: nobody waits, and as many stay as may.
#[tokio::test]
async fn a_burst_gets_fresh_instances() {
    for image in HOSTILE {
        let host = host(image, json!({ "poolSize": 2 })).await;
        let mut sleeping = Vec::new();
        for _ in 0..5 {
            sleeping.push(host.begin(BAD, "/sleep").await);
        }
        host.instances(BAD, 5).await;
        assert_eq!(host.get_from(BAD, "/count").await.body, "1\n");
        for sleeping in sleeping {
            sleeping.leave().await;
        }
        let counts = host.counts().await;
        assert_eq!((counts.hits, counts.misses), (0, 6), "{counts:?}");
        assert_eq!(counts.failed, 5, "{counts:?}");
        assert_eq!(host.ask("/count").await, "2");
    }
}

#[tokio::test]
async fn as_many_instances_are_kept_as_the_pool_has_places() {
    for image in HOSTILE {
        let host = host(image, json!({ "poolSize": 2 })).await;
        // Four at once, each on its own instance, which come to a good end together.
        let (p2, fresh) = (image == HOSTILE[0], 4);
        let mut pending: Vec<Pending> = Vec::new();
        for _ in 0..fresh {
            pending.push(host.begin(BAD, "/nap?200").await);
        }
        host.instances(BAD, fresh).await;
        for pending in pending {
            assert_eq!(pending.answer().await.body, "slept\n", "{p2}");
        }
        let counts = host.counts().await;
        assert_eq!((counts.hits, counts.misses), (0, 4), "{counts:?}");
        let memory = host.usage(BAD).await.memory_bytes;
        assert_eq!(host.ask("/count").await, "1");
        assert_eq!(host.usage(BAD).await.memory_bytes, memory);
        assert_eq!(host.counts().await.hits, 1);
    }
}

#[tokio::test]
async fn one_that_failed_is_never_used_again() {
    for image in HOSTILE {
        let pool = json!({ "poolSize": 1 });
        let limits = json!({ "timeoutMs": 3000, "cpuLimit": 50, "memoryLimitMb": 16 });
        let host = TestHost::start().await;
        host.run(BAD, &hostile(BAD, image, limits, &pool)).await;
        let misdeeds = [
            ("/trap", 500),
            ("/sleep", 504),
            ("/spin", 500),
            ("/recurse", 500),
            ("/hoard", 500),
            ("/fields?1000000", 500),
        ];
        for (nth, (path, status)) in (1..).zip(misdeeds) {
            assert_eq!(host.ask("/count").await, "1", "before {path}");
            assert_eq!(host.ask("/secret?left").await, "found \"\"");
            host.instances(BAD, 0).await;
            let answer = host.get_from(BAD, path).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.body);
            let counts = host.counts().await;
            assert_eq!((counts.misses, counts.failed), (nth, nth), "{path}");
            assert_eq!(host.usage(BAD).await.memory_bytes, 0, "{path}");
        }
    }
}

#[tokio::test]
async fn one_whose_client_left_is_never_used_again() {
    for image in HOSTILE {
        let host = host(image, json!({ "poolSize": 1 })).await;
        assert_eq!(host.ask("/count").await, "1");
        host.instances(BAD, 0).await;
        let pending = host.begin(BAD, "/sleep").await;
        host.instances(BAD, 1).await;
        pending.leave().await;
        host.instances(BAD, 0).await;
        assert_eq!(host.ask("/count").await, "1");
        let counts = host.counts().await;
        assert_eq!((counts.hits, counts.failed), (1, 1), "{counts:?}");
    }
}

/// What one invocation was refused is no reproach to the next one.
#[tokio::test]
async fn one_that_coped_with_a_refusal_is_used_again() {
    for image in HOSTILE {
        let pool = json!({ "poolSize": 1 });
        let host = TestHost::start().await;
        let limits = json!({ "memoryLimitMb": 16 });
        host.run(BAD, &hostile(BAD, image, limits, &pool)).await;
        assert_eq!(host.ask("/grow?100").await, "granted false");
        assert_eq!(host.ask("/count").await, "1");
        assert_eq!(host.counts().await.hits, 1);
        host.instances(BAD, 0).await;
        let answer = host.get_from(BAD, "/trap").await;
        assert!(!answer.body.contains("memory"), "{}", answer.body);
    }
}

#[tokio::test]
async fn one_serves_exactly_as_many_as_it_may() {
    for image in HOSTILE {
        let host = host(image, json!({ "poolSize": 1, "maxInvocations": 3 })).await;
        let mut counts = Vec::new();
        for _ in 0..7 {
            counts.push(host.ask("/count").await);
        }
        assert_eq!(counts, ["1", "2", "3", "1", "2", "3", "1"]);
        let counts = host.counts().await;
        assert_eq!((counts.misses, counts.hits), (3, 4), "{counts:?}");
        assert_eq!((counts.used_up, counts.failed), (2, 0), "{counts:?}");
    }
}

#[tokio::test]
async fn one_that_may_serve_once_is_never_kept() {
    for image in HOSTILE {
        let host = host(image, json!({ "poolSize": 4, "maxInvocations": 1 })).await;
        for _ in 0..3 {
            assert_eq!(host.ask("/count").await, "1");
        }
        assert_eq!(host.counts().await.used_up, 3);
        host.nothing_is_left(BAD).await;
    }
}

/// A million that are made and dropped leave nothing behind for the next request to stumble over.
#[tokio::test]
async fn what_a_guest_dropped_does_not_add_up() {
    let pool = json!({ "poolSize": 1 });
    let host = TestHost::start().await;
    host.run(BAD, &pooled(BAD, HOSTILE[1], &pool)).await;
    for path in ["/drop-streams", "/drop-futures", "/drop-sleeps"] {
        for _ in 0..4 {
            let answer = host.ask(&format!("{path}?50000")).await;
            assert!(answer.contains("50000"), "{answer}");
        }
    }
    assert_eq!(host.counts().await.hits, 11);
}

/// Two workloads of one component: neither sees what the other left.
#[tokio::test]
async fn workloads_never_share_instances() {
    for image in HOSTILE {
        let host = host(image, json!({ "poolSize": 2 })).await;
        host.run(GOOD, &pooled(GOOD, image, &json!({ "poolSize": 2 })))
            .await;
        let mut found = BTreeSet::new();
        for _ in 0..4 {
            for name in [BAD, GOOD] {
                let answer = host.get_from(name, &format!("/secret?of-{name}")).await;
                found.insert((name, answer.body));
                let answer = host.get_from(name, "/env").await;
                assert_eq!(answer.body, format!("Ok({name:?})\n"));
            }
        }
        let said = |name: &str, text: &str| (name.to_owned(), format!("found {text:?}\n"));
        let expected = [
            said(BAD, ""),
            said(BAD, "of-bad"),
            said(GOOD, ""),
            said(GOOD, "of-good"),
        ];
        let found: Vec<_> = found
            .into_iter()
            .map(|(name, text)| (name.to_owned(), text))
            .collect();
        assert_eq!(found, expected);
    }
}

/// A new version with other variables finds none of the old one's instances.
#[tokio::test]
async fn a_replacement_starts_with_an_empty_pool() {
    for image in HOSTILE {
        let pool = json!({ "poolSize": 1 });
        let host = host(image, pool.clone()).await;
        host.ask("/secret?old").await;
        assert_eq!(host.ask("/env").await, "Ok(\"bad\")");
        let resources = json!({ "environment": { "config": { "NAME": "new" } } });
        let new = hostile(BAD, image, resources, &pool);
        host.replace(BAD, "new", &new).await.unwrap();
        let answer = host.get_from(BAD, "/env").await;
        assert_eq!(answer.body, "Ok(\"new\")\n");
        let answer = host.get_from(BAD, "/secret").await;
        assert_eq!(answer.body, "found \"\"\n");
    }
}

/// Warm instances hold room; whoever waits for room gets theirs.
#[tokio::test]
async fn idle_instances_make_room_for_others() {
    for image in HOSTILE {
        let host = TestHost::with(|config| {
            config.engine.allocation = Allocation::Pooled { instances: 1 };
        })
        .await;
        let pool = json!({ "poolSize": 4 });
        host.run(BAD, &pooled(BAD, image, &pool)).await;
        host.run(GOOD, &pooled(GOOD, image, &pool)).await;
        for _ in 0..3 {
            for name in [BAD, GOOD] {
                assert_eq!(host.get_from(name, "/count").await.body, "1\n");
            }
        }
        let counts = host.counts().await;
        assert_eq!((counts.misses, counts.evicted), (3, 3), "{counts:?}");
    }
}

/// One that is done while somebody waits goes at once, though there is a place for it.
#[tokio::test]
async fn an_instance_in_use_makes_room_when_it_is_done() {
    for image in HOSTILE {
        let host = TestHost::with(|config| {
            config.engine.allocation = Allocation::Pooled { instances: 1 };
        })
        .await;
        let pool = json!({ "poolSize": 4 });
        host.run(BAD, &pooled(BAD, image, &pool)).await;
        host.run(GOOD, &pooled(GOOD, image, &pool)).await;
        let first = host.begin(BAD, "/nap?200").await;
        host.instances(BAD, 1).await;
        let second = host.begin(GOOD, "/count").await;
        assert_eq!(first.answer().await.body, "slept\n");
        assert_eq!(second.answer().await.body, "1\n");
    }
}

#[tokio::test]
async fn a_stop_empties_the_pool() {
    for image in HOSTILE {
        let host = TestHost::with(|config| {
            config.engine.allocation = Allocation::Pooled { instances: 1 };
        })
        .await;
        let pool = json!({ "poolSize": 1 });
        host.run(BAD, &pooled(BAD, image, &pool)).await;
        host.ask("/secret?left").await;
        host.stop_finds_nothing_running(BAD).await;
        host.run(BAD, &pooled(BAD, image, &pool)).await;
        assert_eq!(host.ask("/secret").await, "found \"\"");
        let counts = host.counts().await;
        assert_eq!((counts.misses, counts.evicted), (1, 0), "{counts:?}");
    }
}

/// A pool is the entry's, whoever calls it.
#[tokio::test]
async fn direct_calls_find_warm_instances() {
    let direct = Direct::new("bench:calc/math@0.1.0".parse().unwrap());
    let plugin = Arc::new(direct.clone());
    let host = TestHost::with(|config| config.plugins.push(plugin)).await;
    let mut callee = component("math", test_guests::CALC_CALLEE);
    callee["poolSize"] = json!(1);
    callee["maxInvocations"] = json!(4);
    let entry = json!({ "namespace": "bench", "package": "calc", "interfaces": ["math"] });
    host.run("math", &spec([callee], [entry])).await;
    let workload: WorkloadId = id("math");
    for _ in 0..10 {
        let call = direct.call::<_, (u32,)>(&workload, "add", (40_u32, 2_u32));
        assert_eq!(within(call).await.unwrap(), (42,));
    }
    let counts = host.pool("math").await.usage;
    assert_eq!((counts.misses, counts.hits, counts.used_up), (3, 7, 2));
    // Whoever still has the entry of a workload that was stopped cannot call it, and keeps no instance of it.
    let entry = direct.entry(&workload).unwrap();
    host.stop_finds_nothing_running("math").await;
    let call = entry.call::<_, (u32,)>("add", (1_u32, 2_u32));
    let refused = within(call).await.unwrap_err();
    assert!(refused.to_string().contains("stopped"), "{refused}");
}
