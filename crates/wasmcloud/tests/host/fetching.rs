//! How the components of a workload come: two at a time, and each image once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::watch;
use wasmcloud::artifact::{Fetch, FetchError, Fetched, Files, Wanted};

use crate::support::{TestHost, component, http, spec};

/// Reads files, but holds the first until the second is asked for. It keeps what it was asked for.
struct Pair {
    files: Files,
    asked: Mutex<Vec<String>>,
    begun: watch::Sender<usize>,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

impl Pair {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            files: Files::default(),
            asked: Mutex::default(),
            begun: watch::Sender::new(0),
            under_way: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        })
    }

    /// A host that gets its components here.
    async fn host(self: &Arc<Self>) -> TestHost {
        let fetch = Arc::clone(self);
        TestHost::with(|config| config.fetch = fetch).await
    }

    /// What was asked for, in the order of the alphabet.
    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked
    }
}

#[async_trait]
impl Fetch for Pair {
    async fn fetch(&self, wanted: Wanted<'_>) -> Result<Fetched, FetchError> {
        self.asked.lock().unwrap().push(wanted.image.to_string());
        let under_way = 1 + self.under_way.fetch_add(1, Ordering::SeqCst);
        self.most.fetch_max(under_way, Ordering::SeqCst);
        self.begun.send_modify(|begun| *begun += 1);
        let mut begun = self.begun.subscribe();
        let both = begun.wait_for(|begun| *begun >= 2).await.map(|_| ());
        both.expect("it stands");
        let fetched = self.files.fetch(wanted).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        fetched
    }
}

#[tokio::test]
async fn the_components_of_a_workload_are_fetched_two_at_a_time() {
    let pair = Pair::new();
    let host = pair.host().await;
    let images = [
        test_guests::ID_FRONT,
        test_guests::ID_BACK,
        test_guests::RES_PROVIDER,
        test_guests::CALC_CALLEE,
        test_guests::STREAM_PROVIDER,
    ];
    let parts = images.iter().enumerate();
    let parts = parts.map(|(nth, image)| component(&format!("part-{nth}"), image));
    host.run("parts", &spec(parts, [http()])).await;
    assert_eq!(host.get("/").await.status, 200);
    let wanted: BTreeSet<String> = images.iter().map(ToString::to_string).collect();
    assert_eq!(pair.asked(), Vec::from_iter(wanted));
    assert_eq!(pair.most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_image_that_several_components_have_is_fetched_once() {
    let pair = Pair::new();
    let host = pair.host().await;
    let shared = test_guests::RES_PROVIDER;
    let parts = [
        component("user", test_guests::HTTP_P2),
        component("one", shared),
        component("two", shared),
        component("three", shared),
    ];
    host.run("parts", &spec(parts, [http()])).await;
    assert_eq!(host.get("/hello").await.status, 200);
    let mut wanted = [test_guests::HTTP_P2, shared];
    wanted.sort_unstable();
    assert_eq!(pair.asked(), wanted);
}
