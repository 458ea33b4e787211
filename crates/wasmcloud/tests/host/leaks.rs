//! Whatever goes wrong on the way, nothing that was acquired is held.

use std::sync::Arc;

use wasmcloud::host::{StartError, WorkloadState};

use crate::support::{Fault, Ledger, TestHost, http, p2, p3, spec};

/// Each plugin fails in turn, at each of its moments, with others before and behind it.
#[tokio::test]
async fn a_plugin_that_fails_leaves_nothing_held() {
    let ledger = Arc::new(Ledger::default());
    let plugins = ledger.plugins();
    let host = TestHost::with(|config| config.plugins = plugins).await;
    for component in [p2(), p3()] {
        let spec = spec([component], [http()]);
        for plugin in ["wasi-config", "wasi-logging", "wasi"] {
            for fault in [Fault::Bind, Fault::Link, Fault::PanicInLink, Fault::Open] {
                let case = format!("{plugin} {fault:?}");
                let before = ledger.ever_bound();
                ledger.fail(Some((plugin, fault)));
                let error = host.try_run("one", &spec).await.expect_err(&case);
                let expected = match fault {
                    Fault::Bind | Fault::Open => {
                        matches!(&error, StartError::Plugin { plugin: id, .. } if *id == plugin)
                    }
                    Fault::Link | Fault::PanicInLink => matches!(error, StartError::Prepare(_)),
                };
                assert!(expected, "{case}: {error:?}");
                assert!(
                    fault == Fault::PanicInLink || error.to_string().contains("told to fail"),
                    "{error}"
                );
                assert_eq!(ledger.bound(), 0, "{case}");
                assert!(
                    fault != Fault::Open || ledger.ever_bound() == before + 3,
                    "{case}"
                );
                assert_eq!(
                    host.status("one").await.unwrap().state,
                    WorkloadState::Failed,
                    "{case}"
                );
                assert_eq!(host.get("/hello").await.status, 404, "{case}");
            }
            ledger.fail(None);
            host.run("one", &spec).await;
            assert_eq!(host.get("/hello").await.status, 200, "{plugin}");
            assert_eq!(ledger.bound(), 3);
            host.stop_finds_nothing_running("one").await;
            assert_eq!(ledger.bound(), 0, "{plugin}");
        }
    }
}

/// The host's last handle gone, so is everything that its workloads held.
#[tokio::test]
async fn a_dropped_host_leaves_nothing_held() {
    let ledger = Arc::new(Ledger::default());
    let plugins = ledger.plugins();
    let host = TestHost::with(|config| config.plugins = plugins).await;
    host.run("one", &spec([p2()], [http()])).await;
    assert_eq!(ledger.bound(), 3);
    drop(host);
    assert_eq!(ledger.bound(), 0);
}
