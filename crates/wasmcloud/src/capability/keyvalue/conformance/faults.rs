//! What every place on a server must do when the server fails, or the way to it: what the contract says of faults.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use test_servers::{Proxy, Way};

use super::*;

/// A server that can be killed.
pub(super) trait Machine {
    fn port(&self) -> u16;
    /// As a power cut would.
    fn kill(&mut self);
    /// Starts it again where it was, with what it had.
    fn resume(&mut self);
}

#[cfg(feature = "keyvalue-redis")]
impl Machine for test_servers::Redis {
    fn port(&self) -> u16 {
        Self::port(self)
    }

    fn kill(&mut self) {
        Self::kill(self);
    }

    fn resume(&mut self) {
        Self::resume(self);
    }
}

#[cfg(feature = "keyvalue-nats")]
impl Machine for test_servers::Nats {
    fn port(&self) -> u16 {
        Self::port(self)
    }

    fn kill(&mut self) {
        self.stop();
    }

    fn resume(&mut self) {
        self.start();
    }
}

/// How many write at the same time.
const WRITERS: usize = 4;

fn is_away(fault: &Fault) -> bool {
    matches!(fault, Fault::Unavailable(_) | Fault::Timeout)
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap()
}

/// What is answered by a place that may be away for now. That one call came through does not mean that the next one does, as where
/// several servers still agree on who leads.
pub(super) async fn answered<T>(mut ask: impl AsyncFnMut() -> Result<T, Fault>) -> T {
    let answered = async {
        loop {
            match ask().await {
                Err(fault) if is_away(&fault) => tokio::task::yield_now().await,
                done => break done.unwrap(),
            }
        }
    };
    soon(answered).await
}

