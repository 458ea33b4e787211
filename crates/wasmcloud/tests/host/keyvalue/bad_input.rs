//! What makes no sense, is too much, or is somebody else's, in every place where keys and values are kept: an error, and no trap.

use super::through_guest::{Keeper, Package, everywhere};
use super::*;

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

const PACKAGES: [(&str, Package); 2] = [("two", Package::Wasi), ("three", Package::Wasmcloud)];

#[tokio::test]
async fn a_cursor_is_good_for_its_own_bucket_everywhere() {
    let all = everywhere().await;
    for (name, place) in &all.places {
        for (of, package) in PACKAGES {
            let at = format!("{name}-{of}");
            let keeper = Keeper::run(&all.host, at.clone(), package, place).await;
            keeper.fill("b", "a", 900).await;
            keeper.fill("b", "c", 200).await;
            let (keys, cursor) = keeper.page("b", "none").await.unwrap();
            let told = keeper.page("other", &cursor).await;
            assert_eq!(told, Err(keeper.foreign_cursor().to_owned()), "{at}");
            let (rest, next) = keeper.page("b", &cursor).await.unwrap();
            assert_eq!((keys.len() + rest.len(), &*next), (1100, "none"), "{at}");
        }
    }
}

/// Whatever a workload calls a bucket or a key, it finds nothing of another's.
#[tokio::test]
async fn nobody_reaches_the_data_of_another() {
    let all = everywhere().await;
    for (name, place) in &all.places {
        for (of, package) in PACKAGES {
            let workload = |who: &str| format!("{name}-{of}-{who}");
            let run = |who: &str| Keeper::run(&all.host, workload(who), package, place);
            let (red, blue) = (run("red").await, run("blue").await);
            let set = red.set("b", "k", "of red").await;
            assert_eq!(set, "ok", "{}", red.workload);
            finds_nothing_of(&blue, &red.workload).await;
            let kept = red.get("b", "k").await;
            assert_eq!(kept, "ok(some(\"of red\"))", "{}", red.workload);
        }
    }
}

async fn finds_nothing_of(blue: &Keeper<'_>, red: &str) {
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
        for key in ["k", "../b/k", "b.k", "*"] {
            let got = blue.get(&bucket, key).await;
            assert_eq!(got, "ok(none)", "{red} {bucket} {key}");
            assert_eq!(blue.delete(&bucket, key).await, "ok");
        }
        let (keys, next) = blue.page(&bucket, "none").await.unwrap();
        assert!(
            keys.is_empty() && next == "none",
            "{red} {bucket}: {keys:?}"
        );
    }
}
