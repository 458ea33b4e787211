//! What makes no sense, is too much, or is somebody else's, in every place where keys and values are kept: an error, and no trap.

use super::*;

/// Every place, in a host of small limits.
struct Everywhere {
    host: TestHost,
    places: [(&'static str, Value); 4],
    _folder: TempDir,
    _servers: (Redis, Nats),
}

async fn everywhere() -> Everywhere {
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

#[tokio::test]
async fn keys_are_any_text_and_values_have_an_end() {
    let all = everywhere().await;
    let host = &all.host;
    for (name, place) in &all.places {
        let (two, three) = (format!("{name}-two"), format!("{name}-three"));
        host.run(&two, &wasi(place.clone(), json!({}))).await;
        host.run(&three, &asynchronous(place.clone(), json!({})))
            .await;
        for key in ["\"..\"", "\"a/../b\"", r#""a\u{0}b""#, "\"*.>\"", "\" \""] {
            let set = says!(host, &two, set("plain", "\"b\"", key, "\"v\""));
            assert_eq!(set, "ok", "{name} {key}");
            let got = says!(host, &two, get("plain", "\"b\"", key));
            assert_eq!(got, "ok(some(\"v\"))", "{name} {key}");
            let set = says!(
                host,
                &three,
                set("plain", "\"b\"", key, "\"w\"", "none", "true")
            );
            assert_eq!(set, "ok", "{name} {key}");
            let got = says!(host, &three, get("plain", "\"b\"", key));
            assert_eq!(got, "ok(some(\"w\"))", "{name} {key}");
        }
        let listed = says!(host, &two, list("\"b\"", "none"));
        assert_eq!(listed, "ok((5, none))", "{name}");
        let (long, large) = (
            format!("\"{}\"", "k".repeat(4096)),
            format!("\"{}\"", "v".repeat(101)),
        );
        for (key, value) in [(&*long, "\"v\""), ("\"k\"", &*large), ("\"\"", "\"v\"")] {
            let set = says!(host, &two, set("plain", "\"b\"", key, value));
            assert!(set.starts_with("err("), "{name}: {set}");
            let set = says!(
                host,
                &three,
                set("plain", "\"b\"", key, value, "none", "false")
            );
            assert_eq!(set, "err(\"invalid-argument\")", "{name}");
        }
        let got = says!(host, &three, get("plain", "\"b\"", &long));
        assert_eq!(got, "err(\"invalid-argument\")", "{name}");
    }
}

#[tokio::test]
async fn counters_have_ends_everywhere() {
    let all = everywhere().await;
    let host = &all.host;
    let past = "err(\"the counter would be out of range; it is unchanged\")";
    for (name, place) in &all.places {
        let (two, three) = (format!("{name}-two"), format!("{name}-three"));
        host.run(&two, &wasi(place.clone(), json!({}))).await;
        host.run(&three, &asynchronous(place.clone(), json!({})))
            .await;
        let (most, least) = (i64::MAX.to_string(), i64::MIN.to_string());
        let counted = says!(host, &three, count("plain", "\"b\"", "\"n\"", &most));
        assert_eq!(counted, format!("ok({most})"), "{name}");
        assert_eq!(
            says!(host, &three, count("plain", "\"b\"", "\"n\"", "1")),
            past
        );
        let counted = says!(host, &three, count("plain", "\"b\"", "\"m\"", &least));
        assert_eq!(counted, format!("ok({least})"), "{name}");
        assert_eq!(
            says!(host, &three, count("plain", "\"b\"", "\"m\"", "-1")),
            past
        );
        assert_eq!(
            says!(host, &two, count("\"b\"", "\"n\"", &most)),
            format!("ok({most})")
        );
        assert_eq!(
            says!(host, &two, count("\"b\"", "\"n\"", "1")),
            past,
            "{name}"
        );
        let most = u64::MAX.to_string();
        assert_eq!(
            says!(host, &two, count("\"b\"", "\"o\"", &most)),
            past,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_bucket_everywhere() {
    let all = everywhere().await;
    let host = &all.host;
    for (name, place) in &all.places {
        host.run(name, &wasi(place.clone(), json!({}))).await;
        assert_eq!(says!(host, name, fill("\"b\"", "\"a\"", "900")), "ok");
        assert_eq!(says!(host, name, fill("\"b\"", "\"c\"", "200")), "ok");
        let page = says!(host, name, list("\"b\"", "none"));
        let inside = page
            .strip_prefix("ok((")
            .and_then(|page| page.strip_suffix("))"));
        let (keys, cursor) = inside.unwrap().split_once(", ").unwrap();
        let other = says!(host, name, list("\"other\"", cursor));
        assert_eq!(
            other, "err(\"the cursor is not of this bucket, or of another listing\")",
            "{name}"
        );
        let rest = 1100 - keys.parse::<u32>().unwrap();
        let page = says!(host, name, list("\"b\"", cursor));
        assert_eq!(page, format!("ok(({rest}, none))"), "{name}");
    }
}

/// Whatever a workload calls a bucket or a key, it finds nothing of another's.
#[tokio::test]
async fn nobody_reaches_the_data_of_another() {
    let all = everywhere().await;
    let host = &all.host;
    for (name, place) in &all.places {
        let (red, blue) = (format!("{name}-red"), format!("{name}-blue"));
        for workload in [&red, &blue] {
            host.run(workload, &wasi(place.clone(), json!({}))).await;
        }
        let set = says!(host, &red, set("plain", "\"b\"", "\"k\"", "\"of red\""));
        assert_eq!(set, "ok");
        let buckets = [
            "b".to_owned(),
            format!("../{red}/b"),
            format!("default/workload/{red}/b"),
            format!("wasmcloud__default__workload__{red}.b"),
            format!("$KV.wasmcloud__default__workload__{red}.b"),
            "*".to_owned(),
            ">".to_owned(),
        ];
        for bucket in buckets {
            let bucket = format!("\"{bucket}\"");
            for key in ["\"k\"", "\"../b/k\"", "\"b.k\"", "\"*\""] {
                let got = says!(host, &blue, get("plain", &bucket, key));
                assert_eq!(got, "ok(none)", "{name} {bucket} {key}");
                assert_eq!(says!(host, &blue, delete("plain", &bucket, key)), "ok");
            }
            let listed = says!(host, &blue, list(&bucket, "none"));
            assert_eq!(listed, "ok((0, none))", "{name} {bucket}");
        }
        let kept = says!(host, &red, get("plain", "\"b\"", "\"k\""));
        assert_eq!(kept, "ok(some(\"of red\"))", "{name}");
    }
}
