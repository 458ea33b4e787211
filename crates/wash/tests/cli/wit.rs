//! `wash wit` and the files of a project: its configuration, its lock file, and what lies in its folders.

use std::fs;

use insta::assert_snapshot;
use serde_json::Value;
use test_servers::FaultyRegistry;

use crate::support::EMPTY_COMPONENT;
use crate::wit_support::{APP, BARE, GREET, LANG, Shop, app_importing, package};

/// A project that is built by doing nothing.
const BUILD: &str = "build: {command: 'true', component_path: out.wasm}\n";

#[test]
fn what_lies_in_deps_by_hand_stays_untouched() {
    let mut shop = Shop::stocked();
    shop.project("app", &app_importing("demo:hand/it"));
    let hand = "package demo:hand;\n\n// By hand.\ninterface it { use demo:lang/types@0.1.0.{lang}; f: func(x: lang); }\n";
    shop.sandbox.write("app/wit/deps/hand.wit", hand);
    let lang =
        "package demo:lang@0.1.0;\n// My own.\ninterface types { record lang { code: string } }\n";
    shop.sandbox.write("app/wit/deps/lang/types.wit", lang);
    let fetched = shop.json("app", &["fetch"]);
    let from: Vec<&Value> = fetched["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["from"])
        .collect();
    assert_eq!(from, ["registry", "hand", "hand"], "{fetched}");
    assert_eq!(shop.read("app/wit/deps/hand.wit"), hand);
    assert_eq!(shop.read("app/wit/deps/lang/types.wit"), lang);
    assert!(!shop.exists("app/wit/deps/demo-lang-0.1.0"));
    // Where everything was put there by hand, there is nothing to do and nobody to ask.
    shop.registry.stop();
    shop.project(
        "old",
        "package demo:old;\nworld w { import demo:hand2/it; }\n",
    );
    shop.sandbox.write(
        "old/wit/deps/hand2.wit",
        "package demo:hand2;\ninterface it {}\n",
    );
    shop.wit("old", &["fetch"]).succeeded();
    assert!(!shop.exists("old/wkg.lock"));
    shop.wit("old", &["remove", "demo:hand2"])
        .succeeded()
        .says("old/wit/deps/hand2.wit stays: it was put there by hand");
}

#[test]
fn what_was_fetched_and_then_changed_is_not_lost() {
    let shop = Shop::fetched();
    shop.sandbox.edit(
        "app/wit/deps/demo-greet-0.1.0/package.wit",
        "name: string",
        "nom: string",
    );
    let run = shop.fetch();
    assert_snapshot!(run.snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: app/wit/deps/demo-greet-0.1.0/package.wit was changed since it was fetched
    hint: remove it to fetch it again, or remove its first line to keep it as your own
    ");
}

#[test]
fn a_project_of_wkg_is_taken_over() {
    let shop = Shop::fetched();
    // As `wkg` writes it: without the line that says who wrote it.
    for name in ["greet", "lang"] {
        let file = format!("app/wit/deps/demo-{name}-0.1.0/package.wit");
        let text = shop.read(&file);
        shop.sandbox.write(&file, text.split_once('\n').unwrap().1);
    }
    let lock = shop.read("app/wkg.lock");
    let fetched = shop.json("app", &["fetch"]);
    assert_eq!(fetched["packages"][0]["from"], "registry", "{fetched}");
    assert_eq!(shop.read("app/wkg.lock"), lock);
}

#[test]
fn a_path_stands_for_a_package_and_is_read_again_each_time() {
    let mut shop = Shop::with_app();
    shop.sandbox
        .write("lang/lang.wit", package("lang", "0.1.0", LANG));
    shop.sandbox
        .write("greet/greet.wit", package("greet", "0.1.0", GREET));
    shop.sandbox.write("app/wkg.toml", "[overrides]\n\"demo:greet\" = { path = \"../greet\" }\n\"demo:lang\" = { path = \"../lang\" }\n");
    shop.registry.stop();
    let fetched = shop.json("app", &["fetch"]);
    assert_eq!(fetched["packages"][0]["from"], "path", "{fetched}");
    assert!(!shop.exists("app/wkg.lock"));
    shop.sandbox
        .edit("greet/greet.wit", "name: string", "name: list<string>");
    assert_eq!(shop.json("app", &["fetch"])["packages"][0]["changed"], true);
    assert!(
        shop.read("app/wit/deps/demo-greet-0.1.0/package.wit")
            .contains("list<string>")
    );
    shop.sandbox.edit("app/wkg.toml", "../greet", "../gone");
    let run = shop.fetch();
    assert_snapshot!(run.snapshot(), @r"
    exit: 1
    --- stdout
    --- stderr
    error: demo:greet@0.1.0 should come from app/../gone, which is not there
    hint: `overrides` in wkg.toml or `wit.sources` in .wash/config.yaml say so
    ");
}

#[test]
fn a_source_may_be_a_path_or_another_repository() {
    let shop = Shop::with_app();
    let (url, address) = (shop.registry.url(), shop.registry.address());
    shop.project("acme", &package("greet", "0.1.0", GREET));
    shop.sandbox
        .write("lang/lang.wit", package("lang", "0.1.0", LANG));
    let config = format!(
        "wit:\n  registries: [{{url: '{url}/acme', namespaces: [demo]}}, {{url: '{url}', namespaces: [else]}}]\n  sources: {{'demo:lang': ../lang}}\n"
    );
    shop.config("acme", &config);
    let published = shop.json("acme", &["publish"]);
    assert_eq!(published["registry"], "[REGISTRY]/acme");
    let config = format!(
        "wit:\n  registries: [{{url: '{url}', namespaces: [else]}}]\n  sources: {{'demo:greet@0.1.0': 'oci://{address}/acme/demo/greet'}}\n"
    );
    shop.config("app", &config);
    let fetched = shop.json("app", &["fetch"]);
    assert_eq!(
        fetched["packages"][0]["registry"], "[REGISTRY]/acme",
        "{fetched}"
    );
    let config = "wit:\n  sources: {'demo:greet': 'https://x.example/greet.tar.gz'}\n";
    shop.config("app", config);
    shop.fetch()
        .says("demo:greet: an archive from a web server is not supported");
}

#[test]
fn what_was_downloaded_once_is_enough_for_another_folder() {
    let mut shop = Shop::fetched();
    shop.registry.stop();
    shop.project("clone", APP);
    shop.sandbox
        .write("clone/wkg.lock", shop.read("app/wkg.lock"));
    shop.wit("clone", &["fetch", "--offline", "--locked"])
        .succeeded();
    assert!(shop.exists("clone/wit/deps/demo-greet-0.1.0/package.wit"));
}

#[test]
fn a_damaged_lock_file_is_neither_used_nor_replaced() {
    let shop = Shop::fetched();
    shop.sandbox
        .edit("app/wkg.lock", "digest = \"sha256:", "digest = \"sha1:");
    let damaged = shop.read("app/wkg.lock");
    shop.fetch()
        .failed()
        .says("the lock file is damaged: invalid content digest")
        .says("--> app/wkg.lock:");
    assert_eq!(shop.read("app/wkg.lock"), damaged);
}

#[test]
fn only_content_with_the_digest_of_the_lock_file_is_taken() {
    let shop = Shop::fetched();
    let digest = shop.pinned("app", "greet");
    let before = shop.read("app/wit/deps/demo-greet-0.1.0/package.wit");
    shop.remove_deps();
    // What was downloaded is damaged: it is downloaded again.
    let kept = shop
        .sandbox
        .path("cache/wash/wit")
        .join(format!("{}.wasm", digest.trim_start_matches("sha256:")));
    fs::write(&kept, b"\0asm damaged").unwrap();
    shop.fetch().succeeded();
    assert_eq!(
        shop.read("app/wit/deps/demo-greet-0.1.0/package.wit"),
        before
    );
    // What the registry has is damaged: it is refused.
    shop.remove_deps();
    shop.forget();
    let mut content = fs::read(shop.blob(&digest)).unwrap();
    *content.last_mut().unwrap() ^= 1;
    fs::write(shop.blob(&digest), content).unwrap();
    shop.fetch()
        .failed()
        .says("what [REGISTRY] sent for demo:greet@0.1.0 is not what it should be");
    assert!(!shop.exists("app/wit/deps"));
}

#[test]
fn a_version_that_has_another_content_now_is_not_noticed_until_it_is_updated() {
    let shop = Shop::with_app();
    shop.publish_greet("0.0.1");
    shop.fetch().succeeded();
    let digest = shop.pinned("app", "greet");
    // Somebody makes the registry forget the version, and publishes another content as it.
    let tag = shop
        .registry
        .folder()
        .join("repositories/demo/greet/_manifests/tags/0.1.0");
    fs::remove_dir_all(tag).unwrap();
    shop.publish(
        "greet",
        "0.1.0",
        &GREET.replace("name: string", "who: string"),
    );
    shop.remove_deps();
    shop.forget();
    shop.wit("app", &["fetch", "--locked"]).succeeded();
    assert_eq!(shop.pinned("app", "greet"), digest);
    shop.wit("app", &["update"])
        .succeeded()
        .says("warning: demo:greet 0.1.0 has another content than before");
    assert_ne!(shop.pinned("app", "greet"), digest);
}

#[test]
fn a_locked_fetch_fails_rather_than_to_change_the_lock_file() {
    let shop = Shop::with_app();
    shop.wit("app", &["fetch", "--locked"])
        .says("wkg.lock says nothing about demo:greet@0.1.0, and --locked keeps it as it is");
    shop.fetch().succeeded();
    shop.sandbox.write("app/wit/world.wit", BARE);
    shop.wit("app", &["fetch", "--locked"])
        .says("needed no more");
}

#[test]
fn a_build_fetches_what_is_missing_and_says_so_unless_it_is_told_not_to() {
    let mut shop = Shop::with_app();
    shop.sandbox.write("app/out.wasm", EMPTY_COMPONENT);
    let config = shop.read("app/.wash/config.yaml");
    shop.config("app", &format!("{BUILD}{config}"));
    shop.run(&["build", "app"])
        .succeeded()
        .says("fetching what app/wit/deps lacks: demo:greet@0.1.0\n");
    assert!(shop.exists("app/wkg.lock"));
    shop.cut_off();
    let run = shop.run(&["build", "app"]).succeeded();
    assert!(!run.stderr.contains("fetching"), "{}", run.stderr);
    shop.remove_deps();
    shop.run(&["build", "app"])
        .failed()
        .says("cannot reach [REGISTRY]");
    shop.sandbox.edit(
        "app/.wash/config.yaml",
        "wit: {",
        "wit: {skip_fetch: true, ",
    );
    assert!(!shop.run(&["build", "app"]).stderr.contains("fetching"));
}

/// The folder has all of it, or else the lock file says what of the earlier downloads is needed.
#[test]
fn a_build_asks_nobody_for_packages_that_were_fetched() {
    let shop = Shop::with_app();
    let way = FaultyRegistry::to(shop.registry.port());
    let url = way.url();
    let registries = format!("[{{url: '{url}', namespaces: [demo]}}]");
    shop.config(
        "app",
        &format!("{BUILD}wit: {{registries: {registries}}}\n"),
    );
    shop.sandbox.write("app/out.wasm", EMPTY_COMPONENT);
    shop.fetch().succeeded();
    assert!(way.count("GET", "/v2/demo/greet/blobs/") > 0);
    way.forget();
    for builds in [&["build", "app"][..], &["wit", "build", "--dir", "app"]] {
        shop.run(builds).succeeded();
        shop.remove_deps();
        shop.run(builds).succeeded();
        assert!(shop.exists("app/wit/deps/demo-greet-0.1.0/package.wit"));
    }
    assert!(way.requests().is_empty(), "{:#?}", way.requests());
}

#[test]
fn a_build_names_the_package_that_it_cannot_have() {
    let mut shop = Shop::with_app();
    shop.sandbox.write("app/out.wasm", EMPTY_COMPONENT);
    let config = shop.read("app/.wash/config.yaml");
    shop.config("app", &format!("{BUILD}{config}"));
    let named = "demo:greet@0.1.0: cannot reach [REGISTRY]";
    shop.cut_off();
    let package = shop.wit("app", &["build"]);
    package.failed().says(&format!("error: {named}"));
    assert!(!shop.exists("app/demo-app.wasm"));
    // Whether it lacks anything, the compiler knows better: there is no lock file that says so.
    let build = shop.run(&["build", "app"]).succeeded();
    build
        .says(&format!("warning: {named}"))
        .says("the build goes on without");

    shop.registry.resume();
    shop.fetch().succeeded();
    shop.remove_deps();
    shop.cut_off();
    let build = shop.run(&["build", "app"]);
    build.failed().says(&format!("error: {named}"));
}

#[test]
fn the_folder_of_the_wit_is_the_one_of_the_configuration() {
    let shop = Shop::stocked();
    shop.project("app", BARE);
    fs::rename(shop.sandbox.path("app/wit"), shop.sandbox.path("app/api")).unwrap();
    shop.sandbox
        .edit("app/.wash/config.yaml", "wit: {", "wit: {wit_dir: api, ");
    shop.wit("app", &["add", "demo:lang"]).succeeded();
    assert!(shop.exists("app/api/deps/demo-lang-0.1.0/package.wit"));
}
