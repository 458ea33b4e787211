//! Registries that want a login and keep their blobs elsewhere: whoever keeps them sees nothing of the login.

use test_servers::{Answer, Fault, FaultyRegistry, Registry, Request, Rule};

use super::PullPolicy::Always;
use super::*;

/// Leads whoever is let in to the same blob elsewhere.
fn lead(front: &FaultyRegistry, blob: &str, elsewhere: String) {
    let lead = move |request: &Request| {
        request.authorization()?;
        let to = format!("{elsewhere}{}", request.path);
        Some(Answer::status(307).header("Location", &to))
    };
    front.rule(Rule::on(blob, Fault::by(lead)).method("GET"));
}

/// Pulls from a registry that wants a login, and whose blobs are at another server that wants none.
async fn pull_from_two(private: &Registry, scheme: &str) {
    let open = Registry::start();
    let front = FaultyRegistry::to(private.port());
    let store = FaultyRegistry::to(open.port());
    let mut host = Host::new([front.address().as_str(), open.address().as_str()]);
    let login = Login {
        username: "ada".to_owned(),
        password_file: host.private("password", "hunter2\n"),
    };
    host.options.logins.insert(front.address(), login);
    let images = host.images();
    let component = component(1, 100_000);
    let image = reference(&front.address(), "team/app:1");
    push_as(&images, &image, &component, &images.access()).await;
    push(
        &images,
        &reference(&open.address(), "team/app:1"),
        &component,
    )
    .await;
    let blob = format!("/blobs/{}", Digest::of(&component));
    // Another name and another port.
    lead(&front, &blob, format!("http://localhost:{}", store.port()));
    // What is gone on with is asked for like what is begun.
    let break_off = Rule::on(&blob, Fault::TruncateAndClose(40_000));
    store.rule(break_off.first(1));
    front.forget();
    let pulled = pull(&images, &image, Always).await.unwrap();
    assert_eq!((pulled.bytes, pulled.from_cache), (component, false));

    let asked = front.requests();
    let shown: Vec<&str> = asked.iter().filter_map(Request::authorization).collect();
    let mut secrets = vec!["hunter2".to_owned(), BASE64_STANDARD.encode("ada:hunter2")];
    for shown in &shown {
        let (used, secret) = shown.split_once(' ').unwrap();
        assert_eq!(used, scheme);
        secrets.push(secret.to_owned());
    }
    let let_in = asked.iter().filter(|it| it.path.contains(&blob));
    assert!(let_in.filter(|it| it.status == 307).count() == 2 && !shown.is_empty());
    let asked = store.requests();
    assert_eq!(asked.len(), 2, "{asked:#?}");
    assert_eq!(asked[1].header("range"), Some("bytes=40000-"));
    for request in &asked {
        for header in ["authorization", "proxy-authorization", "cookie"] {
            assert_eq!(request.header(header), None, "{request:?}");
        }
        let told = format!("{request:?}");
        assert!(!secrets.iter().any(|it| told.contains(it)), "{told}");
    }
}

#[tokio::test]
async fn where_blobs_are_kept_nobody_sees_a_password() {
    let private = Registry::with_users(&[("ada", "hunter2")]);
    pull_from_two(&private, "Basic").await;
}

#[tokio::test]
async fn where_blobs_are_kept_nobody_sees_a_token() {
    let private = Registry::with_tokens(&[("ada", "hunter2")]);
    pull_from_two(&private, "Bearer").await;
    // It was the password that the token was had with.
    let asked = private.tokens().asked();
    assert!(asked.iter().any(|it| it.user.as_deref() == Some("ada")));
}
