//! `.wash/config.yaml`: what it says, checked. What cannot be served is an error at its place, never ignored.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use serde_saphyr::Spanned;
use wasmcloud::capability::postgres::ServerUrl;
use wasmcloud::config::{HostPlugins, ImagesSection, WrittenImages};
use wasmcloud::host::PluginComponent;
use wasmcloud::registry::ImageOptions;
use wasmcloud::workload::{
    ComponentName, Diagnostic, Diagnostics, HostInterface, Reuse, decode_yaml,
};

use super::part::{Part, Written};
use super::resources::{self, Folder, Reach};
use super::service::{self, ServiceSettings};
use super::{only_one, raw};
use crate::failure::Failure;
use crate::images;

/// The names of the file, the usual one first. TOML is read by wash 2 and refused here.
const NAMES: [&str; 4] = [
    ".wash/config.yaml",
    ".wash/config.yml",
    ".wash/config.json",
    ".wash/config.toml",
];

/// What the file says; everything may be missing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    build: Command,
    dev: Command,
    /// Environment variables of the build.
    pub(crate) build_env: BTreeMap<String, String>,
    /// Where `wash dev` listens.
    pub(crate) address: Option<SocketAddr>,
    /// Components that run beside the project's own.
    pub(crate) components: Vec<Sidecar>,
    /// Which component is the service, and where it can be reached.
    pub(crate) service: ServiceSettings,
    /// Environment variables of the project's own components.
    pub(crate) environment: BTreeMap<String, String>,
    /// What `wasi:config` answers the project's own components.
    pub(crate) config: BTreeMap<String, String>,
    /// What is granted besides what the components show.
    pub(crate) host_interfaces: Vec<HostInterface>,
    /// What of the outside the project's own components may reach.
    pub(crate) reach: Reach,
    /// Folders that they see.
    pub(crate) volumes: Vec<Folder>,
    /// Networks that components may reach besides public ones.
    pub(crate) allow_egress: Vec<IpNet>,
    /// Components that are plugins of the host.
    pub(crate) host_plugins: Vec<PluginComponent>,
    /// Where packages of WIT come from.
    pub(crate) wit: crate::wit::Settings,
    /// How images are come by.
    pub(crate) images: Option<ImagesSection>,
    /// The server of PostgreSQL for components that name none.
    pub(crate) postgres_url: Option<ServerUrl>,
}

#[derive(Clone, Debug, Default)]
struct Command {
    command: Option<String>,
    component: Option<PathBuf>,
}

/// A component that runs beside the project's own.
#[derive(Clone, Debug)]
pub(crate) struct Sidecar {
    pub(crate) name: ComponentName,
    pub(crate) part: Part,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) reach: Reach,
    pub(crate) reuse: Reuse,
}

impl Config {
    /// Reads the file of a project. `manifest` is the project's manifest, beside which some settings would have no effect.
    pub(super) fn load(dir: &Path, manifest: Option<&Path>) -> Result<Self, Failure> {
        let Some(file) = only_one(dir, NAMES)? else {
            return Ok(Self::default());
        };
        if file
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let message = format!("{}: TOML is not read", file.display());
            return Err(
                Failure::new(message).hint("write the same keys as YAML into .wash/config.yaml")
            );
        }
        let text = fs::read_to_string(&file)
            .map_err(|error| Failure::io("cannot read", file.display(), &error))?;
        let root: raw::Root = decode_yaml(&text, &file).map_err(served_only)?;
        let mut checker = Checker {
            file: file.into(),
            source: text.into(),
            problems: Vec::new(),
        };
        let config = checker.config(root, dir, manifest);
        if checker.problems.is_empty() {
            Ok(config)
        } else {
            checker
                .problems
                .sort_by_key(|problem| (problem.line, problem.column));
            Err(checker.problems.into())
        }
    }

    /// How images are come by: as the user's programs for containers do, and as the file says.
    pub(crate) fn images(&self) -> ImageOptions {
        let mut options = images::usual();
        if let Some(section) = &self.images {
            section.apply(&mut options);
        }
        options
    }

    /// The components that it names beside the project's own.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        let sidecars = self.components.iter().map(|sidecar| &sidecar.part);
        sidecars.chain(&self.service.named)
    }

    /// The user's own command for building and what it leaves behind; with `dev`, that of `wash dev` comes first.
    pub(super) fn command(&self, dev: bool) -> Option<(&str, Option<&Path>)> {
        let special = Some(&self.dev).filter(|_| dev);
        let command = special
            .and_then(|dev| dev.command.as_deref())
            .or(self.build.command.as_deref())?;
        let component = special
            .and_then(|dev| dev.component.as_deref())
            .or(self.build.component.as_deref());
        Some((command, component))
    }
}

