//! What every place must do, as guests meet it: through both packages, by every import that leads there.

use super::*;

/// Every place, in a host of small limits.
pub(super) struct Everywhere {
    pub(super) host: TestHost,
    pub(super) places: [(&'static str, Value); 4],
    _folder: TempDir,
    _servers: (Redis, Nats),
}

pub(super) async fn everywhere() -> Everywhere {
    let folder = tempfile::tempdir().unwrap();
    let (redis, nats) = (Redis::start(), nats());
    let host = host_with(|config| {
        config.data_dir = Some(folder.path().to_owned());
        config.keyvalue.value_bytes = 100;
    });
    Everywhere {
        host: host.await,
        places: [
            ("memory", json!({ "backend": "memory" })),
            ("disk", json!({ "backend": "redb" })),
            ("redis", json!({ "backend": "redis", "url": redis.url() })),
            ("nats", json!({ "backend": "nats", "url": nats.url() })),
        ],
        _folder: folder,
        _servers: (redis, nats),
    }
}

/// What a guest keeps things through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Package {
    Wasi,
    Wasmcloud,
}

/// A guest that keeps things, asked by one of its imports. Keys and values are plain words.
pub(super) struct Keeper<'a> {
    host: &'a TestHost,
    pub(super) workload: String,
    package: Package,
    way: &'static str,
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

impl<'a> Keeper<'a> {
    /// Runs one whose imports all lead to the same place.
    pub(super) async fn run(
        host: &'a TestHost,
        workload: String,
        package: Package,
        place: &Value,
    ) -> Self {
        let spec = match package {
            Package::Wasi => wasi(place.clone(), place.clone()),
            Package::Wasmcloud => asynchronous(place.clone(), place.clone()),
        };
        host.run(&workload, &spec).await;
        Self {
            host,
            workload,
            package,
            way: "plain",
        }
    }

    /// The same, asked by another import.
    fn by(self, way: &'static str) -> Self {
        Self { way, ..self }
    }

    async fn plainly(&self, function: &str, args: &[&str]) -> String {
        call(self.host, &self.workload, function, args).await
    }

    async fn ask(&self, function: &str, args: &[&str]) -> String {
        self.plainly(function, &[&[self.way], args].concat()).await
    }

    pub(super) async fn get(&self, bucket: &str, key: &str) -> String {
        self.ask("get", &[&quoted(bucket), &quoted(key)]).await
    }

    pub(super) async fn set(&self, bucket: &str, key: &str, value: &str) -> String {
        let args = [bucket, key, value].map(quoted);
        let args = args.each_ref().map(String::as_str);
        match self.package {
            Package::Wasi => self.ask("set", &args).await,
            Package::Wasmcloud => self.set_so(args, "none", "false").await,
        }
    }

    /// With a time, and only where there is nothing.
    async fn set_so(&self, args: [&str; 3], ttl: &str, if_absent: &str) -> String {
        let args = [&args[..], &[ttl, if_absent]].concat();
        self.ask("set", &args).await
    }

    pub(super) async fn delete(&self, bucket: &str, key: &str) -> String {
        let (bucket, key) = (quoted(bucket), quoted(key));
        match self.package {
            Package::Wasi => self.ask("delete", &[&bucket, &key]).await,
            Package::Wasmcloud => {
                let keys = format!("[{key}]");
                self.ask("delete-many", &[&bucket, &keys]).await
            }
        }
    }

    async fn exists(&self, bucket: &str, key: &str) -> String {
        self.ask("exists", &[&quoted(bucket), &quoted(key)]).await
    }

    /// Whether it has counters: those of WASI are for buckets of the plain import.
    fn can_count(&self) -> bool {
        self.package == Package::Wasmcloud || self.way == "plain"
    }

    async fn count(&self, bucket: &str, key: &str, delta: i64) -> String {
        let (bucket, key, delta) = (quoted(bucket), quoted(key), delta.to_string());
        let args: [&str; 3] = [&bucket, &key, &delta];
        match self.package {
            Package::Wasi => self.plainly("count", &args).await,
            Package::Wasmcloud => self.ask("count", &args).await,
        }
    }

