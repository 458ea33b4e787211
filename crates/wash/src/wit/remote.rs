//! Asks registries for packages, and gives packages to them. The only file that knows how they are spoken with.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use wasm_pkg_common::metadata::RegistryMetadata;
use wasm_pkg_common::package::Version;
use wasmcloud::registry::{
    Access, Credentials, ImageOptions, Keychain, NewPackage, PublishError, Registries as Client,
    RegistryError, RegistryErrorKind, RegistrySettings,
};
use wasmcloud::workload::{Digest, Reference};

use super::local::Folder;
use super::name::Named;
use super::reach::Way;
use super::registries::{Found, Keeps, Registries};
use super::settings::Settings;
use crate::failure::Failure;
use crate::ui::printable;

/// The largest package that is taken: they are texts.
pub(super) const MOST_BYTES: u64 = 16 << 20;
/// How long a registry may take to send or to take a package.
const LONGEST: Duration = Duration::from_secs(300);
/// How much of somebody's text a message repeats.
const MOST_TOLD: usize = 600;

/// All registries.
pub(super) struct Remote {
    registries: Registries,
    known: Mutex<Known>,
}

/// What is found out once.
#[derive(Default)]
struct Known {
    /// Registries that are spoken with in the same way share connections. What lets one in is kept with each package.
    clients: BTreeMap<Way, Client>,
    homes: BTreeMap<Named, Arc<Home>>,
    /// What registries have said about where they keep packages.
    told: BTreeMap<String, Keeps>,
}

/// Where a package is.
struct Home {
    asked: Asked,
    at: At,
}

/// What is asked for, and who is asked.
struct Asked {
    named: Named,
    /// The registry, as people know it.
    shown: String,
}

enum At {
    Repository {
        client: Client,
        access: Box<Access>,
        package: Reference,
    },
    Folder(Folder),
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("registries", &self.registries)
            .finish_non_exhaustive()
    }
}

impl Remote {
    pub(super) async fn new(settings: &Settings, dir: &Path) -> Result<Self, Failure> {
        Ok(Self {
            registries: Registries::read(settings, dir).await?,
            known: Mutex::default(),
        })
    }

    /// The registry that has a package, as people know it.
    pub(super) fn place(&self, named: &Named) -> Result<String, Failure> {
        Ok(self.registries.of(named)?.shown)
    }

    /// All versions of a package, the oldest first. A package that is not there is an error.
    pub(super) async fn versions(&self, named: &Named) -> Result<Vec<Version>, Failure> {
        let home = self.home(named).await?;
        home.versions().await?.ok_or_else(|| home.missing())
    }

    /// All versions of a package that may not be there.
    pub(super) async fn any_versions(&self, named: &Named) -> Result<Vec<Version>, Failure> {
        let home = self.home(named).await?;
        Ok(home.versions().await?.unwrap_or_default())
    }

    /// The digest of the content that a version has now, if there is such a version.
    pub(super) async fn digest(
        &self,
        named: &Named,
        version: &Version,
    ) -> Result<Option<Digest>, Failure> {
        let home = self.home(named).await?;
        match &home.at {
            At::Folder(folder) => Ok(folder.content(version)?.map(|bytes| Digest::of(&bytes))),
            At::Repository {
                client,
                access,
                package,
            } => {
                let release = client.package_release(package, version, access).await;
                let release = release
                    .map_err(|error| home.asked.explain("say what its content is", &error))?;
                Ok(release.map(|it| it.digest))
            }
        }
    }

    /// The content with a digest, which once was that of a version.
    pub(super) async fn content(
        &self,
        named: &Named,
        version: &Version,
        digest: Digest,
    ) -> Result<Vec<u8>, Failure> {
        let home = self.home(named).await?;
        match &home.at {
            At::Folder(folder) => {
                let bytes = folder.content(version)?.ok_or_else(|| home.missing())?;
                let found = Digest::of(&bytes);
                if found == digest {
                    return Ok(bytes);
                }
                Err(home
                    .asked
                    .wrong_content(&format!("it has the digest {found}, not {digest}")))
            }
            At::Repository {
                client,
                access,
                package,
            } => {
                let content = client.package_content(package, digest, access).await;
                let content = content.map_err(|error| home.asked.explain("send it", &error))?;
                Ok(content.to_vec())
            }
        }
    }

