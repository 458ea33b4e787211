//! Who is given what is in the cache.

use super::*;

async fn is_from(store: &Store, bytes: &[u8], from: &Reference) -> bool {
    let read = store.blob_from(&Digest::of(bytes), from, 1 << 20).await;
    read.unwrap().is_some()
}

#[tokio::test]
async fn the_digest_of_the_blob_of_others_gives_nobody_its_bytes() {
    let cache = Cache::new();
    let store = cache.open();
    let (mine, hers) = (image("me/app:1"), image("her/app:1"));
    drop(download(&store, b"secret", &mine).await);
    assert!(is_from(&store, b"secret", &mine).await);
    assert!(is_from(&store, b"secret", &image("me/app:2")).await);
    assert!(!is_from(&store, b"secret", &hers).await);
    assert!(!is_from(&store, b"secret", &image("me/app2:1")).await);
    let elsewhere = "elsewhere.example/me/app:1".parse().unwrap();
    assert!(!is_from(&store, b"secret", &elsewhere).await);
    // Whoever has all bytes may have them; they are on disk once.
    drop(download(&store, b"secret", &hers).await);
    assert!(is_from(&store, b"secret", &hers).await);
    assert!(is_from(&store, b"secret", &mine).await);
    let name = Digest::of(b"secret").hex();
    assert_eq!(names(cache.path().join("blobs/sha256")), [name.as_str()]);
    // A line that a crash cut off is no source.
    let sources = cache.path().join("sources").join(&name);
    let listed = std::fs::read(&sources).unwrap();
    std::fs::write(&sources, &listed[..listed.len() - 10]).unwrap();
    assert!(!is_from(&store, b"secret", &hers).await);
    drop(download(&store, b"secret", &hers).await);
    assert!(is_from(&store, b"secret", &hers).await);
}

#[tokio::test]
async fn what_is_half_there_is_finished_only_by_who_began_it() {
    let cache = Cache::new();
    let store = cache.open();
    let mut partial = begun(&store, b"secret", &image("me/app")).await;
    partial.write("secret".into()).await.unwrap();
    // All of it is written, and the process dies before it is a blob.
    partial.restart().await.unwrap();
    partial.write("secret".into()).await.unwrap();
    let path = cache
        .path()
        .join("partial")
        .join(&names(cache.path().join("partial"))[0]);
    drop(partial);
    std::fs::write(path, "secret").unwrap();
    let hers = begun(&store, b"secret", &image("her/app")).await;
    assert_eq!(there(&hers), 0);
    assert!(hers.commit().await.is_err());
    let mine = begun(&store, b"secret", &image("me/app")).await;
    assert_eq!(there(&mine), 6);
    mine.commit().await.unwrap();
}

#[tokio::test]
async fn a_private_image_is_for_the_credentials_that_fetched_it() {
    let cache = Cache::new();
    let store = cache.open();
    let from = image("private:1");
    let of = |name: &str, secret: &str| {
        store.fingerprint("r.example", &[name.as_bytes(), secret.as_bytes()])
    };
    let (ann, bob) = (of("ann", "a"), of("bob", "b"));
    drop(pull(&store, &from, b"layer", ann).await);
    let record = cache.open().record(&from).await.unwrap().unwrap();
    assert!(record.proves(&ann));
    assert!(!record.proves(&bob));
    assert!(!record.proves(&Proof::Anonymous));
    assert!(!record.proves(&of("ann", "another")));
    // The registry gave it to him too.
    let again = Record::new(record.manifest, record.layer, 5, bob);
    store.put(&from, again).await.unwrap();
    let record = store.record(&from).await.unwrap().unwrap();
    assert!(record.proves(&ann) && record.proves(&bob) && record.is_private());
    // The tag moved: what was fetched before proves nothing of what is there now.
    let (moved, _) = store.keep("moved".into(), &from).await.unwrap();
    let moved = Record::new(moved, record.layer, 5, bob);
    store.put(&from, moved).await.unwrap();
    let record = store.record(&from).await.unwrap().unwrap();
    assert!(!record.proves(&ann) && record.proves(&bob));
    // What anybody gets, everybody gets.
    let public = Record::new(record.manifest, record.layer, 5, Proof::Anonymous);
    store.put(&from, public).await.unwrap();
    let record = store.record(&from).await.unwrap().unwrap();
    assert!(record.proves(&ann) && record.proves(&Proof::Anonymous) && !record.is_private());
}