/// Gathers everything that is wrong with the file.
pub(super) struct Checker {
    file: Arc<Path>,
    source: Arc<str>,
    problems: Vec<Diagnostic>,
}

impl Checker {
    pub(super) fn error<T>(&mut self, at: &Spanned<T>, message: impl Into<String>, hint: &str) {
        let number = |number| u32::try_from(number).unwrap_or(1);
        let (line, column) = (number(at.referenced.line()), number(at.referenced.column()));
        let problem = Diagnostic::new(message)
            .in_file(Arc::clone(&self.file))
            .with_source(Arc::clone(&self.source));
        self.problems.push(problem.at(line, column).with_hint(hint));
    }

    fn refuse<T>(&mut self, table: &str, keys: &[(&str, &Spanned<T>)]) {
        for (key, at) in keys {
            self.error(
                *at,
                format!("`{table}{key}` is not supported yet"),
                "remove it; it would have no effect",
            );
        }
    }

    fn config(&mut self, root: raw::Root, dir: &Path, manifest: Option<&Path>) -> Config {
        self.refuse("", &root.refused());
        let raw::Root {
            build,
            dev,
            host,
            images,
            wit,
            workload,
            ..
        } = root;
        let (build, mut dev) = (build.unwrap_or_default(), dev.unwrap_or_default());
        self.refuse("build.", &build.refused());
        self.refuse("dev.", &dev.refused());
        let host = host.unwrap_or_default();
        self.refuse("host.", &host.refused());
        let plugins = [dev.host_plugins.take(), host.host_plugins];
        if let Some(manifest) = manifest {
            self.beside_manifest(&dev, workload.as_ref(), manifest);
        }
        self.component_paths(&build, &dev);
        let service = service::settings(self, &dev);
        let workload = workload
            .map(|workload| self.workload(workload.value))
            .unwrap_or_default();
        let mut environment = workload.environment.config;
        environment.extend(
            dev.environment
                .map(|environment| environment.value)
                .unwrap_or_default(),
        );
        let components = dev.components.map(|list| list.value).unwrap_or_default();
        let volumes = dev.volumes.map(|list| list.value).unwrap_or_default();
        let host_interfaces = dev
            .host_interfaces
            .map(|list| list.value)
            .unwrap_or_default();
        Config {
            build: Command {
                command: text(build.command),
                component: text(build.component_path).map(PathBuf::from),
            },
            dev: Command {
                command: text(dev.command),
                component: text(dev.component_path).map(PathBuf::from),
            },
            build_env: build.env,
            address: dev.address.and_then(|address| self.address(&address)),
            components: components
                .into_iter()
                .filter_map(|component| self.sidecar(component))
                .collect(),
            service,
            environment,
            config: workload.config,
            host_interfaces: host_interfaces.into_iter().map(|entry| entry.0).collect(),
            reach: resources::reach(
                self,
                &workload.allowed_hosts,
                &workload.allowed_ip_name_lookups,
                &workload.allowed_host_loopback_ports,
            ),
            volumes: resources::folders(self, dir, &volumes),
            allow_egress: resources::networks(self, &dev.allow_egress),
            host_plugins: self.host_plugins(plugins, dir),
            postgres_url: dev.postgres_url.and_then(|url| self.postgres(&url)),
            images: images.and_then(|images| self.images(images, dir)),
            wit: self.wit(wit.unwrap_or_default()),
        }
    }

    /// A component is named where a command makes it.
    fn component_paths(&mut self, build: &raw::Build, dev: &raw::Dev) {
        if let (Some(path), None) = (
            &dev.component_path,
            dev.command.as_ref().or(build.command.as_ref()),
        ) {
            self.error(
                path,
                "`dev.component_path` has no effect without a command",
                "set `dev.command` or `build.command`, or remove it",
            );
        }
        if let (Some(path), None) = (
            &build.component_path,
            build.command.as_ref().or(dev.command.as_ref()),
        ) {
            self.error(
                path,
                "`build.component_path` has no effect without a command",
                "set `build.command`, or remove it",
            );
        }
    }

