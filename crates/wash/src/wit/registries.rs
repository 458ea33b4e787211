//! Which registry has a package: what the project says, what the user's own configuration of `wkg` says, and what is known anyway.

use std::env;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use wasm_pkg_common::config::{Config, RegistryMapping};
use wasm_pkg_common::metadata::{LOCAL_PROTOCOL, OCI_PROTOCOL, RegistryMetadata};
use wasm_pkg_common::registry::Registry;

use super::name::Named;
use super::place::Place;
use super::reach::{self, Reach, Said};
use super::settings::{RegistrySetting, Settings, Source};
use crate::failure::Failure;
use crate::ui::printable;

/// Names another file than the user's usual one.
const VARIABLE: &str = "WKG_CONFIG_FILE";
/// Where packages are that wash 2 knows of, where nothing else is said.
const KNOWN: [(&str, &str); 2] = [
    ("wasmcloud", "wasmcloud.com"),
    ("wrpc", "bytecodealliance.org"),
];

/// Everything that says where packages are.
#[derive(Debug)]
pub(super) struct Registries {
    settings: Settings,
    /// The folder of the project.
    dir: PathBuf,
    /// The user's own, over what `wkg` knows.
    base: Config,
}

/// The registry of a package.
#[derive(Debug)]
pub(super) struct Found {
    /// As people and lock files know it.
    pub(super) shown: String,
    /// As `wkg` knows it: its settings are found by this name.
    pub(super) name: Registry,
    /// Where it keeps packages, unless it has to be asked that.
    pub(super) keeps: Option<Keeps>,
    /// What the project says about the way there.
    said: Said,
}

/// Where a registry keeps packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Keeps {
    /// In repositories of OCI at this host, whose names begin so.
    Oci { host: String, prefix: String },
    /// In a folder.
    Folder(PathBuf),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OciMetadata {
    registry: Option<String>,
    namespace_prefix: Option<String>,
}

#[derive(Deserialize)]
struct LocalTable {
    root: PathBuf,
}

impl Registries {
    pub(super) async fn read(settings: &Settings, dir: &Path) -> Result<Self, Failure> {
        let mut base = Config::default();
        let named = env::var_os(VARIABLE).filter(|it| !it.is_empty());
        let (read, file) = match named.map(PathBuf::from) {
            Some(file) => (Config::from_file(&file).await.map(Some), Some(file)),
            None => (
                Config::read_global_config().await,
                Config::global_config_path(),
            ),
        };
        let file = file.unwrap_or_default();
        let read = read.map_err(|error| {
            let message = format!("cannot use {}: {}", file.display(), reach::told(&error));
            Failure::new(message).hint(format!(
                "it is the configuration of `wkg`; {VARIABLE} names another file"
            ))
        })?;
        if let Some(read) = read {
            base.merge(read);
        }
        Ok(Self {
            settings: settings.clone(),
            dir: dir.to_owned(),
            base,
        })
    }

    /// The registry of a package: that of the package, that of its namespace, and at last one for everything else; of each the
    /// project's before the user's.
    pub(super) fn of(&self, named: &Named) -> Result<Found, Failure> {
        let (package, namespace) = (&named.package, named.package.namespace());
        if let Some(Source::Registry(place)) = source(&self.settings, named) {
            let mut like = self.settings.registries.iter();
            let like = like.find(|it| it.place.host == place.host);
            return Ok(self.at(place, like));
        }
        let has = |it: &&RegistrySetting| {
            let namespaces = it.namespaces.as_ref();
            namespaces.is_some_and(|all| all.contains(namespace))
        };
        if let Some(setting) = self.settings.registries.iter().find(has) {
            return Ok(self.at(&setting.place, Some(setting)));
        }
        let base = &self.base;
        let mapping = base.package_registry_override(package);
        let mapping = mapping.or_else(|| base.namespace_registry(namespace));
        if let Some(mapping) = mapping {
            let (name, metadata) = match mapping {
                RegistryMapping::Registry(name) => (name, None),
                RegistryMapping::Custom(custom) => (&custom.registry, Some(&custom.metadata)),
            };
            return self.users(name, metadata);
        }
        let mut rest = self.settings.registries.iter();
        if let Some(setting) = rest.find(|it| it.namespaces.is_none()) {
            return Ok(self.at(&setting.place, Some(setting)));
        }
        if let Some(name) = base.resolve_registry(package) {
            return self.users(name, None);
        }
        let known = KNOWN.iter().find(|(name, _)| *name == namespace.as_ref());
        let known = known.and_then(|(_, registry)| registry.parse::<Registry>().ok());
        self.users(&known.ok_or_else(|| unknown(named))?, None)
    }

