//! What the configuration file of a host says about images, in what the host then does.

use serde_json::Value;
use test_servers::{FaultyRegistry, Registry};

use super::PullPolicy::Always;
use super::keyless::attach_simple;
use super::verify::rejected;
use super::*;
use crate::config::HostFile;
use crate::registry::verify::VerifyErrorKind;
use crate::registry::verify::tests::authority::{Authority, BEGIN, RELEASE};
use crate::registry::verify::tests::bundles::Simple;

/// Puts the section `images` of a file in the folder of the host over its options.
fn configure(host: &mut Host, images: &Value) {
    let file = host.folder.path().join("host.yaml");
    let read = HostFile::parse(&json!({ "images": images }).to_string(), &file);
    let read = read.unwrap_or_else(|errors| panic!("{errors}"));
    read.images.apply(&mut host.options);
}

/// How often the mirrors and the registry itself are asked for an image, where the file says this about a mirror.
async fn asked(itself: &FaultyRegistry, mirrors: &[&FaultyRegistry], said: Value) -> Vec<usize> {
    let mut host = Host::new([]);
    let registry = json!({ "caFiles": [itself.ca()], "mirrors": [said] });
    let images = json!({ "registries": { itself.address(): registry } });
    configure(&mut host, &images);
    let image = reference(&itself.address(), "app:1");
    pull(&host.images(), &image, Always).await.unwrap();
    let asked = mirrors.iter().map(|it| it.count("GET", "/v2/hub/app/"));
    let asked = asked.chain([itself.count("GET", "/v2/app/")]).collect();
    mirrors.iter().chain([&itself]).for_each(|it| it.forget());
    asked
}

#[tokio::test]
async fn mirrors_and_authorities_are_those_of_the_file() {
    let behind = Registry::start();
    let (itself, _, component) = behind_tls(&behind, &anybody()).await;
    let direct = Host::new([behind.address().as_str()]);
    let copy = reference(&behind.address(), "hub/app:1");
    push(&direct.images(), &copy, &component).await;
    let secure = FaultyRegistry::with_tls(behind.port());
    let plain = FaultyRegistry::to(behind.port());
    let mirrors = [&secure, &plain];
    let at = |mirror: &FaultyRegistry| format!("{}/hub", mirror.address());
    let said = json!({ "location": at(&secure), "caFiles": [secure.ca()] });
    assert_eq!(asked(&itself, &mirrors, said).await, [2_usize, 0, 0]);
    let said = json!({ "location": at(&plain), "plainHttp": true });
    assert_eq!(asked(&itself, &mirrors, said).await, [0_usize, 2, 0]);
    // One that nobody vouches for is passed over.
    let said = json!({ "location": at(&secure), "caFiles": [itself.ca()] });
    assert_eq!(asked(&itself, &mirrors, said).await, [0_usize, 0, 2]);
}

#[tokio::test]
async fn a_registry_without_its_authority_in_the_file_is_not_believed() {
    let behind = Registry::start();
    let (itself, image, _) = behind_tls(&behind, &anybody()).await;
    let other = FaultyRegistry::with_tls(behind.port());
    for registry in [json!({}), json!({ "caFiles": [other.ca()] })] {
        let mut host = Host::new([]);
        let images = json!({ "registries": { itself.address(): registry } });
        configure(&mut host, &images);
        let error = pull(&host.images(), &image, Always).await.unwrap_err();
        let error = registry_error(error).to_string();
        assert!(error.contains("TLS with `127.0.0.1`"), "{error}");
    }
    assert_eq!(itself.requests().len(), 0);
}

/// Why an image does not run where the file lets only these identities sign. None if it does.
async fn refused(host: &mut Host, image: &Reference, identities: &[&Value]) -> Option<String> {
    host.options.verify.clear();
    let rule = json!({ "images": "*", "trustRoot": "root.json", "identities": identities });
    configure(host, &json!({ "verify": [rule] }));
    match pull(&host.images(), image, Always).await {
        Ok(_) => None,
        Err(error) => match rejected(error) {
            VerifyErrorKind::Rejected { rejected } => Some(rejected[0].why.to_string()),
            other => panic!("{other:?}"),
        },
    }
}

#[tokio::test]
async fn who_may_sign_is_who_the_file_says() {
    let registry = Registry::start();
    let mut host = Host::new([registry.address().as_str()]);
    let images = host.images();
    let authority = Authority::new();
    let image = reference(&registry.address(), "app:1");
    let digest = push(&images, &image, &component(1, 10)).await.digest;
    let signature = Simple::new(&authority, &RELEASE, digest, BEGIN);
    attach_simple(&images, &image, digest, &signature).await;
    let root = host.folder.path().join("root.json");
    std::fs::write(root, authority.trusted().to_string()).unwrap();

    let (issuer, subject) = (RELEASE.issuer, RELEASE.subject);
    let exact = |issuer: &str, subject: &str| json!({ "issuer": issuer, "subject": subject });
    let like = |pattern: &str| json!({ "issuer": issuer, "subjectPattern": pattern });
    let somebody_else = format!("it was made by `{subject}` of `{issuer}`");
    let of_another = format!(
        "it was made by `{subject}`, which `{issuer}` says; nobody is wanted of that issuer"
    );
    let strangers = [
        // Stars stand for something in patterns only, and for no `/` if there is one of them; issuers have none.
        (exact(issuer, "https://github.com/acme/**"), &somebody_else),
        (like("https://github.com/acme/*"), &somebody_else),
        (exact("https://token.actions.*", subject), &of_another),
        (exact("https://accounts.example", subject), &of_another),
    ];
    for (stranger, told) in &strangers {
        let why = refused(&mut host, &image, &[stranger]).await;
        assert_eq!(why.as_ref(), Some(*told), "{stranger}");
    }
    let pattern = "https://github.com/acme/*/.github/workflows/release.yml@refs/tags/*";
    for somebody in [
        exact(issuer, subject),
        like(pattern),
        like("https://github.com/acme/**"),
    ] {
        let whoever = [&strangers[0].0, &somebody];
        for identities in [&whoever[1..], &whoever[..]] {
            let why = refused(&mut host, &image, identities).await;
            assert_eq!(why, None, "{somebody}");
        }
    }
}

#[tokio::test]
async fn a_trust_root_by_which_nobody_could_be_believed_is_told_when_the_host_starts() {
    let mut host = Host::new([]);
    let who = json!({ "issuer": "https://accounts.example", "subject": "jo@acme.example" });
    let rule = json!({ "images": "*", "trustRoot": "root.json", "identities": [who] });
    configure(&mut host, &json!({ "verify": [rule] }));
    let path = host.folder.path().join("root.json");
    let told = || {
        let resolver = Arc::<SystemResolver>::default();
        let opened = host.options.open(EgressOptions::default(), resolver);
        opened.unwrap_err().to_string()
    };
    let wanted = format!("images: cannot read `{}`: No such file", path.display());
    assert!(told().starts_with(&wanted), "{}", told());
    let mut root = Authority::new().trusted();
    root["tlogs"] = json!([]);
    std::fs::write(&path, root.to_string()).unwrap();
    let wanted = format!(
        "images: `{}` is no trust root: it has no logs (`tlogs`), so that no signature could be verified with it",
        path.display()
    );
    assert_eq!(told(), wanted);
}