    /// Keys that begin with a text and end with their number.
    pub(super) async fn fill(&self, bucket: &str, prefix: &str, count: u32) {
        let bucket = quoted(bucket);
        let filled = match self.package {
            Package::Wasi => {
                let args: [&str; 3] = [&bucket, &quoted(prefix), &count.to_string()];
                self.plainly("fill", &args).await
            }
            Package::Wasmcloud => {
                let pair = |n: u32| format!("(\"{prefix}{n}\", \"v\")");
                let pairs: Vec<_> = (0..count).map(pair).collect();
                let pairs = format!("[{}]", pairs.join(", "));
                self.ask("many", &[&bucket, &pairs]).await
            }
        };
        assert!(filled.starts_with("ok"), "{}: {filled}", self.workload);
    }

    /// A page of keys, and where the next one begins; or what was told.
    pub(super) async fn page(
        &self,
        bucket: &str,
        cursor: &str,
    ) -> Result<(Vec<String>, String), String> {
        let bucket = quoted(bucket);
        let page = match self.package {
            Package::Wasi => self.ask("keys", &[&bucket, cursor]).await,
            Package::Wasmcloud => self.ask("list", &[&bucket, "none", cursor]).await,
        };
        let inside = page
            .strip_prefix("ok(([")
            .and_then(|it| it.strip_suffix("))"));
        let inside = inside.ok_or(&page)?;
        let (keys, next) = inside.rsplit_once("], ").unwrap();
        let keys = keys.split(", ").filter(|key| !key.is_empty());
        let keys = keys.map(|key| key.trim_matches('"').to_owned());
        Ok((keys.collect(), next.to_owned()))
    }

    /// What is told of a cursor that is not of the listing.
    pub(super) fn foreign_cursor(&self) -> &'static str {
        match self.package {
            Package::Wasi => "err(\"the cursor is not of this bucket, or of another listing\")",
            Package::Wasmcloud => "err(\"invalid-argument\")",
        }
    }
}

/// How an import leads to a place: which one it is, and whether what it leads to is shared by a name.
const LEADS: [(&str, &str, bool); 3] = [
    ("plain", "plain", false),
    ("label", "sessions", false),
    ("shared", "plain", true),
];

async fn holds_everywhere(package: Package) {
    let all = everywhere().await;
    for (name, place) in &all.places {
        for (lead, way, is_shared) in LEADS {
            let mut place = place.clone();
            if is_shared {
                place["shared"] = json!("till");
            }
            let workload = format!("{name}-{lead}");
            let keeper = Keeper::run(&all.host, workload, package, &place).await;
            let keeper = keeper.by(way);
            values_come_back(&keeper).await;
            counters_count(&keeper).await;
            all_keys_are_listed_once(&keeper).await;
            if package == Package::Wasmcloud {
                conditions_and_times_are_kept(&keeper).await;
                swaps_depend_on_what_is_there(&keeper).await;
            }
            all.host.stop(&keeper.workload).await;
        }
    }
}

#[tokio::test]
async fn the_contract_holds_through_wasi_by_every_import_in_every_place() {
    holds_everywhere(Package::Wasi).await;
}

#[tokio::test]
async fn the_contract_holds_through_the_asynchronous_package_in_the_same_way() {
    holds_everywhere(Package::Wasmcloud).await;
}

async fn values_come_back(keeper: &Keeper<'_>) {
    let at = &keeper.workload;
    assert_eq!(keeper.get("b", "k").await, "ok(none)", "{at}");
    assert_eq!(keeper.exists("b", "k").await, "ok(false)", "{at}");
    assert_eq!(keeper.delete("b", "k").await, "ok", "{at}");
    for value in ["v", "", "w"] {
        assert_eq!(keeper.set("b", "k", value).await, "ok", "{at}");
        let found = format!("ok(some(\"{value}\"))");
        assert_eq!(keeper.get("b", "k").await, found, "{at}");
        assert_eq!(keeper.exists("b", "k").await, "ok(true)", "{at}");
    }
    assert_eq!(keeper.get("c", "k").await, "ok(none)", "{at}");
    assert_eq!(keeper.delete("c", "k").await, "ok", "{at}");
    assert_eq!(keeper.exists("b", "k").await, "ok(true)", "{at}");
    assert_eq!(keeper.delete("b", "k").await, "ok", "{at}");
    assert_eq!(keeper.get("b", "k").await, "ok(none)", "{at}");
    assert_eq!(keeper.exists("b", "k").await, "ok(false)", "{at}");
}