    fn wit(&mut self, raw: crate::wit::RawWit) -> crate::wit::Settings {
        match raw.read(&self.source, &self.file) {
            Ok(settings) => settings,
            Err(wrong) => {
                self.problems.extend(wrong.0);
                crate::wit::Settings::default()
            }
        }
    }

    fn images(&mut self, written: WrittenImages, dir: &Path) -> Option<ImagesSection> {
        match written.read(&self.source, &self.file, dir) {
            Ok(images) => Some(images),
            Err(wrong) => {
                self.problems.extend(wrong.0);
                None
            }
        }
    }

    /// The plugins of both lists; one that is in both is an error.
    fn host_plugins(
        &mut self,
        lists: [Option<HostPlugins>; 2],
        dir: &Path,
    ) -> Vec<PluginComponent> {
        let all = lists.into_iter().flatten().reduce(|mut all, more| {
            all.extend(more);
            all
        });
        let read = all.map(|all| all.read(&self.source, &self.file, dir));
        read.unwrap_or_else(|| Ok(Vec::new()))
            .unwrap_or_else(|wrong| {
                self.problems.extend(wrong.0);
                Vec::new()
            })
    }

    /// Settings that describe a workload have no effect where a manifest describes it.
    fn beside_manifest(
        &mut self,
        dev: &raw::Dev,
        workload: Option<&Spanned<raw::Workload>>,
        manifest: &Path,
    ) {
        let file = manifest
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let hint = format!("move it into {file}, which says what runs here");
        let mut refuse = |key: &str, at: Option<(u64, u64)>| {
            if let Some((line, column)) = at {
                let number = |number| u32::try_from(number).unwrap_or(1);
                let problem = Diagnostic::new(format!("`{key}` has no effect beside {file}"))
                    .in_file(Arc::clone(&self.file));
                let problem = problem
                    .with_source(Arc::clone(&self.source))
                    .at(number(line), number(column));
                self.problems.push(problem.with_hint(hint.as_str()));
            }
        };
        refuse("dev.components", dev.components.as_ref().map(place));
        refuse("dev.environment", dev.environment.as_ref().map(place));
        refuse(
            "dev.host_interfaces",
            dev.host_interfaces.as_ref().map(place),
        );
        refuse("dev.volumes", dev.volumes.as_ref().map(place));
        refuse("dev.service", dev.service.as_ref().map(place));
        refuse("dev.service_file", dev.service_file.as_ref().map(place));
        refuse("dev.service_image", dev.service_image.as_ref().map(place));
        refuse("dev.service_ports", dev.service_ports.as_ref().map(place));
        refuse("workload", workload.map(place));
    }

    fn workload(&mut self, workload: raw::Workload) -> raw::Workload {
        self.refuse("workload.", &workload.refused());
        self.refuse("workload.environment.", &workload.environment.refused());
        workload
    }

    fn address(&mut self, address: &Spanned<String>) -> Option<SocketAddr> {
        let parsed = address.value.parse();
        if parsed.is_err() {
            let message = format!("`{}` is no address to listen on", address.value);
            self.error(
                address,
                message,
                "write an IP address and a port, such as 127.0.0.1:8000",
            );
        }
        parsed.ok()
    }

    /// A URL is secret: what is wrong with it is told without it, and without its line.
    fn postgres(&mut self, url: &Spanned<String>) -> Option<ServerUrl> {
        let parsed: Result<ServerUrl, _> = url.value.parse();
        if let Err(error) = &parsed {
            let (line, column) = place(url);
            let number = |number| u32::try_from(number).unwrap_or(1);
            let problem = Diagnostic::new(format!("`dev.postgres_url`: {error}"));
            let problem = problem.in_file(Arc::clone(&self.file));
            self.problems.push(problem.at(number(line), number(column)));
        }
        parsed.ok()
    }

