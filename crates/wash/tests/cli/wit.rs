//! `wash wit`: packages of WIT go to a real registry and come from it, and nobody is asked who need not be.

use std::fs;
use std::path::PathBuf;

use insta::assert_snapshot;
use serde_json::{Value, json};
use test_servers::{Answer, Fault, FaultyRegistry, Registry, RegistryOptions, Rule};

use crate::support::{EMPTY_COMPONENT, Run, Sandbox};

/// A registry, a folder for projects, and a home without any settings of whoever runs the tests.
struct Shop {
    registry: Registry,
    sandbox: Sandbox,
}

impl Shop {
    fn new() -> Self {
        Self::with(Registry::start())
    }

    fn with(registry: Registry) -> Self {
        Self {
            registry,
            sandbox: Sandbox::new(),
        }
    }

    /// One that has `demo:lang@0.1.0` and `demo:greet@0.1.0`, which uses it.
    fn stocked() -> Self {
        let shop = Self::new();
        shop.publish("lang", "0.1.0", LANG);
        shop.publish_greet("0.1.0");
        shop
    }

    fn run(&self, args: &[&str]) -> Run {
        let mut command = self.sandbox.command(args);
        command
            .env("HOME", self.sandbox.path("home"))
            .env("XDG_CACHE_HOME", self.sandbox.path("cache"));
        for key in [
            "XDG_CONFIG_HOME",
            "XDG_RUNTIME_DIR",
            "WKG_CONFIG_FILE",
            "DOCKER_CONFIG",
            "REGISTRY_AUTH_FILE",
        ] {
            command.env_remove(key);
        }
        let run = self.sandbox.finish(command);
        // Ports are different each time, and so are the widths of columns.
        let plain = |text: &str| {
            let text = text.replace(&self.registry.address(), "[REGISTRY]");
            let lines = text.lines().map(|line| {
                let cells = line.split("  ").filter(|it| !it.is_empty());
                let cells = cells.map(str::trim_start).collect::<Vec<_>>();
                format!("{}\n", cells.join("  "))
            });
            lines.collect::<String>()
        };
        Run {
            code: run.code,
            stdout: plain(&run.stdout),
            stderr: plain(&run.stderr),
        }
    }

    /// Runs `wash wit` in a project.
    fn wit(&self, project: &str, args: &[&str]) -> Run {
        let mut all = vec!["wit"];
        all.extend(args);
        all.extend(["--dir", project]);
        self.run(&all)
    }

    fn json(&self, project: &str, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        all.extend(["--output", "json"]);
        self.wit(project, &all).json()
    }

    /// Makes a project with this WIT, which knows the registry.
    fn project(&self, name: &str, wit: &str) {
        self.sandbox.write(&format!("{name}/wit/world.wit"), wit);
        let config = format!(
            "wit: {{registries: [{{url: '{}', namespaces: [demo]}}]}}\n",
            self.registry.url()
        );
        self.sandbox
            .write(&format!("{name}/.wash/config.yaml"), config);
    }

    fn publish(&self, name: &str, version: &str, wit: &str) {
        let project = format!("{name}-{version}");
        self.project(&project, &format!("package demo:{name}@{version};\n{wit}"));
        self.wit(&project, &["publish"]).succeeded();
    }

    fn publish_greet(&self, version: &str) {
        self.publish("greet", version, GREET);
    }

    fn read(&self, name: &str) -> String {
        self.sandbox.read(name)
    }

    fn exists(&self, name: &str) -> bool {
        self.sandbox.path(name).exists()
    }

    /// Throws away what was downloaded.
    fn forget(&self) {
        let _ = fs::remove_dir_all(self.sandbox.path("cache/wash/wit"));
    }