    /// Gives a package to its registry, which has no such version yet.
    pub(super) async fn publish(&self, named: &Named, new: &NewPackage) -> Result<(), Failure> {
        let home = self.home(named).await?;
        match &home.at {
            At::Folder(folder) => folder.publish(&new.version, &new.content),
            At::Repository {
                client,
                access,
                package,
            } => match client.publish_package(package, new, access).await {
                Ok(_) => Ok(()),
                Err(PublishError::Registry(error)) => Err(home.asked.explain("take it", &error)),
                Err(error @ PublishError::Taken { .. }) => Err(Failure::new(error.to_string())),
            },
        }
    }

    async fn home(&self, named: &Named) -> Result<Arc<Home>, Failure> {
        let mut known = self.known.lock().await;
        if let Some(home) = known.homes.get(named) {
            return Ok(Arc::clone(home));
        }
        let home = Arc::new(self.find(named, &mut known).await?);
        known.homes.insert(named.clone(), Arc::clone(&home));
        Ok(home)
    }

    async fn find(&self, named: &Named, known: &mut Known) -> Result<Home, Failure> {
        let found = self.registries.of(named)?;
        let asked = Asked {
            named: named.clone(),
            shown: found.shown.clone(),
        };
        let keeps = match &found.keeps {
            Some(keeps) => keeps.clone(),
            None => self.ask(&asked, &found, known).await?,
        };
        let at = match keeps {
            Keeps::Folder(root) => At::Folder(Folder::new(&root, &named.package)),
            Keeps::Oci { host, prefix } => {
                let package = repository(&host, &prefix, named)?;
                let (client, access) = self.client(&found, &host, known)?;
                At::Repository {
                    client,
                    access: Box::new(access),
                    package,
                }
            }
        };
        Ok(Home { asked, at })
    }

    /// Asks a registry where its packages are. One that says nothing has them itself.
    async fn ask(&self, asked: &Asked, found: &Found, known: &mut Known) -> Result<Keeps, Failure> {
        let name = &found.name;
        if let Some(keeps) = known.told.get(name.as_ref()) {
            return Ok(keeps.clone());
        }
        let (client, access) = self.client(found, name.as_ref(), known)?;
        let said = client.package_registry(name.as_ref(), &access).await;
        let said = said.map_err(|error| asked.explain("say where its packages are", &error))?;
        let said = said.map(|bytes| serde_json::from_slice::<RegistryMetadata>(&bytes));
        let said = said.transpose().map_err(|error| {
            let message =
                format!("what {name} says about where its packages are makes no sense: {error}");
            Failure::new(clip(&message))
        })?;
        let keeps = self.registries.keeps(name, &said.unwrap_or_default())?;
        known.told.insert(name.to_string(), keeps.clone());
        Ok(keeps)
    }

    fn client(
        &self,
        found: &Found,
        host: &str,
        known: &mut Known,
    ) -> Result<(Client, Access), Failure> {
        let reach = self.registries.reach(found, host)?;
        let mut keychain = Keychain::anonymous();
        if let Some(login) = reach.login {
            let credentials = Credentials::Basic {
                username: login.username,
                password: login.token,
            };
            keychain = keychain.explicit(&reach.way.host, credentials);
        }
        let access = Access::of_host(keychain.user_files());
        if let Some(client) = known.clients.get(&reach.way) {
            return Ok((client.clone(), access));
        }
        let client = open(&reach.way)?;
        known.clients.insert(reach.way, client.clone());
        Ok((client, access))
    }
}

/// The client for a way.
fn open(way: &Way) -> Result<Client, Failure> {
    let wrong = |error: &dyn Display| {
        Failure::new(format!("cannot use the registry {}: {error}", way.host))
    };
    let mut settings = RegistrySettings {
        plain_http: way.plain,
        ca_files: way.ca_files.clone(),
        ..RegistrySettings::default()
    };
    // They are read before this returns.
    let mut certificates = Vec::new();
    for text in &way.certificates {
        let mut file = tempfile::NamedTempFile::new().map_err(|error| wrong(&error))?;
        file.write_all(text.as_bytes())
            .map_err(|error| wrong(&error))?;
        settings.ca_files.push(file.path().to_owned());
        certificates.push(file);
    }
    let mut options = ImageOptions::default();
    options.settings.largest_image = MOST_BYTES;
    options.settings.longest = LONGEST;
    options.settings.registries = BTreeMap::from([(way.host.clone(), settings)]);
    let images = options.open_for_user().map_err(|error| wrong(&error))?;
    Ok(images.registries().clone())
}