    /// A registry that the project names is not asked how it wants to be asked.
    fn at(&self, place: &Place, setting: Option<&RegistrySetting>) -> Found {
        let ca_file = setting.and_then(|it| it.ca_file.as_ref());
        Found {
            shown: place.to_string(),
            name: place.host.clone(),
            keeps: Some(Keeps::Oci {
                host: place.host.to_string(),
                prefix: place.prefix.clone(),
            }),
            said: Said {
                plain: place.plain.or_else(|| setting?.place.plain),
                ca_file: ca_file.map(|it| self.dir.join(it)),
                login: setting.and_then(|it| it.login.clone()),
            },
        }
    }

    /// A registry of the user's, or one that is known anyway.
    fn users(&self, name: &Registry, said: Option<&RegistryMetadata>) -> Result<Found, Failure> {
        let config = self.base.registry_config(name);
        let backend = config.and_then(|it| it.default_backend());
        let keeps = match (backend, said) {
            (Some(LOCAL_PROTOCOL), _) => {
                let table = config.map(|it| it.backend_config::<LocalTable>(LOCAL_PROTOCOL));
                let table = table.transpose().map_err(|error| {
                    let told = reach::told(&error);
                    Failure::new(format!("the configuration of `wkg` for {name}: {told}"))
                })?;
                let table = table.flatten().ok_or_else(|| {
                    let message = format!("the configuration of `wkg` names no folder for {name}");
                    Failure::new(message).hint(format!("add: [registry.\"{name}\".local] root = …"))
                })?;
                Some(Keeps::Folder(table.root))
            }
            (_, Some(said)) => Some(self.keeps(name, said)?),
            (_, None) => None,
        };
        Ok(Found {
            shown: name.to_string(),
            name: name.clone(),
            keeps,
            said: Said::default(),
        })
    }

    /// What a document about a registry comes to.
    pub(super) fn keeps(&self, name: &Registry, said: &RegistryMetadata) -> Result<Keeps, Failure> {
        let config = self.base.registry_config(name);
        let configured = config.and_then(|it| it.default_backend());
        let protocol = configured.or_else(|| said.preferred_protocol());
        match protocol.unwrap_or(OCI_PROTOCOL) {
            OCI_PROTOCOL => {}
            other => {
                let other = printable(other).into_owned();
                let message = format!(
                    "packages of {name} are had by the protocol `{other}`, which wash does not speak"
                );
                return Err(Failure::new(message)
                    .hint("it speaks `oci`; put the package into `wit/deps` by hand, or name another registry in `wit.registries`"));
            }
        }
        let oci = said.protocol_config::<OciMetadata>(OCI_PROTOCOL);
        let oci = oci.map_err(|_| {
            let message = format!("what is said about where {name} keeps packages makes no sense");
            Failure::new(message)
                .hint("`oci` in it has `registry` and `namespacePrefix`, which are texts")
        })?;
        let oci = oci.unwrap_or_default();
        Ok(Keeps::Oci {
            host: oci.registry.unwrap_or_else(|| name.to_string()),
            prefix: oci.namespace_prefix.unwrap_or_default(),
        })
    }

    /// The way to a host where a registry keeps packages, or to the registry itself.
    pub(super) fn reach(&self, found: &Found, host: &str) -> Result<Reach, Failure> {
        let asked = found.keeps.is_none() && !found.name.as_ref().eq_ignore_ascii_case(host);
        // What is said about the way to a registry does not hold for whatever host it leads to by itself.
        let other = host.parse::<Registry>().ok().filter(|_| asked);
        let way = other.as_ref().unwrap_or(&found.name);
        let config = |name| self.base.registry_config(name);
        reach::reach(host, &found.said, config(way), config(&found.name))
            .map_err(|wrong| Failure::new(format!("the configuration of `wkg` for {way}: {wrong}")))
    }
}

/// Where the project says that a package comes from.
pub(super) fn source<'a>(settings: &'a Settings, named: &Named) -> Option<&'a Source> {
    let any = Named {
        version: None,
        ..named.clone()
    };
    let sources = &settings.sources;
    sources.get(named).or_else(|| sources.get(&any))
}

fn unknown(named: &Named) -> Failure {
    let namespace = named.package.namespace();
    let message = format!(
        "nothing says which registry has {named}: neither `wit.registries` nor `wit.sources` in .wash/config.yaml, nor the configuration of `wkg`"
    );
    Failure::new(message).hint(format!(
        "add to .wash/config.yaml: wit: {{registries: [{{url: https://REGISTRY, namespaces: [{namespace}]}}]}}"
    ))
}

#[cfg(test)]
mod tests {
    use wasmcloud::workload::decode_yaml;

    use super::super::settings::RawWit;
    use super::*;

    fn registries(project: &str, user: &str) -> Registries {
        let file = Path::new("config.yaml");
        let raw: RawWit = decode_yaml(project, file).unwrap();
        let mut base = Config::default();
        base.merge(Config::from_toml(user).unwrap());
        Registries {
            settings: raw.read(project, file).unwrap(),
            dir: PathBuf::from("app"),
            base,
        }
    }

