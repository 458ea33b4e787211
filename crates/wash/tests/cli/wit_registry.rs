//! `wash wit` and registries: packages go to a real one and come from it, and what it has is not believed unseen.

use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use serde_json::json;
use test_servers::{Answer, Fault, FaultyRegistry, Registry, Rule};

use crate::wit_support::{ANN, APP, BARE, GREET, LANG, Shop, app_importing, package};

#[test]
fn a_package_is_published_and_fetched_and_the_build_needs_no_network_then() {
    let mut shop = Shop::with_app();
    assert_snapshot!(shop.fetch().snapshot(), @r"
    exit: 0
    --- stdout
    demo:greet@0.1.0  [REGISTRY]  app/wit/deps/demo-greet-0.1.0
    demo:lang@0.1.0  came with another  app/wit/deps/demo-lang-0.1.0
    --- stderr
    wrote 2 packages into app/wit/deps
    wrote app/wkg.lock
    ");
    let digest = shop.pinned("app", "greet");
    assert!(shop.blob(&digest).is_file(), "{digest}");
    assert!(
        shop.read("app/wit/deps/demo-lang-0.1.0/package.wit")
            .contains("record lang")
    );
    shop.cut_off();
    // All of it is there, so nobody is asked.
    let lock = shop.read("app/wkg.lock");
    for args in [
        &["fetch"][..],
        &["fetch", "--offline", "--locked"],
        &["build"],
    ] {
        let run = shop.wit("app", args).succeeded();
        assert!(!run.stderr.contains("wrote"), "{}", run.stderr);
    }
    assert_eq!(shop.read("app/wkg.lock"), lock);
    let built = fs::read(shop.sandbox.path("app/demo-app.wasm")).unwrap();
    let decoded = wit_component::decode(&built).unwrap();
    let names = decoded.resolve().packages.iter();
    let names: Vec<String> = names.map(|(_, it)| it.name.to_string()).collect();
    assert!(names.contains(&"demo:greet@0.1.0".to_owned()), "{names:?}");
}

#[test]
fn what_is_published_twice_is_there_once_and_another_content_is_refused() {
    let shop = Shop::new();
    shop.project("lang", &package("lang", "0.1.0", LANG));
    assert!(
        shop.wit("lang", &["publish", "--dry-run"])
            .stderr
            .contains("could be published")
    );
    let first = shop.json("lang", &["publish"]);
    assert_eq!(
        (&first["published"], &first["registry"]),
        (&json!(true), &json!("[REGISTRY]"))
    );
    assert!(shop.blob(first["digest"].as_str().unwrap()).is_file());
    let second = shop.json("lang", &["publish"]);
    assert_eq!(
        (&second["published"], &second["digest"]),
        (&json!(false), &first["digest"])
    );
    shop.sandbox.edit("lang/wit/world.wit", "code", "kind");
    shop.publish_lang()
        .failed()
        .says("[REGISTRY] has demo:lang@0.1.0 already, with another content");
    shop.sandbox.edit("lang/wit/world.wit", "@0.1.0", "");
    shop.publish_lang()
        .says("demo:lang has no version, so it cannot be published");
}

#[test]
fn a_version_that_would_break_users_of_an_older_one_is_not_published() {
    let shop = Shop::stocked();
    let (without, _) = GREET.split_once("world both").unwrap();
    let run = shop.offer("greet", "0.1.1", without);
    assert_eq!(run.code, Some(1));
    let wanted = "demo:greet 0.1.1 would break those that use 0.1.0: world `both` was removed";
    run.says(wanted);
    shop.offer("greet", "0.2.0", without).succeeded();
    // Between two versions, it has to go together with both; more than there was breaks nobody.
    let more = LANG.replace("types {", "types {\n  type id = u8;\n  of: func(it: id);\n");
    shop.offer("lang", "0.1.3", &more).succeeded();
    shop.offer("lang", "0.1.2", LANG).succeeded();
    let run = shop.offer("lang", "0.1.1", &LANG.replace("code: string", "code: u8"));
    let wanted = "demo:lang 0.1.1 would break those that use 0.1.0: ";
    run.says(wanted);
    let run = shop.offer("lang", "0.1.1", &more.replace("id", "key"));
    let wanted =
        "demo:lang 0.1.2 would break those that use 0.1.1: type `key` of interface `types`";
    run.says(wanted);
}

#[test]
fn a_package_is_added_updated_and_removed() {
    let shop = Shop::stocked();
    shop.project("app", BARE);
    assert_snapshot!(shop.wit("app", &["add", "demo:greet/greeter"]).snapshot(), @r"
    exit: 0
    --- stdout
    demo:greet@0.1.0  [REGISTRY]  app/wit/deps/demo-greet-0.1.0
    demo:lang@0.1.0  came with another  app/wit/deps/demo-lang-0.1.0
    --- stderr
    wrote 2 packages into app/wit/deps
    wrote app/wkg.lock
    app/wit/world.wit: world app has now `import demo:greet/greeter@0.1.0;`
    ");
    assert_eq!(
        shop.read("app/wit/world.wit"),
        "package demo:app;\n\nworld app {\n  import demo:greet/greeter@0.1.0;\n}\n"
    );
    let again = shop.json("app", &["add", "demo:greet/greeter"]);
    assert_eq!(again["added"], json!([]));
    let more = shop.json("app", &["add", "demo:greet"]);
    assert_eq!(more["added"], json!(["import demo:greet/other@0.1.0;"]));

    shop.publish_greet("0.1.1");
    shop.publish_greet("0.2.0");
    // A newer one changes nothing until it is asked for.
    assert!(
        !shop
            .wit("app", &["fetch"])
            .succeeded()
            .stderr
            .contains("wrote")
    );
    assert_snapshot!(shop.wit("app", &["update"]).snapshot(), @r"
    exit: 0
    --- stdout
    demo:greet@0.1.1  [REGISTRY]  app/wit/deps/demo-greet-0.1.1
    demo:lang@0.1.0  came with another  app/wit/deps/demo-lang-0.1.0
    --- stderr
    removed app/wit/deps/demo-greet-0.1.0, which nothing needs
    wrote 1 package into app/wit/deps
    wrote app/wkg.lock
    updated demo:greet@0.1.0 to 0.1.1
    ");
    assert!(
        shop.wit("app", &["update", "demo:greet"])
            .stderr
            .contains("nothing newer that is compatible")
    );
    let updated = shop.json("app", &["update", "demo:greet@0.2.0"]);
    assert_eq!(
        updated["updated"],
        json!([{"package": "demo:greet", "from": "0.1.1", "to": "0.2.0"}])
    );
    assert_eq!(shop.read("app/wit/world.wit").matches("@0.2.0").count(), 2);

    assert_snapshot!(shop.wit("app", &["remove", "demo:greet"]).snapshot(), @r"
    exit: 0
    --- stdout

    --- stderr
    removed app/wit/deps/demo-greet-0.2.0, which nothing needs
    removed app/wit/deps/demo-lang-0.1.0, which nothing needs
    the WIT of this project names no other package
    wrote app/wkg.lock
    took 2 statements out of app/wit/world.wit
    ");
    assert!(!shop.exists("app/wit/deps"));
    assert!(!shop.read("app/wkg.lock").contains("greet"));
}

#[test]
fn a_wrong_name_an_unknown_package_and_a_missing_version_say_what_was_looked_for() {
    let shop = Shop::stocked();
    shop.project("app", BARE);
    let run = shop.wit("app", &["add", "demo"]);
    assert_eq!(run.code, Some(2));
    run.says("`demo` names no package");
    assert_snapshot!(shop.wit("app", &["add", "demo:gret"]).snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: there is no package demo:gret in [REGISTRY]: it was looked for as the repository [REGISTRY]/demo/gret
    hint: look for a typo; `wit.registries` and `wit.sources` in .wash/config.yaml say where packages are
    ");
    assert_snapshot!(shop.wit("app", &["add", "demo:greet@0.9.0"]).snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: demo:greet has no version 0.9.0 in [REGISTRY]
    hint: there are 0.1.0
    ");
    assert_snapshot!(shop.wit("app", &["add", "demo:greet/nobody"]).snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: demo:greet@0.1.0 has neither an interface nor a world `nobody`
    hint: it has: greeter, other, both
    ");
    assert_snapshot!(shop.wit("app", &["add", "acme:thing"]).snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: nothing says which registry has acme:thing: neither `wit.registries` nor `wit.sources` in .wash/config.yaml, nor the configuration of `wkg`
    hint: add to .wash/config.yaml: wit: {registries: [{url: https://REGISTRY, namespaces: [acme]}]}
    ");
    assert_eq!(shop.read("app/wit/world.wit"), BARE);
    assert!(!shop.exists("app/wkg.lock") && !shop.exists("app/wit/deps"));
    shop.project(
        "none",
        "package demo:none;\nworld w { import demo:greet/greeter; }\n",
    );
    shop.wit("none", &["fetch"])
        .says("hint: write the version behind it, such as demo:greet/…@0.1.0");
    shop.wit("none", &["remove", "demo:lang"])
        .says("hint: it names demo:greet");
}

#[test]
fn a_registry_that_is_gone_is_told_and_changes_nothing() {
    let mut shop = Shop::with_app();
    shop.cut_off();
    assert_snapshot!(shop.fetch().snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: demo:greet@0.1.0: cannot reach [REGISTRY]: cannot connect to [REGISTRY]: Connection refused (os error 111)
    hint: in `wit.registries`, a registry without TLS is written with http://, and one with an authority of its own has a `ca_file`; with --offline none is asked
    ");
    assert_snapshot!(shop.wit("app", &["fetch", "--offline"]).snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: demo:greet@0.1.0 is not on this machine, and --offline asks no registry
    hint: run `wash wit fetch` once without it; what it puts into `wit/deps` stays
    ");
    assert!(!shop.exists("app/wkg.lock") && !shop.exists("app/wit/deps"));
}

#[test]
fn what_is_no_package_of_wit_is_refused_by_name() {
    let shop = Shop::fetched();
    // The registry answers for one package with another one.
    let repositories = shop.registry.folder().join("repositories/demo");
    fs::remove_dir_all(repositories.join("greet")).unwrap();
    copy(&repositories.join("lang"), &repositories.join("greet"));
    shop.project("other", APP);
    shop.wit("other", &["fetch"])
        .says("what [REGISTRY] has as demo:greet@0.1.0 is the package demo:lang@0.1.0");
    assert!(!shop.exists("other/wkg.lock") && !shop.exists("other/wit/deps"));
}

#[test]
fn the_users_own_configuration_says_where_packages_are_and_docker_knows_the_password() {
    let shop = Shop::with(Registry::with_users(&[ANN]));
    let address = shop.registry.address();
    let config = format!(
        "[namespace_registries]\ndemo = {{ registry = \"{address}\", metadata = {{ preferredProtocol = \"oci\", oci = {{ registry = \"{address}\" }} }} }}\n\n[registry.\"{address}\".oci]\nprotocol = \"http\"\n"
    );
    shop.wkg_config(&config);
    shop.lang_alone("0.1.0");
    shop.publish_lang()
        .failed()
        .says("`docker login [REGISTRY]` keeps them");
    shop.docker_login();
    shop.publish_lang().succeeded();
    shop.add_lang().succeeded();
}

#[test]
fn a_registry_with_tls_is_trusted_with_its_authority_only() {
    let shop = Shop::with(Registry::with_tls());
    shop.project("lang", &package("lang", "0.1.0", LANG));
    shop.publish_lang()
        .failed()
        .says("cannot reach [REGISTRY]: TLS with `127.0.0.1`");
    let ca = fs::read_to_string(shop.registry.ca()).unwrap();
    shop.sandbox.write("lang/ca.pem", &ca);
    shop.know_registry("lang", ", ca_file: ca.pem");
    shop.publish_lang().succeeded();
    // As the user says it to `wkg`.
    let address = shop.registry.address();
    let config = format!(
        "[namespace_registries]\ndemo = \"{address}\"\n[registry.\"{address}\".oci]\nextra_root_certificates = [{{ encoding = \"pem\", data = \"\"\"\n{ca}\"\"\" }}]\n"
    );
    shop.wkg_config(&config);
    shop.add_lang().succeeded();
}

#[test]
fn a_registry_says_itself_where_its_packages_are() {
    let shop = Shop::new();
    let host = FaultyRegistry::alone();
    let (name, address) = (host.address(), shop.registry.address());
    let says = |document: &str| {
        host.heal();
        let answer = Answer::status(200).body(document);
        host.rule(Rule::on(
            "/.well-known/wasm-pkg/registry.json",
            Fault::Answer(answer),
        ));
    };
    let config = format!(
        "[namespace_registries]\ndemo = \"{name}\"\n[registry.\"{name}\"]\noci = {{ protocol = \"http\" }}\nother = {{}}\n[registry.\"{address}\".oci]\nprotocol = \"http\"\n"
    );
    shop.wkg_config(&config);
    shop.lang_alone("0.1.0");
    says(&format!(
        "{{\"oci\": {{\"registry\": \"{address}\", \"namespacePrefix\": \"wit/\"}}}}"
    ));
    let published = shop.json("lang", &["publish"]);
    assert_eq!(published["registry"], name, "{published}");
    let repository = shop.registry.folder().join("repositories/wit/demo/lang");
    assert!(repository.is_dir());
    shop.add_lang().succeeded();
    assert!(shop.read("app/wkg.lock").contains(&name));
    // Once for each run, and with nobody's password.
    assert_eq!(host.requests().len(), 2);
    for (document, wanted) in [
        (
            r#"{"preferredProtocol": "warg"}"#,
            "had by the protocol `warg`, which wash does not speak",
        ),
        (
            r#"{"oci": {"registry": "../x"}}"#,
            "cannot be in a registry",
        ),
        (r#"{"oci": {"registry": "x"}}"#, "`x` is no registry"),
        (r#"{"oci": {"registry": 7}}"#, "makes no sense"),
        (r#"{"oci": 7}"#, "makes no sense"),
    ] {
        says(document);
        shop.publish_lang().failed().says(wanted);
    }
}

#[test]
fn a_folder_stands_for_a_registry_as_wkg_has_it() {
    let shop = Shop::new();
    let root = shop.sandbox.path("packages");
    let config = format!(
        "[namespace_registries]\ndemo = \"disk.example\"\n[registry.\"disk.example\".local]\nroot = \"{}\"\n",
        root.display()
    );
    shop.wkg_config(&config);
    for version in ["0.1.0", "0.1.1"] {
        shop.lang_alone(version);
        shop.publish_lang().succeeded();
    }
    assert!(root.join("demo/lang/0.1.1.wasm").is_file());
    shop.sandbox
        .edit("lang/wit/lang.wit", "code: string", "code: u8");
    shop.publish_lang()
        .says("disk.example has demo:lang@0.1.1 already");
    let run = shop.add_lang().succeeded();
    assert!(run.stdout.contains("demo:lang@0.1.1"), "{}", run.stdout);
    shop.wit("app", &["add", "demo:greet"])
        .says("it was looked for as the folder");
    fs::write(root.join("demo/lang/0.1.1.wasm"), b"\0a").unwrap();
    shop.forget();
    shop.remove_deps();
    shop.fetch().says("it has the digest");
    // Whoever has no lock file is told what it is.
    fs::remove_file(shop.sandbox.path("app/wkg.lock")).unwrap();
    shop.fetch().says("is no WebAssembly");
}

#[test]
fn the_project_may_name_a_password_which_is_never_shown() {
    let shop = Shop::with(Registry::with_users(&[ANN]));
    shop.lang_alone("0.1.0");
    shop.know_registry("lang", ", username: ann, token: wr0ng");
    let run = shop.wit("lang", &["publish", "--verbose"]);
    assert_eq!(run.code, Some(1));
    assert!(!run.snapshot().contains("wr0ng"), "{}", run.stderr);
    shop.know_registry("lang", ", username: ann, token: s3cret");
    let run = shop.wit("lang", &["publish", "--verbose"]).succeeded();
    assert!(!run.snapshot().contains("s3cret"), "{}", run.stderr);
}

#[test]
fn a_registry_that_gives_tokens_is_asked_for_one_for_each_package() {
    let shop = Shop::with(Registry::with_tokens(&[ANN]));
    shop.docker_login();
    shop.publish("lang", "0.1.0", LANG);
    shop.publish_greet("0.1.0");
    shop.project("app", &app_importing("demo:lang/types@0.1.0"));
    shop.forget();
    shop.fetch().succeeded();
    assert!(shop.read("app/wkg.lock").contains("demo:lang"));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
