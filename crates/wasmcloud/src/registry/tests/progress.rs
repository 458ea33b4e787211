//! How far a pull is, for whoever wants to know.

use std::sync::Mutex;

use test_servers::Registry;

use super::PullPolicy::Always;
use super::*;

/// What was told, in order.
#[derive(Default)]
struct Told(Mutex<Vec<(u64, u64)>>);

impl Progress for Told {
    fn moved(&self, done: u64, total: u64) {
        self.0.lock().unwrap().push((done, total));
    }
}

/// What a pull tells.
async fn told(images: &Images, image: &Reference) -> Vec<(u64, u64)> {
    let told = Arc::new(Told::default());
    let watcher = Arc::clone(&told) as Arc<dyn Progress>;
    let pull = Pull {
        policy: Some(Always),
        secret: None,
    };
    let pulled = images.pull(image, &pull, By::Host, Some(watcher)).await;
    pulled.unwrap();
    let told = told.0.lock().unwrap();
    told.clone()
}

#[tokio::test]
async fn a_pull_tells_how_far_it_is() {
    /// More than comes at once.
    const SIZE: usize = 3_000_000;
    let registry = Registry::start();
    let mut host = Host::new([registry.address().as_str()]);
    let image = reference(&registry.address(), "app:1");
    let component = component(1, SIZE);
    let size = component.len() as u64;
    push(&host.images(), &image, &component).await;
    let whole = |told: &[(u64, u64)]| {
        assert_eq!(told.first(), Some(&(0, size)));
        assert_eq!(told.last(), Some(&(size, size)));
        assert!(told.len() > 2 && told.is_sorted(), "{told:?}");
        assert!(told.iter().all(|(_, total)| *total == size), "{told:?}");
    };
    whole(&told(&host.images(), &image).await);
    // Nothing of it is on its way when it is there.
    assert!(told(&host.images(), &image).await.is_empty());
    host.options.cache = None;
    whole(&told(&host.images(), &image).await);
}