    fn found(registries: &Registries, package: &str) -> Result<Found, String> {
        let named = Named {
            package: package.parse().unwrap(),
            version: Some("0.1.0".parse().unwrap()),
        };
        registries.of(&named).map_err(|error| error.message())
    }

    fn of(registries: &Registries, package: &str) -> String {
        found(registries, package).map_or_else(|error| error, |found| found.shown)
    }

    fn oci(host: &str, prefix: &str) -> Keeps {
        Keeps::Oci {
            host: host.to_owned(),
            prefix: prefix.to_owned(),
        }
    }

    #[test]
    fn the_nearest_word_about_a_package_counts() {
        let all = registries(
            "registries:\n- {url: 'http://own.example', namespaces: [demo]}\n- {url: rest.example}\nsources: {'demo:x': 'oci://special.example/p/demo/x'}\n",
            "default_registry = \"u.example\"\n[namespace_registries]\nuser = \"user.example\"\ndemo = \"no.example\"\n",
        );
        assert_eq!(of(&all, "demo:x"), "special.example/p");
        assert_eq!(of(&all, "demo:y"), "own.example");
        assert_eq!(of(&all, "user:y"), "user.example");
        assert_eq!(of(&all, "other:y"), "rest.example");
        let user = registries("", "default_registry = \"u.example\"\n");
        assert_eq!(of(&user, "other:y"), "u.example");
    }

    #[test]
    fn what_nothing_is_said_of_is_an_error_with_an_example() {
        let none = registries("", "");
        assert_eq!(of(&none, "wasi:http"), "wasi.dev");
        assert_eq!(of(&none, "wasmcloud:messaging"), "wasmcloud.com");
        assert!(of(&none, "demo:x").contains("nothing says which registry has demo:x@0.1.0"));
    }

    #[test]
    fn only_the_registry_that_says_so_is_asked_without_tls() {
        let all = registries(
            "registries:\n- {url: 'http://own.example', namespaces: [demo], username: ann, token: s3cret}\n- {url: other.example, ca_file: ca.pem}\n",
            "[registry.\"own.example\".oci]\nprotocol = \"https\"\n",
        );
        let found = found(&all, "demo:x").unwrap();
        let reach = all.reach(&found, "own.example").unwrap();
        assert!(reach.way.plain && reach.login.is_some());
        assert!(!format!("{found:?}{all:?}{reach:?}").contains("s3cret"));
        let other = self::found(&all, "other:x").unwrap();
        let reach = all.reach(&other, "other.example").unwrap();
        assert!(!reach.way.plain && reach.login.is_none());
        assert_eq!(reach.way.ca_files, [Path::new("app/ca.pem")]);
    }

    #[test]
    fn a_registry_keeps_packages_where_the_user_or_it_itself_says() {
        let all = registries(
            "",
            "[namespace_registries]\n\
             here = { registry = \"x.example\", metadata = { oci = { registry = \"ghcr.io\", namespacePrefix = \"acme/\" } } }\n\
             old = { registry = \"x.example\", metadata = { warg = { url = \"https://x\" } } }\n\
             disk = \"disk.example\"\nasked = \"x.example\"\n\
             [registry.\"disk.example\".local]\nroot = \"/srv/wit\"\n\
             [registry.\"x.example\".oci]\nprotocol = \"http\"\nauth = \"YW5uOnMzY3JldA==\"\n",
        );
        assert_eq!(
            found(&all, "here:x").unwrap().keeps,
            Some(oci("ghcr.io", "acme/"))
        );
        assert_eq!(
            found(&all, "disk:x").unwrap().keeps,
            Some(Keeps::Folder("/srv/wit".into()))
        );
        let asked = found(&all, "asked:x").unwrap();
        assert_eq!(asked.keeps, None);
        let said = serde_json::from_str(r#"{"ociRegistry": "other.example"}"#).unwrap();
        let keeps = all.keeps(&asked.name, &said).unwrap();
        assert_eq!(keeps, oci("other.example", ""));
        // It may lead elsewhere, but not without TLS.
        assert!(all.reach(&asked, "x.example").unwrap().way.plain);
        let reach = all.reach(&asked, "other.example").unwrap();
        assert!(!reach.way.plain && reach.login.is_some());
        // The same registry without a word of the user's about its protocol.
        let none = registries(
            "",
            "[namespace_registries]\nold = { registry = \"x.example\", metadata = { warg = { url = \"https://x\" } } }\n",
        );
        let wrong = found(&none, "old:x").unwrap_err();
        assert!(wrong.contains("had by the protocol `warg`"), "{wrong}");
        let wrong = serde_json::from_str(r#"{"oci": {"registry": 7}}"#).unwrap();
        assert!(none.keeps(&asked.name, &wrong).is_err());
    }
}