/// The repository of a package. What a registry or the user says about its name may be anything.
fn repository(host: &str, prefix: &str, named: &Named) -> Result<Reference, Failure> {
    let (namespace, name) = (named.package.namespace(), named.package.name());
    let text = format!("{host}/{prefix}{namespace}/{name}");
    let parsed = text.parse::<Reference>();
    let problem = match &parsed {
        Ok(reference)
            if Reference::canonical_registry(host).is_ok_and(|it| it == reference.registry()) =>
        {
            return Ok(reference.clone());
        }
        Ok(_) => format!("`{}` is no registry", clip(host)),
        Err(error) => error.to_string(),
    };
    Err(Failure::new(format!(
        "{named} cannot be in a registry: {problem}"
    )))
}

impl Home {
    async fn versions(&self) -> Result<Option<Vec<Version>>, Failure> {
        match &self.at {
            At::Folder(folder) => folder.versions(),
            At::Repository {
                client,
                access,
                package,
            } => {
                let versions = client.package_versions(package, access).await;
                versions.map_err(|error| self.asked.explain("list its versions", &error))
            }
        }
    }

    fn missing(&self) -> Failure {
        let (package, shown) = (&self.asked.named.package, &self.asked.shown);
        let looked = match &self.at {
            At::Folder(folder) => format!("the folder {}", folder.path().display()),
            At::Repository { package, .. } => {
                format!(
                    "the repository {}/{}",
                    package.registry(),
                    package.repository()
                )
            }
        };
        let message =
            format!("there is no package {package} in {shown}: it was looked for as {looked}");
        Failure::new(message).hint("look for a typo; `wit.registries` and `wit.sources` in .wash/config.yaml say where packages are")
    }
}

impl Asked {
    /// What went wrong, and what to do. `what` is like "list its versions".
    fn explain(&self, what: &str, error: &RegistryError) -> Failure {
        let Self { named, shown } = self;
        match &error.kind {
            RegistryErrorKind::Unreachable { problem, .. } => {
                let problem = clip(&problem.to_string());
                let message = format!("{named}: cannot reach {shown}: {problem}");
                Failure::new(message).hint("in `wit.registries`, a registry without TLS is written with http://, and one with an authority of its own has a `ca_file`; with --offline none is asked")
            }
            RegistryErrorKind::Denied(refusal) => {
                let host = error.place.split('/').next().unwrap_or_default();
                let refusal = clip(&refusal.to_string());
                let message = format!("{named}: {shown} did not {what}: {refusal}");
                Failure::new(message).hint(format!(
                    "if it wants a name and a password, `docker login {host}` keeps them"
                ))
            }
            RegistryErrorKind::Digest { .. }
            | RegistryErrorKind::TooLarge { .. }
            | RegistryErrorKind::Truncated { .. }
            | RegistryErrorKind::Manifest(_)
            | RegistryErrorKind::NotAComponent(_) => self.wrong_content(&error.kind),
            kind => {
                let kind = clip(&kind.to_string());
                Failure::new(format!("{named}: {shown} did not {what}: {kind}"))
            }
        }
    }

    fn wrong_content(&self, wrong: &dyn Display) -> Failure {
        let Self { named, shown } = self;
        let wrong = clip(&wrong.to_string());
        let message = format!("what {shown} sent for {named} is not what it should be: {wrong}");
        Failure::new(message).hint(format!(
            "nothing was written; if the registry is to be believed, `wash wit update {}` takes what it has now",
            named.package
        ))
    }
}

/// What a server says may be anything.
fn clip(text: &str) -> String {
    let one_line = text.trim().replace('\n', " ");
    let short: String = one_line.chars().take(MOST_TOLD).collect();
    printable(&short).into_owned()
}