    fn sidecar(&mut self, component: Spanned<raw::Component>) -> Option<Sidecar> {
        self.refuse("dev.components[].", &component.value.refused());
        let reach = resources::reach(
            self,
            &component.value.allowed_hosts,
            &component.value.allowed_ip_name_lookups,
            &component.value.allowed_host_loopback_ports,
        );
        let reuse = resources::reuse(self, &component.value);
        let raw::Component {
            name,
            file,
            image,
            pull_policy,
            environment,
            config,
            ..
        } = &component.value;
        let Some(name) = name else {
            self.error(&component, "the component has no `name`", "add one");
            return None;
        };
        let parsed: Result<ComponentName, _> = name.value.parse();
        if let Err(error) = &parsed {
            self.error(name, error.to_string(), "choose another name");
        }
        if file.is_none() && image.is_none() {
            self.error(
                &component,
                "the component has neither `file` nor `image`",
                "add the path of a `.wasm` file, or the place of an image",
            );
        }
        let written = Written {
            file: ("file", file.as_ref()),
            image: ("image", image.as_ref()),
            policy: ("pullPolicy", pull_policy.as_ref()),
        };
        let part = written.read(self);
        Some(Sidecar {
            name: parsed.ok()?,
            part: part?,
            environment: environment.clone(),
            config: config.clone(),
            reach,
            reuse,
        })
    }
}

/// Takes keys that would be refused out of the hints about unknown ones.
fn served_only(mut problems: Diagnostics) -> Diagnostics {
    const LIST: &str = "known here: ";
    let tables = [
        raw::Root::REFUSED,
        raw::Build::REFUSED,
        raw::Dev::REFUSED,
        raw::Host::REFUSED,
        raw::Component::REFUSED,
        raw::Workload::REFUSED,
        raw::Environment::REFUSED,
    ];
    let refused = tables.concat();
    for hint in problems
        .0
        .iter_mut()
        .filter_map(|problem| problem.hint.as_mut())
    {
        if let Some((before, known)) = hint.split_once(LIST) {
            let served = known
                .split(", ")
                .filter(|key| !refused.contains(&key.trim_matches('`')));
            *hint = format!("{before}{LIST}{}", served.collect::<Vec<_>>().join(", "));
        }
    }
    problems
}

fn text(value: Option<Spanned<String>>) -> Option<String> {
    value.map(|value| value.value)
}