    /// The digest that a lock file has of a package.
    fn pinned(&self, project: &str, package: &str) -> String {
        let lock = self.read(&format!("{project}/wkg.lock"));
        let (_, rest) = lock
            .split_once(&format!("name = \"demo:{package}\""))
            .unwrap();
        let (_, rest) = rest.split_once("digest = \"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.registry.blob(digest)
    }
}

const LANG: &str = "/// Languages.\ninterface types {\n  record lang { code: string }\n}\n";
const GREET: &str = "interface greeter {\n  use demo:lang/types@0.1.0.{lang};\n  greet: func(name: string, lang: lang) -> string;\n}\ninterface other {}\nworld both {\n  import greeter;\n  import other;\n}\n";
const APP: &str =
    "package demo:app;\n\n// Mine.\nworld app {\n  import demo:greet/greeter@0.1.0;\n}\n";
const BARE: &str = "package demo:app;\n\nworld app {}\n";

#[test]
fn a_package_is_published_and_fetched_and_the_build_needs_no_network_then() {
    let mut shop = Shop::stocked();
    shop.project("app", APP);
    assert_snapshot!(shop.wit("app", &["fetch"]).snapshot(), @r"
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
    shop.registry.stop();
    shop.forget();
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
    shop.project("lang", &format!("package demo:lang@0.1.0;\n{LANG}"));
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
    let run = shop.wit("lang", &["publish"]);
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr
            .contains("[REGISTRY] has demo:lang@0.1.0 already, with another content"),
        "{}",
        run.stderr
    );
    shop.sandbox.edit("lang/wit/world.wit", "@0.1.0", "");
    let run = shop.wit("lang", &["publish"]);
    assert!(
        run.stderr
            .contains("demo:lang has no version, so it cannot be published"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_version_that_would_break_users_of_an_older_one_is_not_published() {
    let shop = Shop::stocked();
    let (without, _) = GREET.split_once("world both").unwrap();
    let project = |version: &str| {
        shop.project("next", &format!("package demo:greet@{version};\n{without}"));
        shop.wit("next", &["publish"])
    };
    let run = project("0.1.1");
    assert_eq!(run.code, Some(1));
    let wanted = "demo:greet 0.1.1 would break those that use 0.1.0: world `both` was removed";
    assert!(run.stderr.contains(wanted), "{}", run.stderr);
    project("0.2.0").succeeded();
    // Between two versions, it has to go together with both; more than there was breaks nobody.
    let publish = |version: &str, text: &str| {
        shop.project("lang", &format!("package demo:lang@{version};\n{text}"));
        shop.wit("lang", &["publish"])
    };
    let more = LANG.replace("types {", "types {\n  type id = u8;\n  of: func(it: id);\n");
    publish("0.1.3", &more).succeeded();
    publish("0.1.2", LANG).succeeded();
    let run = publish("0.1.1", &LANG.replace("code: string", "code: u8"));
    let wanted = "demo:lang 0.1.1 would break those that use 0.1.0: ";
    assert!(run.stderr.contains(wanted), "{}", run.stderr);
    let run = publish("0.1.1", &more.replace("id", "key"));
    let wanted =
        "demo:lang 0.1.2 would break those that use 0.1.1: type `key` of interface `types`";
    assert!(run.stderr.contains(wanted), "{}", run.stderr);
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
fn what_lies_in_deps_by_hand_stays_untouched() {
    let mut shop = Shop::stocked();
    shop.project(
        "app",
        &APP.replace("greeter@0.1.0;", "greeter@0.1.0;\n  import demo:hand/it;"),
    );
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
    let run = shop.wit("old", &["remove", "demo:hand2"]).succeeded();
    assert!(
        run.stderr
            .contains("old/wit/deps/hand2.wit stays: it was put there by hand"),
        "{}",
        run.stderr
    );
}

#[test]
fn what_was_fetched_and_then_changed_is_not_lost() {
    let shop = Shop::stocked();
    shop.project("app", APP);
    shop.wit("app", &["fetch"]).succeeded();
    shop.sandbox.edit(
        "app/wit/deps/demo-greet-0.1.0/package.wit",
        "name: string",
        "nom: string",
    );
    let run = shop.wit("app", &["fetch"]);
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
    let shop = Shop::stocked();
    shop.project("app", APP);
    shop.wit("app", &["fetch"]).succeeded();
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
    let mut shop = Shop::stocked();
    shop.project("app", APP);
    shop.sandbox
        .write("lang/lang.wit", format!("package demo:lang@0.1.0;\n{LANG}"));
    shop.sandbox.write(
        "greet/greet.wit",
        format!("package demo:greet@0.1.0;\n{GREET}"),
    );
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
    let run = shop.wit("app", &["fetch"]);
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
    let shop = Shop::stocked();
    shop.project("app", APP);
    let (url, address) = (shop.registry.url(), shop.registry.address());
    shop.project("acme", &format!("package demo:greet@0.1.0;\n{GREET}"));
    shop.sandbox
        .write("lang/lang.wit", format!("package demo:lang@0.1.0;\n{LANG}"));
    let config = format!(
        "wit:\n  registries: [{{url: '{url}/acme', namespaces: [demo]}}, {{url: '{url}', namespaces: [else]}}]\n  sources: {{'demo:lang': ../lang}}\n"
    );
    shop.sandbox.write("acme/.wash/config.yaml", config);
    let published = shop.json("acme", &["publish"]);
    assert_eq!(published["registry"], "[REGISTRY]/acme");
    let config = format!(
        "wit:\n  registries: [{{url: '{url}', namespaces: [else]}}]\n  sources: {{'demo:greet@0.1.0': 'oci://{address}/acme/demo/greet'}}\n"
    );
    shop.sandbox.write("app/.wash/config.yaml", config);
    let fetched = shop.json("app", &["fetch"]);
    assert_eq!(
        fetched["packages"][0]["registry"], "[REGISTRY]/acme",
        "{fetched}"
    );
    let config = "wit:\n  sources: {'demo:greet': 'https://x.example/greet.tar.gz'}\n";
    shop.sandbox.write("app/.wash/config.yaml", config);
    let run = shop.wit("app", &["fetch"]);
    assert!(
        run.stderr
            .contains("demo:greet: an archive from a web server is not supported"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_wrong_name_an_unknown_package_and_a_missing_version_say_what_was_looked_for() {
    let shop = Shop::stocked();
    shop.project("app", BARE);
    let run = shop.wit("app", &["add", "demo"]);
    assert_eq!(run.code, Some(2));
    assert!(
        run.stderr.contains("`demo` names no package"),
        "{}",
        run.stderr
    );
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
    let run = shop.wit("none", &["fetch"]);
    assert!(
        run.stderr
            .contains("hint: write the version behind it, such as demo:greet/…@0.1.0"),
        "{}",
        run.stderr
    );
    let run = shop.wit("none", &["remove", "demo:lang"]);
    assert!(
        run.stderr.contains("hint: it names demo:greet"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_registry_that_is_gone_is_told_and_changes_nothing() {
    let mut shop = Shop::stocked();
    shop.project("app", APP);
    shop.registry.stop();
    shop.forget();
    assert_snapshot!(shop.wit("app", &["fetch"]).snapshot(), @r"
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
fn what_was_downloaded_once_is_enough_for_another_folder() {
    let mut shop = Shop::stocked();
    shop.project("app", APP);
    shop.wit("app", &["fetch"]).succeeded();
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
    let shop = Shop::stocked();
    shop.project("app", APP);
    shop.wit("app", &["fetch"]).succeeded();
    shop.sandbox
        .edit("app/wkg.lock", "digest = \"sha256:", "digest = \"sha1:");
    let damaged = shop.read("app/wkg.lock");
    let run = shop.wit("app", &["fetch"]);
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr
            .contains("the lock file is damaged: invalid content digest"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("--> app/wkg.lock:"), "{}", run.stderr);
    assert_eq!(shop.read("app/wkg.lock"), damaged);
}

#[test]
fn only_content_with_the_digest_of_the_lock_file_is_taken() {
    let shop = Shop::stocked();
    shop.project("app", APP);
    shop.wit("app", &["fetch"]).succeeded();
    let digest = shop.pinned("app", "greet");
    let before = shop.read("app/wit/deps/demo-greet-0.1.0/package.wit");
    fs::remove_dir_all(shop.sandbox.path("app/wit/deps")).unwrap();
    // What was downloaded is damaged: it is downloaded again.
    let kept = shop
        .sandbox
        .path("cache/wash/wit")
        .join(format!("{}.wasm", digest.trim_start_matches("sha256:")));
    fs::write(&kept, b"\0asm damaged").unwrap();
    shop.wit("app", &["fetch"]).succeeded();
    assert_eq!(
        shop.read("app/wit/deps/demo-greet-0.1.0/package.wit"),
        before
    );
    // What the registry has is damaged: it is refused.
    fs::remove_dir_all(shop.sandbox.path("app/wit/deps")).unwrap();
    shop.forget();
    let mut content = fs::read(shop.blob(&digest)).unwrap();
    *content.last_mut().unwrap() ^= 1;
    fs::write(shop.blob(&digest), content).unwrap();
    let run = shop.wit("app", &["fetch"]);
    assert_eq!(run.code, Some(1), "{}", run.snapshot());
    assert!(
        run.stderr
            .contains("what [REGISTRY] sent for demo:greet@0.1.0 is not what it should be"),
        "{}",
        run.stderr
    );
    assert!(!shop.exists("app/wit/deps"));
}

#[test]
fn a_version_that_has_another_content_now_is_not_noticed_until_it_is_updated() {
    let shop = Shop::stocked();
    shop.publish_greet("0.0.1");
    shop.project("app", APP);
    shop.wit("app", &["fetch"]).succeeded();
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
    fs::remove_dir_all(shop.sandbox.path("app/wit/deps")).unwrap();
    shop.forget();
    shop.wit("app", &["fetch", "--locked"]).succeeded();
    assert_eq!(shop.pinned("app", "greet"), digest);
    let run = shop.wit("app", &["update"]).succeeded();
    assert!(
        run.stderr
            .contains("warning: demo:greet 0.1.0 has another content than before"),
        "{}",
        run.stderr
    );
    assert_ne!(shop.pinned("app", "greet"), digest);
}

#[test]
fn a_locked_fetch_fails_rather_than_to_change_the_lock_file() {
    let shop = Shop::stocked();
    shop.project("app", APP);
    let run = shop.wit("app", &["fetch", "--locked"]);
    assert!(
        run.stderr.contains(
            "wkg.lock says nothing about demo:greet@0.1.0, and --locked keeps it as it is"
        ),
        "{}",
        run.stderr
    );
    shop.wit("app", &["fetch"]).succeeded();
    shop.sandbox.write("app/wit/world.wit", BARE);
    let run = shop.wit("app", &["fetch", "--locked"]);
    assert!(run.stderr.contains("needed no more"), "{}", run.stderr);
}

#[test]
fn what_is_no_package_of_wit_is_refused_by_name() {
    let shop = Shop::stocked();
    shop.project("app", APP);
    shop.wit("app", &["fetch"]).succeeded();
    // The registry answers for one package with another one.
    let repositories = shop.registry.folder().join("repositories/demo");
    fs::remove_dir_all(repositories.join("greet")).unwrap();
    copy(&repositories.join("lang"), &repositories.join("greet"));
    shop.project("other", APP);
    let run = shop.wit("other", &["fetch"]);
    assert!(
        run.stderr
            .contains("what [REGISTRY] has as demo:greet@0.1.0 is the package demo:lang@0.1.0"),
        "{}",
        run.stderr
    );
    assert!(!shop.exists("other/wkg.lock") && !shop.exists("other/wit/deps"));
}

#[test]
fn a_build_fetches_what_is_missing_and_says_so_unless_it_is_told_not_to() {
    let mut shop = Shop::stocked();
    shop.project("app", APP);
    shop.sandbox.write("app/out.wasm", EMPTY_COMPONENT);
    let build = "build: {command: 'true', component_path: out.wasm}\n";
    let config = shop.read("app/.wash/config.yaml");
    shop.sandbox
        .write("app/.wash/config.yaml", format!("{build}{config}"));
    let run = shop.run(&["build", "app"]).succeeded();
    assert!(
        run.stderr
            .contains("fetching what app/wit/deps lacks: demo:greet@0.1.0\n"),
        "{}",
        run.stderr
    );
    assert!(shop.exists("app/wkg.lock"));
    shop.registry.stop();
    shop.forget();
    let run = shop.run(&["build", "app"]).succeeded();
    assert!(!run.stderr.contains("fetching"), "{}", run.stderr);
    fs::remove_dir_all(shop.sandbox.path("app/wit/deps")).unwrap();
    let run = shop.run(&["build", "app"]);
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr.contains("cannot reach [REGISTRY]"),
        "{}",
        run.stderr
    );
    shop.sandbox.edit(
        "app/.wash/config.yaml",
        "wit: {",
        "wit: {skip_fetch: true, ",
    );
    assert!(!shop.run(&["build", "app"]).stderr.contains("fetching"));
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

#[test]
fn the_users_own_configuration_says_where_packages_are_and_docker_knows_the_password() {
    let shop = Shop::with(Registry::with_users(&[("ann", "s3cret")]));
    let address = shop.registry.address();
    let config = format!(
        "[namespace_registries]\ndemo = {{ registry = \"{address}\", metadata = {{ preferredProtocol = \"oci\", oci = {{ registry = \"{address}\" }} }} }}\n\n[registry.\"{address}\".oci]\nprotocol = \"http\"\n"
    );
    shop.sandbox
        .write("home/.config/wasm-pkg/config.toml", config);
    shop.sandbox.write(
        "lang/wit/lang.wit",
        format!("package demo:lang@0.1.0;\n{LANG}"),
    );
    let run = shop.wit("lang", &["publish"]);
    assert_eq!(run.code, Some(1), "{}", run.snapshot());
    assert!(
        run.stderr.contains("`docker login [REGISTRY]` keeps them"),
        "{}",
        run.stderr
    );
    // `ann:s3cret`.
    let docker = format!("{{\"auths\": {{\"{address}\": {{\"auth\": \"YW5uOnMzY3JldA==\"}}}}}}");
    shop.sandbox.write("home/.docker/config.json", docker);
    shop.wit("lang", &["publish"]).succeeded();
    shop.sandbox.write("app/wit/world.wit", BARE);
    shop.wit("app", &["add", "demo:lang"]).succeeded();
}

#[test]
fn a_registry_with_tls_is_trusted_with_its_authority_only() {
    let shop = Shop::with(Registry::with_tls());
    let url = shop.registry.url();
    let wit = format!("package demo:lang@0.1.0;\n{LANG}");
    shop.project("lang", &wit);
    let run = shop.wit("lang", &["publish"]);
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr
            .contains("cannot reach [REGISTRY]: TLS with `127.0.0.1`"),
        "{}",
        run.stderr
    );
    let ca = fs::read_to_string(shop.registry.ca()).unwrap();
    shop.sandbox.write("lang/ca.pem", &ca);
    let config =
        format!("wit: {{registries: [{{url: '{url}', namespaces: [demo], ca_file: ca.pem}}]}}\n");
    shop.sandbox.write("lang/.wash/config.yaml", config);
    shop.wit("lang", &["publish"]).succeeded();
    // As the user says it to `wkg`.
    let address = shop.registry.address();
    let config = format!(
        "[namespace_registries]\ndemo = \"{address}\"\n[registry.\"{address}\".oci]\nextra_root_certificates = [{{ encoding = \"pem\", data = \"\"\"\n{ca}\"\"\" }}]\n"
    );
    shop.sandbox
        .write("home/.config/wasm-pkg/config.toml", config);
    shop.sandbox.write("app/wit/world.wit", BARE);
    shop.wit("app", &["add", "demo:lang"]).succeeded();
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
    shop.sandbox
        .write("home/.config/wasm-pkg/config.toml", config);
    shop.sandbox.write(
        "lang/wit/lang.wit",
        format!("package demo:lang@0.1.0;\n{LANG}"),
    );
    says(&format!(
        "{{\"oci\": {{\"registry\": \"{address}\", \"namespacePrefix\": \"wit/\"}}}}"
    ));
    let published = shop.json("lang", &["publish"]);
    assert_eq!(published["registry"], name, "{published}");
    let repository = shop.registry.folder().join("repositories/wit/demo/lang");
    assert!(repository.is_dir());
    shop.sandbox.write("app/wit/world.wit", BARE);
    shop.wit("app", &["add", "demo:lang"]).succeeded();
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
        let run = shop.wit("lang", &["publish"]);
        assert_eq!(run.code, Some(1), "{}", run.snapshot());
        assert!(run.stderr.contains(wanted), "{}", run.stderr);
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
    shop.sandbox
        .write("home/.config/wasm-pkg/config.toml", config);
    let wit = |version: &str| format!("package demo:lang@{version};\n{LANG}");
    for version in ["0.1.0", "0.1.1"] {
        shop.sandbox.write("lang/wit/lang.wit", wit(version));
        shop.wit("lang", &["publish"]).succeeded();
    }
    assert!(root.join("demo/lang/0.1.1.wasm").is_file());
    shop.sandbox
        .edit("lang/wit/lang.wit", "code: string", "code: u8");
    let run = shop.wit("lang", &["publish"]);
    assert!(
        run.stderr
            .contains("disk.example has demo:lang@0.1.1 already"),
        "{}",
        run.stderr
    );
    shop.sandbox.write("app/wit/world.wit", BARE);
    let run = shop.wit("app", &["add", "demo:lang"]).succeeded();
    assert!(run.stdout.contains("demo:lang@0.1.1"), "{}", run.stdout);
    let run = shop.wit("app", &["add", "demo:greet"]);
    assert!(
        run.stderr.contains("it was looked for as the folder"),
        "{}",
        run.stderr
    );
    fs::write(root.join("demo/lang/0.1.1.wasm"), b"\0a").unwrap();
    shop.forget();
    fs::remove_dir_all(shop.sandbox.path("app/wit/deps")).unwrap();
    let run = shop.wit("app", &["fetch"]);
    assert!(run.stderr.contains("it has the digest"), "{}", run.stderr);
    // Whoever has no lock file is told what it is.
    fs::remove_file(shop.sandbox.path("app/wkg.lock")).unwrap();
    let run = shop.wit("app", &["fetch"]);
    assert!(run.stderr.contains("is no WebAssembly"), "{}", run.stderr);
}

#[test]
fn the_project_may_name_a_password_which_is_never_shown() {
    let shop = Shop::with(Registry::with_users(&[("ann", "s3cret")]));
    let config = |token: &str| {
        format!(
            "wit: {{registries: [{{url: '{}', namespaces: [demo], username: ann, token: {token}}}]}}\n",
            shop.registry.url()
        )
    };
    shop.sandbox.write(
        "lang/wit/lang.wit",
        format!("package demo:lang@0.1.0;\n{LANG}"),
    );
    shop.sandbox
        .write("lang/.wash/config.yaml", config("wr0ng"));
    let run = shop.wit("lang", &["publish", "--verbose"]);
    assert_eq!(run.code, Some(1));
    assert!(!run.snapshot().contains("wr0ng"), "{}", run.stderr);
    shop.sandbox
        .write("lang/.wash/config.yaml", config("s3cret"));
    let run = shop.wit("lang", &["publish", "--verbose"]).succeeded();
    assert!(!run.snapshot().contains("s3cret"), "{}", run.stderr);
}

#[test]
fn a_registry_that_gives_tokens_is_asked_for_one_for_each_package() {
    let shop = Shop::with(Registry::with(RegistryOptions {
        tokens: Some(test_servers::TokenOptions {
            users: vec![("ann".to_owned(), "s3cret".to_owned())],
            ..test_servers::TokenOptions::default()
        }),
        ..RegistryOptions::default()
    }));
    let docker = format!(
        "{{\"auths\": {{\"{}\": {{\"auth\": \"YW5uOnMzY3JldA==\"}}}}}}",
        shop.registry.address()
    );
    shop.sandbox.write("home/.docker/config.json", docker);
    shop.publish("lang", "0.1.0", LANG);
    shop.publish_greet("0.1.0");
    shop.project(
        "app",
        &APP.replace(
            "greeter@0.1.0;",
            "greeter@0.1.0;\n  import demo:lang/types@0.1.0;",
        ),
    );
    shop.forget();
    shop.wit("app", &["fetch"]).succeeded();
    assert!(shop.read("app/wkg.lock").contains("demo:lang"));
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
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
