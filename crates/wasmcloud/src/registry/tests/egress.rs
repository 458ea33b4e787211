//! Where workloads may lead the host to for their images.

use test_servers::{Fault, FaultyRegistry, Registry, Rule};

use super::PullPolicy::{Always, IfNotPresent};
use super::*;

#[tokio::test]
async fn a_workload_leads_to_this_machine_only_where_the_host_says_so() {
    let faulty = FaultyRegistry::alone();
    let image = reference(&faulty.address(), "app:1");
    let host = Host::new([]);
    let images = host.images();
    for policy in [Always, IfNotPresent] {
        let error = registry_error(pull(&images, &image, policy).await.unwrap_err());
        let told = error.to_string();
        assert!(told.contains("127.0.0.1 is a loopback address"), "{told}");
        let hint = error.hint().unwrap();
        assert!(
            hint.contains(&format!("list `{}` among the registries", faulty.address())),
            "{hint}"
        );
        assert!(!error.may_pass());
    }
    assert_eq!(faulty.requests().len(), 0);
    // Whoever runs the host may go there, and finds that it speaks no TLS.
    let error = images
        .pull(&image, &Pull::default(), By::Host, None)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("TLS with `127.0.0.1`"),
        "{error}"
    );
    // A port that is not listed is another registry.
    let registry = Registry::start();
    let listed = Host::new([registry.address().as_str()]);
    let images = listed.images();
    let good = reference(&registry.address(), "app:1");
    push(&images, &good, &component(1, 10)).await;
    pull(&images, &good, Always).await.unwrap();
    let error = registry_error(pull(&images, &image, Always).await.unwrap_err());
    assert!(error.to_string().contains("loopback"), "{error}");
}

#[tokio::test]
async fn a_registry_that_a_workload_named_leads_it_nowhere_that_the_policy_denies() {
    let registry = Registry::start();
    let (near, image, component) = behind_tls(&registry, &anybody()).await;
    let far = FaultyRegistry::with_tls(registry.port());
    let dial = dial(&[&near, &far], &["127.0.0.1/32"]);
    let host = Host::new([]);
    let blob = format!("/blobs/{}", Digest::of(&component));
    let elsewhere = format!("https://127.0.0.2:{}", far.port());
    near.rule(Rule::on(&blob, Fault::Redirect(elsewhere)).first(1));
    near.rule(Rule::on(&blob, Fault::Redirect(far.url())));
    let images = host.options.over(&dial).unwrap();
    let error = registry_error(pull(&images, &image, Always).await.unwrap_err());
    let told = error.to_string();
    assert!(
        told.contains("`127.0.0.2` (where the registry leads): 127.0.0.2 is a loopback address"),
        "{told}"
    );
    assert_eq!(far.requests().len(), 0);
    // Where the policy lets it go, it is led.
    assert_eq!(
        pull(&images, &image, Always).await.unwrap().bytes,
        component
    );
    assert_eq!(far.count("GET", &blob), 1);
}

#[tokio::test]
async fn a_registry_that_the_host_listed_may_lead_elsewhere() {
    let registry = Registry::start();
    let store = FaultyRegistry::to(registry.port());
    let front = FaultyRegistry::to(registry.port());
    let host = Host::before(&front);
    let images = host.images();
    let image = reference(&front.address(), "app:1");
    let component = component(1, 10_000);
    push(&images, &image, &component).await;
    let blob = format!("/blobs/{}", Digest::of(&component));
    front.rule(Rule::on(&blob, Fault::Redirect(store.url())));
    let pulled = pull(&images, &image, Always).await.unwrap();
    assert_eq!(pulled.bytes, component);
    assert_eq!(store.count("GET", &blob), 1);
}