fn place<T>(value: &Spanned<T>) -> (u64, u64) {
    (value.referenced.line(), value.referenced.column())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, manifest: bool) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(".wash")).unwrap();
        fs::write(dir.path().join(".wash/config.yaml"), text).unwrap();
        let manifest = manifest.then_some(Path::new("workload.yaml"));
        let prefix = format!("{}/", dir.path().display());
        Config::load(dir.path(), manifest).map_err(|failure| failure.message().replace(&prefix, ""))
    }

    #[test]
    fn what_is_served_is_read() {
        let config = load(
            "version: '1'\nbuild: {command: make, env: {A: b}, component_path: x.wasm}\n\
             dev:\n  address: 127.0.0.1:9000\n  environment: {K: dev}\n  host_interfaces:\n  - wasi:http/incoming-handler@0.2.2\n  \
             - {namespace: wasi, package: config, interfaces: [store]}\n  components:\n  - {name: side, file: side.wasm, config: {a: b}}\n\
             workload: {environment: {config: {K: workload, L: l}}, config: {c: d}}\n",
            false,
        )
        .unwrap();
        assert_eq!(
            config.command(false),
            Some(("make", Some(Path::new("x.wasm"))))
        );
        assert_eq!(config.build_env["A"], "b");
        assert_eq!(config.address.unwrap().port(), 9000);
        assert_eq!(
            config.environment,
            BTreeMap::from([
                ("K".to_owned(), "dev".to_owned()),
                ("L".to_owned(), "l".to_owned())
            ])
        );
        assert_eq!(
            (
                config.components[0].name.as_str(),
                config.config["c"].as_str()
            ),
            ("side", "d")
        );
        let shown: Vec<String> = config
            .host_interfaces
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            shown,
            ["wasi:http/incoming-handler@0.2.2", "wasi:config/store"]
        );
    }

    #[test]
    fn the_url_of_a_database_is_read_and_never_told() {
        let config = load(
            "dev:\n  postgres_url: postgres://ann:s3cret@127.0.0.1:5432\n",
            false,
        )
        .unwrap();
        assert!(config.postgres_url.is_some());
        assert!(!format!("{config:?}").contains("s3cret"));
        let error = load("dev:\n  postgres_url: mysql://ann:s3cret@h\n", false).unwrap_err();
        assert!(
            error.contains(".wash/config.yaml:2:17: `dev.postgres_url`: wanted a URL such as"),
            "{error}"
        );
        assert!(!error.contains("s3cret"), "{error}");
    }

    #[test]
    fn a_key_that_is_not_served_is_refused_at_its_place() {
        let error = load(
            "dev:\n  wasi_keyvalue_path: /tmp\n  wasi_otel: true\nnew: {}\n",
            false,
        )
        .unwrap_err();
        assert!(
            error.contains(".wash/config.yaml:2:23: `dev.wasi_keyvalue_path` is not supported yet"),
            "{error}"
        );
        assert!(
            error.contains(":3:14: `dev.wasi_otel` is not supported yet"),
            "{error}"
        );
        assert!(
            error.contains(":4:6: `new` is not supported yet"),
            "{error}"
        );
    }

    #[test]
    fn components_come_from_files_or_from_registries() {
        let config = load(
            "dev:\n  service_image: r.example/pool:1\n  service_pull_policy: Never\n  components:\n  \
             - {name: side, image: 'r.example/side@sha256:0000000000000000000000000000000000000000000000000000000000000000', pullPolicy: Always}\n  \
             - {name: file, file: side.wasm}\n",
            false,
        )
        .unwrap();
        let shown = |part: &Part| format!("{part} {:?}", part.pull.policy.map(|it| it.as_str()));
        let parts = config.components.iter().map(|sidecar| &sidecar.part);
        let parts: Vec<String> = parts.chain(&config.service.named).map(shown).collect();
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(
            parts,
            [
                format!("r.example/side@{digest} Some(\"Always\")"),
                "side.wasm None".to_owned(),
                "r.example/pool:1 Some(\"Never\")".to_owned(),
            ]
        );
    }

    #[test]
    fn what_is_wrong_with_where_a_component_comes_from_is_told_with_its_place() {
        let error = load(
            "dev:\n  service_image: r.example/POOL\n  service_pull_policy: Often\n  components:\n  \
             - {name: a}\n  - {name: b, file: b, image: r.example/b}\n  - {name: c, file: c, pullPolicy: Never}\n",
            false,
        )
        .unwrap_err();
        for told in [
            ":2:18: `r.example/POOL`",
            ":3:24: `Often`",
            ":5:5: the component has neither `file` nor `image`",
            ":6:31: both `file` and `image` are given",
            ":7:36: `pullPolicy` is for `image`; a file is always read",
        ] {
            assert!(error.contains(told), "{told}: {error}");
        }
        let error = load("dev: {service_image: r.example/a:1}\n", true).unwrap_err();
        assert!(
            error.contains("`dev.service_image` has no effect beside workload.yaml"),
            "{error}"
        );
        let both = load(
            "dev: {service: true, service_image: r.example/a:1}\n",
            false,
        )
        .unwrap_err();
        assert!(
            both.contains("`dev.service_image` names another one"),
            "{both}"
        );
    }

    #[test]
    fn a_typo_gets_the_nearest_key() {
        let error = load("dev:\n  adress: 127.0.0.1:1\n", false).unwrap_err();
        assert!(
            error.contains(".wash/config.yaml:2:3: unknown field `adress`"),
            "{error}"
        );
        let hint = "did you mean `address`? known here: `command`, `component_path`, `address`, `components`, `environment`, `host_interfaces`, `volumes`, `allow_egress`, `postgres_url`, `service`, `service_file`, `service_image`, `service_pull_policy`, `service_ports`, `host_plugins`";
        assert!(error.ends_with(hint), "{error}");
    }

    #[test]
    fn what_would_have_no_effect_is_an_error() {
        let error = load("dev:\n  environment: {A: b}\n", true).unwrap_err();
        assert!(
            error.contains("`dev.environment` has no effect beside workload.yaml"),
            "{error}"
        );
        assert!(
            load("build: {component_path: a.wasm}\n", false)
                .unwrap_err()
                .contains("no effect without a command")
        );
        assert!(
            load("dev: {address: nine}\n", false)
                .unwrap_err()
                .contains("`nine` is no address")
        );
    }

    #[test]
    fn an_empty_file_says_nothing() {
        assert!(load("", true).unwrap().components.is_empty());
    }
}
