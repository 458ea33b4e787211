//! Who sets limits: the manifest for each component, the host for each workload and for all of them together. Components in the text
//! format try what no compiler would make.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use wasmcloud::assembly::HostConfig;
use wasmcloud::capability::direct::{Direct, DirectError};
use wasmcloud::engine::Allocation;
use wasmcloud::host::StartError;
use wasmcloud::policy::Allowance;

use crate::support::{
    BAD, GOOD, HOSTILE, TestHost, component, empty, hostile, http_at, id, request, spec, within,
};

const MIB: u64 = 1 << 20;

async fn grow(host: &TestHost, workload: &str, mib: u32) -> bool {
    let answer = host.get_from(workload, &format!("/grow?{mib}")).await;
    match answer.body.as_str() {
        "granted true\n" => true,
        "granted false\n" => false,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_component_gets_what_it_asks_for_or_the_hosts_default() {
    let host = TestHost::with(|config| {
        config.limits.memory = Allowance::of(32 * MIB);
        config.limits.host_memory = Some(8 << 30);
    })
    .await;
    for image in HOSTILE {
        for (asked, granted, refused) in [
            (json!({}), 20, 40),
            (json!({ "memoryLimitMb": -1 }), 20, 40),
            (json!({ "memoryLimitMb": 0 }), 20, 40),
            (json!({ "memoryLimitMb": 16 }), 8, 20),
            (json!({ "memoryLimitMb": 64 }), 40, 70),
            // No limit but that of the workload, which is half of the host's.
            (json!({ "memoryLimitMb": "none" }), 1000, 4095),
        ] {
            let case = asked.to_string();
            host.run(BAD, &hostile(BAD, image, asked, &Value::Null))
                .await;
            assert!(grow(&host, BAD, granted).await, "{case}");
            if refused < 4000 {
                assert!(!grow(&host, BAD, refused).await, "{case}");
            }
            host.stop(BAD).await;
        }
    }
}

#[tokio::test]
async fn time_without_a_limit_is_asked_for_by_name() {
    let short = Allowance::of(Duration::from_millis(200));
    let host = TestHost::with(|config| config.limits.time = short).await;
    for image in HOSTILE {
        let limits = json!({ "timeoutMs": "none" });
        host.run(BAD, &hostile(BAD, image, limits, &Value::Null))
            .await;
        host.run(GOOD, &hostile(GOOD, image, json!({}), &Value::Null))
            .await;
        assert_eq!(host.get_from(GOOD, "/nap?2000").await.status, 504);
        assert_eq!(host.get_from(BAD, "/nap?300").await.status, 200);
        host.stop(BAD).await;
        host.stop(GOOD).await;
    }
}

/// Whoever writes the manifest is shown the field, and the host goes on.
#[tokio::test]
async fn more_than_the_host_gives_is_refused_at_the_start() {
    fn most<T>(default: T, most: T) -> Allowance<T> {
        Allowance {
            default: Some(default),
            most: Some(most),
        }
    }
    let host = TestHost::with(|config| {
        config.limits.memory = most(32 * MIB, 64 * MIB);
        config.limits.cpu = most(Duration::from_secs(1), Duration::from_secs(2));
        config.limits.time = most(Duration::from_secs(3), Duration::from_secs(4));
    })
    .await;
    let asks = |memory: Value, cpu: Value, time: Value| {
        let limits = json!({ "memoryLimitMb": memory, "cpuLimit": cpu, "timeoutMs": time });
        hostile(BAD, HOSTILE[0], limits, &Value::Null)
    };
    host.run(BAD, &asks(json!(64), json!(2000), json!(4000)))
        .await;
    host.stop(BAD).await;
    let greedy = asks(json!(65), json!("none"), json!(4001));
    let error = host.try_run(BAD, &greedy).await.unwrap_err();
    let places = error.places();
    let told: Vec<_> = places
        .iter()
        .map(|place| (place.path.as_str(), place.message.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (
                "spec.components.bad.localResources.memoryLimitMb",
                "component `bad`: `memoryLimitMb` asks for 65 MiB; this host gives at most 64 MiB"
            ),
            (
                "spec.components.bad.localResources.cpuLimit",
                "component `bad`: `cpuLimit` asks for no limit; this host gives at most 2000 ms"
            ),
            (
                "spec.components.bad.localResources.timeoutMs",
                "component `bad`: `timeoutMs` asks for 4001 ms; this host gives at most 4000 ms"
            ),
        ]
    );
    assert!(places.iter().all(|place| place.hint.is_some()));
    host.run(BAD, &asks(json!(-1), json!(0), json!(1))).await;
}

/// The memory of all instances of a workload together, and of all workloads.
#[tokio::test]
async fn a_workload_and_a_host_have_so_much_memory() {
    for image in HOSTILE {
        let host = TestHost::with(|config| {
            config.limits.workload_memory = Some(40 * MIB);
            config.limits.host_memory = Some(60 * MIB);
        })
        .await;
        let pool = json!({ "poolSize": 1 });
        for name in [BAD, GOOD] {
            host.run(name, &hostile(name, image, json!({}), &pool))
                .await;
        }
        assert!(!grow(&host, BAD, 45).await);
        assert!(grow(&host, BAD, 30).await);
        host.instances(BAD, 0).await;
        // What the warm instance holds counts, also for others.
        assert!(host.usage(BAD).await.memory_bytes >= 30 * MIB);
        assert!(!grow(&host, GOOD, 35).await);
        let hoards = host.get_from(GOOD, "/hoard").await;
        let told = "all guests of the host may use 61440 KiB (the host's `limits.hostMemory`)";
        assert!(hoards.body.contains(told), "{}", hoards.body);
        let hoards = host.get_from(BAD, "/hoard").await;
        let told = "all instances of a workload may use 40960 KiB";
        assert!(hoards.body.contains(told), "{}", hoards.body);
        // Its pool is empty now: there is room for the neighbour.
        host.nothing_is_left(BAD).await;
        assert!(grow(&host, GOOD, 35).await);
    }
}

/// Fused components are one instance: their memory adds up, and of their times the shortest counts.
#[tokio::test]
async fn fused_components_share_what_they_have() {
    let host = TestHost::start().await;
    let mut front = component("front", test_guests::MW);
    front["localResources"] = json!({ "memoryLimitMb": 24, "timeoutMs": 200 });
    let mut back = component("back", HOSTILE[0]);
    back["localResources"] = json!({ "memoryLimitMb": 16, "timeoutMs": 60_000 });
    let entry = http_at(json!({ "host": BAD }));
    host.run(BAD, &spec([front, back], [entry])).await;
    let get = async |path: &str| {
        let mut connection = host.connect(crate::support::Version::H1).await;
        let mut wanted = request(crate::support::Version::H1, "GET", BAD, path, empty());
        wanted.headers_mut().insert("x-mw", "yes".parse().unwrap());
        crate::support::Answer::of(connection.send(wanted).await).await
    };
    assert_eq!(get("/grow?30").await.body, "granted true\n");
    assert_eq!(get("/grow?41").await.body, "granted false\n");
    assert_eq!(get("/sleep").await.status, 504);
    assert_eq!(get("/hello").await.body, "hello\n");
}

/// A component in the text format, called through `test:wat/run`.
struct Wat {
    direct: Direct,
    host: TestHost,
    folder: tempfile::TempDir,
}

impl Wat {
    async fn host(change: impl FnOnce(&mut HostConfig)) -> Self {
        let direct = Direct::new("test:wat/run@0.1.0".parse().unwrap());
        let plugin = Arc::new(direct.clone());
        let host = TestHost::with(|config| {
            config.plugins.push(plugin);
            config.limits.host_memory = Some(8 << 30);
            change(config);
        })
        .await;
        host.run_neighbour().await;
        let folder = tempfile::tempdir().unwrap();
        Self {
            direct,
            host,
            folder,
        }
    }

    /// Starts a workload of one component around a core module that exports `run`, with other instances beside it.
    async fn start(&self, beside: &str, module: &str, limits: Value) -> Result<(), StartError> {
        let text = format!(
            r#"(component
                 {beside}
                 (core module $m {module})
                 (core instance $i (instantiate $m))
                 (func $run (result u32) (canon lift (core func $i "run")))
                 (instance $e (export "run" (func $run)))
                 (export "test:wat/run@0.1.0" (instance $e)))"#
        );
        let image = self.folder.path().join("guest.wasm");
        std::fs::write(&image, wat::parse_str(&text).unwrap()).unwrap();
        let mut component = component("wat", image.to_str().unwrap());
        component["localResources"] = limits;
        let entry = json!({ "namespace": "test", "package": "wat", "interfaces": ["run"] });
        let started = self.host.try_run("wat", &spec([component], [entry])).await;
        self.host.neighbour_is_served().await;
        started.map(drop)
    }

    async fn call(&self) -> Result<u32, DirectError> {
        let workload = id("wat");
        let called = within(self.direct.call::<_, (u32,)>(&workload, "run", ())).await;
        self.host.neighbour_is_served().await;
        self.host.nothing_is_left("wat").await;
        called.map(|(result,)| result)
    }

    /// What a start, a call and the end of a workload come to.
    async fn run(&self, module: &str, limits: Value) -> Result<u32, String> {
        self.run_beside("", module, limits).await
    }

    async fn run_beside(&self, beside: &str, module: &str, limits: Value) -> Result<u32, String> {
        let started = self.start(beside, module, limits).await;
        started.map_err(|error| format!("{error:#}"))?;
        let called = self.call().await;
        self.host.stop_finds_nothing_running("wat").await;
        called.map_err(|error| format!("{:?}", anyhow::Error::from(error)))
    }
}

/// So many core instances that have something of their own.
fn instances(count: usize, field: &str) -> String {
    let instance = "(core instance (instantiate $own))".repeat(count);
    format!("(core module $own {field}) {instance}")
}

const SEVEN: &str = r#"(func (export "run") (result i32) (i32.const 7))"#;

#[tokio::test]
async fn one_that_spins_while_it_starts_has_so_much_processor_time() {
    let wat = Wat::host(|_| {}).await;
    let spins = format!("{SEVEN} (func $spin (loop (br 0))) (start $spin)");
    let failed = wat.run(&spins, json!({ "cpuLimit": 200 })).await;
    assert!(failed.unwrap_err().contains("`cpuLimit`"));
    let failed = wat.run(&spins, json!({ "timeoutMs": 200 })).await;
    assert!(failed.unwrap_err().contains("`timeoutMs`"));
    assert_eq!(wat.run(SEVEN, json!({})).await, Ok(7));
}

#[tokio::test]
async fn one_that_begins_with_more_memory_than_it_may_does_not_start() {
    let wat = Wat::host(|_| {}).await;
    let module = |pages: u32| format!("(memory {pages}) {SEVEN}");
    let failed = wat
        .run(&module(1600), json!({ "memoryLimitMb": 64 }))
        .await
        .unwrap_err();
    assert!(failed.contains("`memoryLimitMb`"), "{failed}");
    let fits = wat
        .run(&module(1600), json!({ "memoryLimitMb": 100 }))
        .await;
    assert_eq!(fits, Ok(7));
}

/// Each of them is small enough by itself.
#[tokio::test]
async fn many_memories_add_up() {
    let wat = Wat::host(|_| {}).await;
    let many = instances(20, "(memory 100)");
    let limit = json!({ "memoryLimitMb": 64 });
    let failed = wat.run_beside(&many, SEVEN, limit).await;
    let failed = failed.unwrap_err();
    assert!(failed.contains("`memoryLimitMb`"), "{failed}");
    let limit = json!({ "memoryLimitMb": 128 });
    assert_eq!(wat.run_beside(&many, SEVEN, limit).await, Ok(7));
}

/// More than there is even on an empty host: to wait for it would be in vain.
#[tokio::test]
async fn more_memories_than_there_is_room_for_are_refused_at_once() {
    let wat = Wat::host(|config| {
        config.engine.allocation = Allocation::Pooled { instances: 8 };
        config.limits.wait = Duration::from_secs(3600);
    })
    .await;
    let run = async |count| {
        let many = instances(count, "(memory 1)");
        wat.run_beside(&many, SEVEN, json!({})).await
    };
    assert_eq!(run(16).await, Ok(7));
    let failed = run(17).await.unwrap_err();
    assert!(
        failed.contains("more memories or tables than this host"),
        "{failed}"
    );
    run(200).await.unwrap_err();
}

/// Grows its table until it gets no more, and says how far it came.
#[tokio::test]
async fn tables_count_as_memory() {
    let wat = Wat::host(|_| {}).await;
    let module = r#"
        (table $t 0 funcref)
        (func (export "run") (result i32)
          (loop
            (br_if 0 (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1))))
          (table.size $t))"#;
    let all = wat.run(module, json!({})).await.unwrap();
    assert!(all <= 10_000_000, "{all}");
    let many = instances(8, "(table 60000 funcref)");
    let limit = json!({ "memoryLimitMb": 3 });
    let failed = wat.run_beside(&many, SEVEN, limit).await.unwrap_err();
    assert!(failed.contains("`memoryLimitMb`"), "{failed}");
    assert_eq!(wat.run_beside(&many, SEVEN, json!({})).await, Ok(7));
    // One that no host could give.
    let huge = format!("(table 4000000000 funcref) {SEVEN}");
    wat.run(&huge, json!({})).await.unwrap_err();
}

/// What is written beyond what a workload may is dropped, and that is told once.
#[tokio::test]
async fn a_flood_of_log_lines_is_cut() {
    for image in HOSTILE {
        let host = TestHost::with(|config| {
            config.limits.log_rate = 1;
            config.limits.log_burst = 100 << 10;
        })
        .await;
        host.run_neighbour().await;
        host.run(BAD, &hostile(BAD, image, json!({}), &Value::Null))
            .await;
        let answer = host.get_from(BAD, "/flood?1000").await;
        assert_eq!(answer.body, "wrote 1000\n");
        host.get_from(GOOD, "/log").await;
        let lines = within(host.lines(50)).await;
        let of = |workload: &str| {
            lines
                .iter()
                .filter(|line| line.workload == workload)
                .count()
        };
        assert!(of(BAD) <= 101, "{}", of(BAD));
        assert_eq!(of(GOOD), 3);
        let told: Vec<_> = lines
            .iter()
            .filter(|line| line.text.contains("lines are dropped from here on"))
            .collect();
        assert_eq!(told.len(), 1);
    }
}
