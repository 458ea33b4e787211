//! Blobs that break off, are too long, or are others.

use std::sync::Mutex;

use futures::FutureExt as _;

use super::fake::{Fake, Kept, Say, Seen};
use super::*;

/// A registry whose blob is what this says.
async fn blob(
    kept: &Kept,
    say: impl Fn(&Kept, &Seen, usize) -> Say + Send + Sync + 'static,
) -> Fake {
    let kept = kept.clone();
    Fake::start(move |seen, nth| match seen.line.contains("/blobs/") {
        true => say(&kept, seen, nth),
        false => kept.say(seen),
    })
    .await
}

fn ranges(fake: &Fake) -> Vec<Option<String>> {
    let blobs = fake.seen_of("GET /v2/app/blobs/");
    blobs
        .iter()
        .map(|seen| seen.header("range").map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn a_blob_that_breaks_off_is_gone_on_with_where_it_was() {
    let kept = Kept::new(component(100_000));
    let fake = blob(&kept, |kept, seen, nth| match nth {
        0 => kept.part(seen).breaking_after(30_000),
        1 => Say::Nothing,
        2 => kept.part(seen).breaking_after(20_000),
        _ => kept.part(seen),
    })
    .await;
    assert_eq!(pulled(&fake).await.unwrap(), kept.component);
    let from = |from: u32| Some(format!("bytes={from}-"));
    assert_eq!(
        ranges(&fake),
        [None, from(30_000), from(30_000), from(50_000)]
    );
}

#[tokio::test]
async fn a_blob_that_comes_in_many_small_parts_comes() {
    let kept = Kept::new(component(1_000_000));
    let fake = blob(&kept, |kept, seen, _| {
        kept.part(seen).breaking_after(100_000)
    })
    .await;
    assert_eq!(pulled(&fake).await.unwrap(), kept.component);
    assert_eq!(ranges(&fake).len(), 10);
}

#[tokio::test]
async fn a_registry_that_cannot_begin_in_the_middle_begins_again() {
    let kept = Kept::new(component(10_000));
    let fake = blob(&kept, |kept, seen, nth| match nth {
        0 => kept.say(seen).breaking_after(3_000),
        _ => kept.say(seen),
    })
    .await;
    assert_eq!(pulled(&fake).await.unwrap(), kept.component);
    let fake = blob(&kept, |kept, seen, nth| match (nth, seen.header("range")) {
        (0, _) => kept.say(seen).breaking_after(3_000),
        (_, Some(_)) => Say::status(416),
        (_, None) => kept.say(seen),
    })
    .await;
    assert_eq!(pulled(&fake).await.unwrap(), kept.component);
    assert_eq!(ranges(&fake), [None, Some("bytes=3000-".to_owned()), None]);
}

#[tokio::test]
async fn a_part_that_begins_elsewhere_is_refused() {
    let kept = Kept::new(component(10_000));
    let fake = blob(&kept, |kept, seen, nth| match nth {
        0 => kept.part(seen).breaking_after(3_000),
        _ => Say::status(206)
            .header("content-range", "bytes 0-9999/10000")
            .body(kept.component.clone()),
    })
    .await;
    let error = pulled(&fake).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("from byte 3000 on, and something else came"),
        "{error}"
    );
}

#[tokio::test]
async fn a_blob_that_never_comes_whole_is_told_with_how_much_came() {
    let kept = Kept::new(component(1_000));
    // No length, no break: it simply ends.
    let fake = blob(&kept, |kept, _, _| {
        Say::bytes(kept.component.slice(..400)).unsized_()
    })
    .await;
    let registries = registries(settings(&[&fake.address]));
    let error = pull(&registries, &reference(&fake.address, "app:1"), &anybody())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("ends after 400 of 1000 bytes"),
        "{error}"
    );
}

#[tokio::test]
async fn a_blob_that_never_ends_is_cut_off_at_its_size() {
    let kept = Kept::new(component(1_000));
    for sized in [true, false] {
        let fake = blob(&kept, move |_, _, _| {
            let bomb = Say::bytes(component(1 << 20));
            if sized { bomb } else { bomb.unsized_() }
        })
        .await;
        let error = pulled(&fake).await.unwrap_err();
        assert!(
            matches!(error.kind, RegistryErrorKind::TooLarge { limit: 1_000, .. }),
            "{error}"
        );
        assert_eq!(ranges(&fake).len(), 1);
    }
}

#[tokio::test]
async fn a_wrong_digest_is_tried_once_more_and_then_an_error() {
    let kept = Kept::new(component(1_000));
    let wrong = || Say::bytes(vec![0; 1_000]);
    let fake = blob(&kept, move |_, _, _| wrong()).await;
    let error = pulled(&fake).await.unwrap_err();
    let RegistryErrorKind::Digest { wanted, found, .. } = error.kind else {
        panic!("{error}");
    };
    assert_eq!(
        (wanted, found),
        (kept.layer.digest, Digest::of(&[0; 1_000]))
    );
    assert_eq!(ranges(&fake), [None, None]);
    let fake = blob(
        &kept,
        move |kept, seen, nth| if nth == 0 { wrong() } else { kept.say(seen) },
    )
    .await;
    assert_eq!(pulled(&fake).await.unwrap(), kept.component);
}

