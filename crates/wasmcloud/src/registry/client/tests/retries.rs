//! Registries that fail for a while, and for ever.

use std::time::SystemTime;

use super::fake::{Fake, Kept, Say};
use super::*;

async fn failing(times: usize, say: impl Fn() -> Say + Send + Sync + 'static) -> (Fake, Kept) {
    let kept = Kept::new(component(10));
    let keeps = kept.clone();
    let fake = Fake::start(move |seen, nth| match nth < times {
        true => say(),
        false => keeps.say(seen),
    });
    (fake.await, kept)
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    for status in [408, 429, 500, 502, 503, 504] {
        let (fake, kept) = failing(3, move || Say::status(status)).await;
        assert_eq!(pulled(&fake).await.unwrap(), kept.component, "{status}");
        assert_eq!(fake.seen().len(), 8, "{status}");
    }
    let (fake, kept) = failing(3, || Say::Nothing).await;
    assert_eq!(pulled(&fake).await.unwrap(), kept.component);
}

#[tokio::test]
async fn what_does_not_pass_is_an_error_with_what_the_registry_says() {
    let body =
        r#"{"errors":[{"code":"UNKNOWN","message":"out of\u001b[31m order","detail":{"x":1}}]}"#;
    let (fake, _) = failing(99, move || Say::status(503).body(body)).await;
    let error = pulled(&fake).await.unwrap_err();
    let wanted = format!(
        "{}/app: the registry answers with 503 Service Unavailable: out of[31m order",
        fake.address
    );
    assert_eq!(error.to_string(), wanted);
    assert_eq!(fake.seen().len(), 4);
    let (fake, _) = failing(99, || Say::Nothing).await;
    let error = pulled(&fake).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the registry: the connection broke"),
        "{error}"
    );
    assert_eq!(fake.seen().len(), 4);
}

#[tokio::test]
async fn what_the_registry_refuses_is_not_asked_again() {
    for status in [400, 404, 405, 410, 418, 501] {
        let (fake, _) = failing(99, move || Say::status(status)).await;
        let error = pulled(&fake).await.unwrap_err();
        assert_eq!(fake.seen().len(), 1, "{status}: {error}");
    }
}

#[tokio::test]
async fn a_registry_says_when_it_wants_to_be_asked_again() {
    let (fake, _) = failing(1, || Say::status(429).header("Retry-After", "1")).await;
    let begin = std::time::Instant::now();
    resolved_after_a_wait(&fake).await;
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_registry_says_until_when_it_wants_to_be_left_alone() {
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(2));
    // In whole seconds.
    let until = httpdate::parse_http_date(&date).unwrap();
    let (fake, _) = failing(1, move || {
        Say::status(503).header("Retry-After", date.clone())
    })
    .await;
    resolved_after_a_wait(&fake).await;
    assert!(SystemTime::now() >= until);
}

/// Asks a registry that wants to be left alone for a while, and lets it have its way.
async fn resolved_after_a_wait(fake: &Fake) {
    let mut patient = settings(&[&fake.address]);
    patient.retries.longest = PATIENCE;
    let registries = registries(patient);
    let reference = reference(&fake.address, "app:1");
    registries.resolve(&reference, &anybody()).await.unwrap();
    assert_eq!(fake.seen().len(), 2);
}

#[tokio::test]
async fn silence_and_slowness_have_an_end() {
    let (fake, _) = failing(99, || Say::Silence).await;
    let mut silent = settings(&[&fake.address]);
    silent.silence = Duration::from_millis(50);
    silent.retries.attempts = 2;
    let registries = registries(silent);
    let reference = reference(&fake.address, "app:1");
    let error = registries
        .resolve(&reference, &anybody())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("did not answer for"), "{error}");
    assert_eq!(fake.seen().len(), 2);
    let mut slow = settings(&[&fake.address]);
    slow.longest = Duration::from_millis(50);
    let registries = super::registries(slow);
    let error = registries
        .resolve(&reference, &anybody())
        .await
        .unwrap_err();
    assert!(matches!(error.kind, RegistryErrorKind::Late(_)), "{error}");
}

#[tokio::test]
async fn nobody_there_is_told() {
    let address = format!("127.0.0.1:{}", test_servers::free_port());
    let registries = registries(settings(&[&address]));
    let reference = reference(&address, "app:1");
    let error = registries
        .resolve(&reference, &anybody())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("cannot connect to 127.0.0.1"),
        "{error}"
    );
    assert!(error.may_pass());
}

#[tokio::test]
async fn plain_http_is_spoken_with_nobody_else_and_not_for_being_on_this_machine() {
    let (fake, _) = failing(0, || Say::Nothing).await;
    let registries = registries(settings(&["other.example"]));
    let access = Access::of_host(Keychain::anonymous());
    let error = registries
        .resolve(&reference(&fake.address, "app:1"), &access)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("TLS with `127.0.0.1`"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("plain HTTP"), "{error}");
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn a_workload_leads_only_to_registries_that_the_policy_or_the_settings_allow() {
    let (fake, kept) = failing(0, || Say::Nothing).await;
    let reference = reference(&fake.address, "app:1");
    let strict = registries(settings(&[]));
    let error = strict.resolve(&reference, &anybody()).await.unwrap_err();
    assert!(error.to_string().contains("loopback address"), "{error}");
    assert!(error.hint().unwrap().contains("list `127.0.0.1"), "{error}");
    assert!(fake.seen().is_empty() && !error.may_pass());
    let listed = registries(settings(&[&fake.address]));
    assert_eq!(
        pull(&listed, &reference, &anybody()).await.unwrap(),
        kept.component
    );
}