#[tokio::test]
async fn what_only_the_host_could_reach_is_for_the_host_until_somebody_else_fetches_it() {
    let cache = Cache::new();
    let store = cache.open();
    let from = image("near:1");
    let text = || {
        let name = Digest::of(from.to_string().as_bytes()).hex();
        let path = cache.path().join(format!("references/{name}.json"));
        std::fs::read_to_string(path).unwrap()
    };
    let ann = store.fingerprint("r.example", &[b"ann"]);
    drop(pull(&store, &from, b"layer", Proof::Host).await);
    assert!(text().contains("\"host\":true"), "{}", text());
    let record = cache.open().record(&from).await.unwrap().unwrap();
    assert!(record.proves(&Proof::Host) && record.is_private());
    assert!(!record.proves(&Proof::Anonymous) && !record.proves(&ann));
    let public = Record::new(record.manifest, record.layer, 5, Proof::Anonymous);
    store.put(&from, public).await.unwrap();
    let record = cache.open().record(&from).await.unwrap().unwrap();
    assert!(record.proves(&Proof::Anonymous) && record.proves(&ann));
    // What is not for the host alone is written as earlier versions read it.
    let (moved, _) = store.keep("moved".into(), &from).await.unwrap();
    let moved = Record::new(moved, record.layer, 5, ann);
    store.put(&from, moved).await.unwrap();
    assert!(!text().contains("host"), "{}", text());
    assert!(store.record(&from).await.unwrap().unwrap().proves(&ann));
}

#[test]
fn no_more_proofs_are_kept_than_there_is_room_for() {
    let cache = Cache::new();
    let store = cache.open();
    let of = |nth: u32| {
        let proof = store.fingerprint("r.example", &[&nth.to_be_bytes()]);
        let mut record = Record::new(Digest::of(b"manifest"), Digest::of(b"layer"), 5, proof);
        record.related = vec![Digest::of(&nth.to_be_bytes())];
        (proof, record)
    };
    let mut record = of(0).1;
    for nth in 1..1_001 {
        record = of(nth).1.merged(Some(record));
    }
    assert!(!record.proves(&of(0).0));
    assert!(record.proves(&of(1).0) && record.proves(&of(1_000).0));
    assert_eq!(record.related.len(), 64);
}

#[test]
fn a_fingerprint_is_of_one_cache_and_one_registry_and_tells_no_secret() {
    let (cache, another) = (Cache::new(), Cache::new());
    let store = cache.open();
    let of = |registry: &str, identity: &[&[u8]]| store.fingerprint(registry, identity);
    let proof = of("r.example", &[b"ann", b"secret"]);
    assert_eq!(
        proof,
        cache.open().fingerprint("r.example", &[b"ann", b"secret"])
    );
    for other in [
        another
            .open()
            .fingerprint("r.example", &[b"ann", b"secret"]),
        of("s.example", &[b"ann", b"secret"]),
        of("r.example", &[b"anns", b"ecret"]),
        of("r.example", &[b"annsecret"]),
        of("r.example", &[b"ann", b"secret", b""]),
        of("r.example", &[]),
    ] {
        assert_ne!(proof, other);
    }
    assert_eq!(format!("{proof:?}"), "Credentials(Fingerprint(…))");
    // A salt that is damaged makes room for another one: no fingerprint of before is known then.
    std::fs::write(cache.path().join("salt"), "short").unwrap();
    let after = cache.open();
    assert_ne!(proof, after.fingerprint("r.example", &[b"ann", b"secret"]));
    assert_eq!(std::fs::read(cache.path().join("salt")).unwrap().len(), 32);
}