#[tokio::test]
async fn a_blob_begun_at_an_earlier_time_is_gone_on_with() {
    use sha2::{Digest as _, Sha256};

    struct Earlier(BytesMut);

    #[async_trait::async_trait]
    impl Sink for Earlier {
        async fn begun(&mut self) -> std::io::Result<(u64, Sha256)> {
            Ok((self.0.len() as u64, Sha256::new_with_prefix(&self.0)))
        }
        async fn write(&mut self, bytes: Bytes) -> std::io::Result<()> {
            self.0.write(bytes).await
        }
        async fn restart(&mut self) -> std::io::Result<()> {
            self.0.restart().await
        }
    }

    let kept = Kept::new(component(10_000));
    let fake = blob(&kept, |kept, seen, _| kept.part(seen)).await;
    let registries = registries(settings(&[&fake.address]));
    let reference = reference(&fake.address, "app:1");
    let fetch = async |begun: &[u8]| {
        let mut sink = Earlier(BytesMut::from(begun));
        let access = anybody();
        let fetched = registries.blob(&reference, &kept.layer, &mut sink, &access);
        fetched.await.unwrap();
        assert_eq!(sink.0, kept.component);
    };
    fetch(&kept.component[..4_000]).await;
    // What is all there needs no request; what was damaged meanwhile is fetched again, and so is what is too long.
    fetch(&kept.component).await;
    assert_eq!(ranges(&fake), [Some("bytes=4000-".to_owned())]);
    fetch(&[0; 4_000]).await;
    fetch(&[0; 10_001]).await;
    let more = [Some("bytes=4000-".to_owned()), None, None];
    assert_eq!(ranges(&fake)[1..], more);
}

