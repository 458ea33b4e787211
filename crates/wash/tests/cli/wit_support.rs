//! What the tests of `wash wit` have in common: a registry, projects that know it, and the WIT they are about.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use test_servers::Registry;

use crate::support::{Run, Sandbox};

pub(crate) const LANG: &str =
    "/// Languages.\ninterface types {\n  record lang { code: string }\n}\n";
pub(crate) const GREET: &str = "interface greeter {\n  use demo:lang/types@0.1.0.{lang};\n  greet: func(name: string, lang: lang) -> string;\n}\ninterface other {}\nworld both {\n  import greeter;\n  import other;\n}\n";
pub(crate) const APP: &str =
    "package demo:app;\n\n// Mine.\nworld app {\n  import demo:greet/greeter@0.1.0;\n}\n";
pub(crate) const BARE: &str = "package demo:app;\n\nworld app {}\n";

/// A user with a password. `Shop::docker_login` has Docker know both.
pub(crate) const ANN: (&str, &str) = ("ann", "s3cret");

/// The text of the package `demo:NAME@VERSION`.
pub(crate) fn package(name: &str, version: &str, wit: &str) -> String {
    format!("package demo:{name}@{version};\n{wit}")
}

/// `APP` with one more import.
pub(crate) fn app_importing(more: &str) -> String {
    APP.replace(
        "greeter@0.1.0;",
        &format!("greeter@0.1.0;\n  import {more};"),
    )
}

/// A registry, a folder for projects, and a home without any settings of whoever runs the tests.
pub(crate) struct Shop {
    pub(crate) registry: Registry,
    pub(crate) sandbox: Sandbox,
}

impl Shop {
    pub(crate) fn new() -> Self {
        Self::with(Registry::start())
    }

    pub(crate) fn with(registry: Registry) -> Self {
        Self {
            registry,
            sandbox: Sandbox::new(),
        }
    }

    /// One that has `demo:lang@0.1.0` and `demo:greet@0.1.0`, which uses it.
    pub(crate) fn stocked() -> Self {
        let shop = Self::new();
        shop.publish("lang", "0.1.0", LANG);
        shop.publish_greet("0.1.0");
        shop
    }

    /// A stocked one with the project `app`, which needs both packages.
    pub(crate) fn with_app() -> Self {
        let shop = Self::stocked();
        shop.project("app", APP);
        shop
    }

    /// The same after `app` has fetched them.
    pub(crate) fn fetched() -> Self {
        let shop = Self::with_app();
        shop.fetch().succeeded();
        shop
    }

    pub(crate) fn run(&self, args: &[&str]) -> Run {
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
        Run {
            code: run.code,
            stdout: self.plain(&run.stdout),
            stderr: self.plain(&run.stderr),
        }
    }

    /// A text without what is different each time: ports, and the widths of columns.
    fn plain(&self, text: &str) -> String {
        let text = text.replace(&self.registry.address(), "[REGISTRY]");
        let lines = text.lines().map(|line| {
            let cells = line.split("  ").filter(|it| !it.is_empty());
            let cells = cells.map(str::trim_start).collect::<Vec<_>>();
            format!("{}\n", cells.join("  "))
        });
        lines.collect()
    }

    /// Runs `wash wit` in a project.
    pub(crate) fn wit(&self, project: &str, args: &[&str]) -> Run {
        let mut all = vec!["wit"];
        all.extend(args);
        all.extend(["--dir", project]);
        self.run(&all)
    }

    /// Has `app` fetch what it needs.
    pub(crate) fn fetch(&self) -> Run {
        self.wit("app", &["fetch"])
    }

    /// Has the project `lang` publish its package.
    pub(crate) fn publish_lang(&self) -> Run {
        self.wit("lang", &["publish"])
    }

    pub(crate) fn json(&self, project: &str, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        all.extend(["--output", "json"]);
        self.wit(project, &all).json()
    }

    /// Makes a project with this WIT, which knows the registry.
    pub(crate) fn project(&self, name: &str, wit: &str) {
        self.sandbox.write(&format!("{name}/wit/world.wit"), wit);
        self.know_registry(name, "");
    }

    /// Makes the project `lang`, which has no configuration of its own.
    pub(crate) fn lang_alone(&self, version: &str) {
        self.sandbox
            .write("lang/wit/lang.wit", package("lang", version, LANG));
    }

    /// Has a project know the registry, with more said about it: nothing, or `, KEY: VALUE` as often as it takes.
    pub(crate) fn know_registry(&self, project: &str, more: &str) {
        let url = self.registry.url();
        let config = format!("wit: {{registries: [{{url: '{url}', namespaces: [demo]{more}}}]}}\n");
        self.config(project, &config);
    }

    /// Writes the configuration of a project.
    pub(crate) fn config(&self, project: &str, text: &str) {
        self.sandbox
            .write(&format!("{project}/.wash/config.yaml"), text);
    }

    /// Writes the configuration of `wkg` that the user has.
    pub(crate) fn wkg_config(&self, text: &str) {
        self.sandbox
            .write("home/.config/wasm-pkg/config.toml", text);
    }

    /// Has Docker know Ann's password for the registry.
    pub(crate) fn docker_login(&self) {
        let address = self.registry.address();
        // `ann:s3cret`.
        let docker =
            format!("{{\"auths\": {{\"{address}\": {{\"auth\": \"YW5uOnMzY3JldA==\"}}}}}}");
        self.sandbox.write("home/.docker/config.json", docker);
    }

    /// Publishes a package from a project of its own, if it may be.
    pub(crate) fn offer(&self, name: &str, version: &str, wit: &str) -> Run {
        let project = format!("{name}-{version}");
        self.project(&project, &package(name, version, wit));
        self.wit(&project, &["publish"])
    }

    pub(crate) fn publish(&self, name: &str, version: &str, wit: &str) {
        self.offer(name, version, wit).succeeded();
    }

    pub(crate) fn publish_greet(&self, version: &str) {
        self.publish("greet", version, GREET);
    }

    /// Adds `demo:lang` to a project `app` that has no configuration of its own.
    pub(crate) fn add_lang(&self) -> Run {
        self.sandbox.write("app/wit/world.wit", BARE);
        self.wit("app", &["add", "demo:lang"])
    }

    pub(crate) fn read(&self, name: &str) -> String {
        self.sandbox.read(name)
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.sandbox.path(name).exists()
    }

    /// Throws away what was downloaded.
    pub(crate) fn forget(&self) {
        let _ = fs::remove_dir_all(self.sandbox.path("cache/wash/wit"));
    }

    /// Stops the registry and throws away what was downloaded from it.
    pub(crate) fn cut_off(&mut self) {
        self.registry.stop();
        self.forget();
    }

    /// Removes the packages that `app` has in its folder.
    pub(crate) fn remove_deps(&self) {
        fs::remove_dir_all(self.sandbox.path("app/wit/deps")).unwrap();
    }

    /// The digest that a lock file has of a package.
    pub(crate) fn pinned(&self, project: &str, package: &str) -> String {
        let lock = self.read(&format!("{project}/wkg.lock"));
        let (_, rest) = lock
            .split_once(&format!("name = \"demo:{package}\""))
            .unwrap();
        let (_, rest) = rest.split_once("digest = \"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        self.registry.blob(digest)
    }
}