async fn counters_count(keeper: &Keeper<'_>) {
    if !keeper.can_count() {
        return;
    }
    let at = &keeper.workload;
    assert_eq!(keeper.count("b", "n", 0).await, "ok(0)", "{at}");
    assert_eq!(keeper.count("b", "n", 40).await, "ok(40)", "{at}");
    assert_eq!(keeper.count("b", "n", 2).await, "ok(42)", "{at}");
    let past = "err(\"the counter would be out of range; it is unchanged\")";
    assert_eq!(keeper.count("b", "n", i64::MAX).await, past, "{at}");
    let found = keeper.get("b", "n").await;
    assert_eq!(found, "ok(some(\"42\"))", "{at}");
    assert_eq!(keeper.set("b", "n", "many").await, "ok", "{at}");
    let none = "err(\"the value of the key is not a whole number in decimal text\")";
    assert_eq!(keeper.count("b", "n", 1).await, none, "{at}");
    let found = keeper.get("b", "n").await;
    assert_eq!(found, "ok(some(\"many\"))", "{at}");
}

async fn all_keys_are_listed_once(keeper: &Keeper<'_>) {
    let at = &keeper.workload;
    let nothing = (Vec::new(), "none".to_owned());
    assert_eq!(keeper.page("l", "none").await, Ok(nothing), "{at}");
    let mut wanted = Vec::new();
    for prefix in ["a", "c"] {
        keeper.fill("l", prefix, 550).await;
        wanted.extend((0..550).map(|n| format!("{prefix}{n}")));
    }
    let (mut keys, next) = keeper.page("l", "none").await.unwrap();
    assert_ne!(next, "none", "{at}");
    let (rest, end) = keeper.page("l", &next).await.unwrap();
    assert_eq!(end, "none", "{at}");
    keys.extend(rest);
    if keeper.package == Package::Wasmcloud {
        assert!(keys.is_sorted(), "{at}: {keys:?}");
    }
    keys.sort();
    wanted.sort();
    assert!(keys == wanted, "{at}: {keys:?}");
}

async fn conditions_and_times_are_kept(keeper: &Keeper<'_>) {
    let at = &keeper.workload;
    let set = async |key: &str, value: &str, ttl: &str, if_absent: &str| {
        let args = ["b", key, value].map(quoted);
        let args = args.each_ref().map(String::as_str);
        keeper.set_so(args, ttl, if_absent).await
    };
    assert_eq!(set("once", "v", "none", "true").await, "ok", "{at}");
    let told = set("once", "w", "none", "true").await;
    assert_eq!(told, "err(\"precondition-failed\")", "{at}");
    let found = keeper.get("b", "once").await;
    assert_eq!(found, "ok(some(\"v\"))", "{at}");
    let told = set("late", "v", "some(3600000)", "true").await;
    assert_eq!(told, "ok", "{at}");
    assert_eq!(set("soon", "v", "some(40)", "true").await, "ok", "{at}");
    let gone = async {
        while keeper.exists("b", "soon").await != "ok(false)" {
            tokio::task::yield_now().await;
        }
    };
    within(gone).await;
    assert_eq!(keeper.get("b", "soon").await, "ok(none)", "{at}");
    assert_eq!(set("soon", "w", "none", "true").await, "ok", "{at}");
    assert_eq!(keeper.exists("b", "late").await, "ok(true)", "{at}");
}

async fn swaps_depend_on_what_is_there(keeper: &Keeper<'_>) {
    let at = &keeper.workload;
    let (b, k) = ("\"b\"", "\"swapped\"");
    let current = async || keeper.ask("current", &[b, k]).await;
    let swap =
        async |value: &str, required: &str| keeper.ask("swap", &[b, k, value, required]).await;
    assert_eq!(current().await, "ok(none)", "{at}");
    let told = swap("\"2\"", "(none, some(\"1\"))").await;
    assert_eq!(told, "ok(some(\"nothing\"))", "{at}");
    assert_eq!(keeper.set("b", "swapped", "1").await, "ok", "{at}");
    let found = current().await;
    let version = found
        .strip_prefix("ok(some((\"1\", ")
        .and_then(|it| it.strip_suffix(")))"));
    let required = format!("(some({}), none)", version.unwrap());
    assert_eq!(swap("\"2\"", &required).await, "ok(none)", "{at}");
    let told = swap("\"3\"", &required).await;
    assert_eq!(told, "ok(some(\"2\"))", "{at}");
    let told = swap("\"3\"", "(none, some(\"2\"))").await;
    assert_eq!(told, "ok(none)", "{at}");
    let found = keeper.get("b", "swapped").await;
    assert_eq!(found, "ok(some(\"3\"))", "{at}");
}