#[tokio::test]
async fn what_cannot_be_kept_is_told_and_not_tried_again() {
    struct Full;

    #[async_trait::async_trait]
    impl Sink for Full {
        async fn write(&mut self, _: Bytes) -> std::io::Result<()> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        async fn restart(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let kept = Kept::new(component(10));
    let fake = blob(&kept, |kept, seen, _| kept.say(seen)).await;
    let registries = registries(settings(&[&fake.address]));
    let blob = registries
        .blob(
            &reference(&fake.address, "app:1"),
            &kept.layer,
            &mut Full,
            &anybody(),
        )
        .await;
    assert!(
        blob.unwrap_err()
            .to_string()
            .contains("cannot be kept: no storage space")
    );
    assert_eq!(ranges(&fake).len(), 1);
}

#[tokio::test]
async fn progress_is_told_to_the_end() {
    struct Told(Mutex<Vec<(u64, u64)>>);

    impl Progress for Told {
        fn moved(&self, done: u64, total: u64) {
            self.0.lock().unwrap().push((done, total));
        }
    }

    let kept = Kept::new(component(300_000));
    let fake = blob(&kept, |kept, seen, _| kept.say(seen)).await;
    let registries = registries(settings(&[&fake.address]));
    let told = Arc::new(Told(Mutex::default()));
    let access = anybody().telling(told.clone());
    pull(&registries, &reference(&fake.address, "app:1"), &access)
        .await
        .unwrap();
    let told = told.0.lock().unwrap().clone();
    assert_eq!(
        (told[0], *told.last().unwrap()),
        ((0, 300_000), (300_000, 300_000))
    );
    assert!(told.is_sorted());
}

#[tokio::test]
async fn no_more_blobs_are_fetched_at_once_than_the_settings_have_it() {
    use std::sync::atomic::{AtomicUsize, Ordering};

    static NOW: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);

    struct Busy;

    #[async_trait::async_trait]
    impl Sink for Busy {
        async fn begun(&mut self) -> std::io::Result<(u64, sha2::Sha256)> {
            MOST.fetch_max(1 + NOW.fetch_add(1, Ordering::SeqCst), Ordering::SeqCst);
            Ok(Default::default())
        }
        async fn write(&mut self, _: Bytes) -> std::io::Result<()> {
            tokio::task::yield_now().await;
            NOW.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }
        async fn restart(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let kept = Kept::new(component(10));
    let one = blob(&kept, |kept, seen, _| kept.say(seen)).await;
    let other = blob(&kept, |kept, seen, _| kept.say(seen)).await;
    let registries = registries(Settings {
        parallel: 4,
        ..settings(&[&one.address, &other.address])
    });
    let fetch = async |fake: &Fake| {
        let reference = reference(&fake.address, "app:1");
        let (mut busy, access) = (Busy, anybody());
        let fetched = registries.blob(&reference, &kept.layer, &mut busy, &access);
        fetched.await.unwrap();
    };
    futures::future::join_all((0..8).map(|_| fetch(&one))).await;
    assert_eq!(MOST.load(Ordering::SeqCst), 2);
    futures::future::join_all((0..16).map(|nth| fetch([&one, &other][nth % 2]))).await;
    assert_eq!(MOST.load(Ordering::SeqCst), 4);
    assert_eq!((ranges(&one).len(), ranges(&other).len()), (16, 8));
}

#[tokio::test]
async fn a_registry_that_does_not_go_on_keeps_nobody_from_another() {
    let kept = Kept::new(component(10));
    let (told, mut asked) = tokio::sync::mpsc::unbounded_channel();
    let stuck = blob(&kept, move |_, _, _| {
        told.send(()).unwrap();
        Say::Silence
    })
    .await;
    let good = blob(&kept, |kept, seen, _| kept.say(seen)).await;
    let registries = registries(settings(&[&stuck.address, &good.address]));
    let fetch = async |fake: &Fake| {
        let reference = reference(&fake.address, "app:1");
        pull(&registries, &reference, &anybody()).await
    };
    let waiting = futures::future::join_all((0..4).map(|_| fetch(&stuck)));
    let other = async {
        // All that it may have of the four.
        for _ in 0..2 {
            asked.recv().await.unwrap();
        }
        fetch(&good).await
    };
    tokio::select! {
        done = waiting => panic!("{done:?}"),
        got = other => assert_eq!(got.unwrap(), kept.component),
    }
    assert_eq!(ranges(&stuck).len(), 2);
}

#[tokio::test]
async fn the_wait_for_others_has_an_end() {
    let kept = Kept::new(component(10));
    let fake = blob(&kept, |kept, seen, _| kept.say(seen)).await;
    let registries = registries(Settings {
        longest: Duration::from_millis(50),
        ..settings(&[&fake.address])
    });
    let reference = reference(&fake.address, "app:1");
    let slots = &registries.inner().slots;
    let _held = [(); 2].map(|()| slots.take(reference.registry()).now_or_never().unwrap());
    let (mut bytes, access) = (BytesMut::new(), anybody());
    let fetched = registries.blob(&reference, &kept.layer, &mut bytes, &access);
    let fetched = tokio::time::timeout(PATIENCE, fetched).await.unwrap();
    let error = fetched.unwrap_err();
    assert!(matches!(error.kind, RegistryErrorKind::Late(_)), "{error}");
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn a_registry_that_drips_is_as_good_as_silent() {
    let kept = Kept::new(component(10_000));
    let fake = blob(&kept, |kept, seen, _| {
        kept.part(seen).dripping(Duration::from_millis(20))
    })
    .await;
    let mut impatient = settings(&[&fake.address]);
    impatient.silence = Duration::from_millis(300);
    impatient.retries.attempts = 2;
    let registries = registries(impatient);
    let reference = reference(&fake.address, "app:1");
    let (mut bytes, access) = (BytesMut::new(), anybody());
    let fetched = registries.blob(&reference, &kept.layer, &mut bytes, &access);
    let error = fetched.await.unwrap_err();
    assert!(error.to_string().contains("did not answer for"), "{error}");
    assert_eq!(ranges(&fake).len(), 2);
}

#[tokio::test]
async fn a_registry_that_is_slow_but_not_too_slow_is_waited_for() {
    let kept = Kept::new(component(60_000));
    let fake = blob(&kept, |kept, seen, _| {
        kept.part(seen).in_pieces(1_000, Duration::from_millis(50))
    })
    .await;
    let mut impatient = settings(&[&fake.address]);
    impatient.silence = Duration::from_secs(2);
    let silence = impatient.silence;
    let registries = registries(impatient);
    let begun = std::time::Instant::now();
    let got = pull(&registries, &reference(&fake.address, "app:1"), &anybody()).await;
    assert_eq!(got.unwrap(), kept.component);
    // It took longer than it may be silent, and nobody gave it up and asked again.
    assert!(begun.elapsed() > silence);
    assert_eq!(ranges(&fake), [None]);
}

#[tokio::test]
async fn a_registry_that_breaks_off_after_every_byte_is_given_up() {
    let kept = Kept::new(component(10_000));
    let fake = blob(&kept, |kept, seen, _| kept.part(seen).breaking_after(1)).await;
    let mut waiting = settings(&[&fake.address]);
    waiting.retries.first = Duration::from_millis(20);
    waiting.retries.longest = Duration::from_millis(20);
    let registries = registries(waiting);
    let reference = reference(&fake.address, "app:1");
    let (mut bytes, access) = (BytesMut::new(), anybody());
    let fetched = registries.blob(&reference, &kept.layer, &mut bytes, &access);
    let error = fetched.await.unwrap_err();
    assert!(
        error.to_string().contains("the connection broke"),
        "{error}"
    );
    let from = |from: u32| Some(format!("bytes={from}-"));
    assert_eq!(ranges(&fake), [None, from(1), from(2), from(3)]);
}