/// It is there again, by itself, also for those who write.
pub(super) async fn until_back(bucket: &dyn Bucket) {
    let back = async {
        while bucket.set("back", bytes("v"), ALWAYS).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon(back).await;
    let found = answered(async || bucket.get("back").await).await;
    assert_eq!(found, Some(bytes("v")));
}

async fn until_away(bucket: &dyn Bucket) {
    let away = async {
        loop {
            match bucket.get("back").await {
                Ok(_) => tokio::task::yield_now().await,
                Err(fault) => return fault,
            }
        }
    };
    let fault = soon(away).await;
    assert!(is_away(&fault), "{fault:?}");
}

/// Everything. `place` gives a bucket of a server at a port, whose calls wait for about two seconds at most.
pub(super) async fn survives<P>(machine: &mut impl Machine, place: P)
where
    P: AsyncFn(u16) -> Arc<dyn Bucket>,
{
    absent_at_first(machine, &place).await;
    let way = Proxy::to(machine.port());
    let bucket = place(way.port()).await;
    until_back(&*bucket).await;
    killed_while_many_write(machine, &bucket).await;
    killed_while_nobody_asks(machine, &*bucket).await;
    cut(&way, &*bucket).await;
    held(&way, &bucket).await;
    slow(&way, &*bucket).await;
}

async fn absent_at_first<P>(machine: &mut impl Machine, place: &P)
where
    P: AsyncFn(u16) -> Arc<dyn Bucket>,
{
    machine.kill();
    let bucket = soon(place(machine.port())).await;
    for _ in 0..3 {
        let fault = soon(bucket.get("k")).await.unwrap_err();
        assert!(is_away(&fault), "{fault:?}");
    }
    machine.resume();
    until_back(&*bucket).await;
}

/// What one writer has been told.
struct Told {
    counted: i64,
    kept: Vec<String>,
    fault: Fault,
}

/// Counts and keeps until something fails.
async fn write(who: usize, bucket: Arc<dyn Bucket>, acknowledged: Arc<AtomicUsize>) -> Told {
    let (mut counted, mut kept) = (0, Vec::new());
    let fault = loop {
        let key = format!("{who}/{counted}");
        if let Err(fault) = bucket.set(&key, bytes(&key), ALWAYS).await {
            break fault;
        }
        kept.push(key);
        match bucket.increment("n", 1, Sign::Any).await {
            Ok(_) => counted += 1,
            Err(fault) => break fault,
        }
        acknowledged.fetch_add(1, Ordering::SeqCst);
    };
    Told {
        counted,
        kept,
        fault,
    }
}

async fn killed_while_many_write(machine: &mut impl Machine, bucket: &Arc<dyn Bucket>) {
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let writers = (0..WRITERS).map(|who| {
        let (bucket, acknowledged) = (Arc::clone(bucket), Arc::clone(&acknowledged));
        tokio::spawn(write(who, bucket, acknowledged))
    });
    let writers: Vec<_> = writers.collect();
    let busy = async {
        while acknowledged.load(Ordering::SeqCst) < 20 * WRITERS {
            tokio::task::yield_now().await;
        }
    };
    soon(busy).await;
    machine.kill();
    let mut told = Vec::new();
    for writer in writers {
        told.push(soon(writer).await.unwrap());
    }
    machine.resume();
    until_back(&**bucket).await;
    for told in &told {
        assert!(is_away(&told.fault), "{:?}", told.fault);
        for key in &told.kept {
            assert_eq!(got(&**bucket, key).await.as_ref(), Some(key));
        }
    }
    let counted: i64 = told.iter().map(|told| told.counted).sum();
    let found = bucket.increment("n", 0, Sign::Any).await.unwrap();
    // The one that each was told has failed may have been carried out.
    let most = counted + i64::try_from(WRITERS).unwrap();
    assert!((counted..=most).contains(&found), "{found} of {counted}");
}

async fn killed_while_nobody_asks(machine: &mut impl Machine, bucket: &dyn Bucket) {
    set(bucket, "k", "before").await;
    machine.kill();
    machine.resume();
    until_back(bucket).await;
    assert_eq!(got(bucket, "k").await.as_deref(), Some("before"));
}

/// Connections break, and new ones do.
async fn cut(way: &Proxy, bucket: &dyn Bucket) {
    set(bucket, "k", "before").await;
    way.set(Way::Cut);
    until_away(bucket).await;
    way.set(Way::Open);
    until_back(bucket).await;
    assert_eq!(got(bucket, "k").await.as_deref(), Some("before"));
    way.break_all();
    until_back(bucket).await;
}

/// Nobody is told that nothing passes. Everybody is told in time, and nothing is half done afterwards.
async fn held(way: &Proxy, bucket: &Arc<dyn Bucket>) {
    set(&**bucket, "k", "before").await;
    way.set(Way::Held);
    let waiting = (0..8).map(|who: u32| {
        let bucket = Arc::clone(bucket);
        tokio::spawn(async move {
            match who % 4 {
                0 => bucket.get("k").await.map(drop),
                1 => bucket.increment("held", 1, Sign::Any).await.map(drop),
                2 => bucket.set("held", bytes("1"), IF_ABSENT).await,
                _ => {
                    let wanted = Wanted::named(Mark::of(&[]), None, None).unwrap();
                    bucket.list(wanted).await.map(drop)
                }
            }
        })
    });
    let told = soon(join_all(waiting)).await;
    for told in told {
        let fault = told.unwrap().unwrap_err();
        assert!(is_away(&fault), "{fault:?}");
    }
    way.set(Way::Open);
    until_back(&**bucket).await;
    assert_eq!(got(&**bucket, "k").await.as_deref(), Some("before"));
    let found = bucket.increment("held", 0, Sign::Any).await.unwrap();
    // Two have counted and two have begun with 1, if they came through after all.
    assert!((0..=3).contains(&found), "{found}");
}

/// What takes long is done all the same, and tells everything.
async fn slow(way: &Proxy, bucket: &dyn Bucket) {
    way.set(Way::Slow(Duration::from_millis(20)));
    set(bucket, "slow/a", &"a".repeat(3000)).await;
    assert_eq!(got(bucket, "slow/a").await, Some("a".repeat(3000)));
    let before = bucket.increment("n", 0, Sign::Any).await.unwrap();
    let after = bucket.increment("n", 1, Sign::Any).await.unwrap();
    assert_eq!(after, before + 1);
    assert_eq!(names(bucket, "slow/").await, ["slow/a"]);
    way.set(Way::Open);
}
