//! Where credentials for a repository come from, in which order, and what is wrong there.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::credentials::Credentials;
use super::file::{AuthFile, AuthFileProblem, Said, helper_key, in_references};
use super::helper::{self, HelperProblem};

/// The largest file of credentials that is read, in bytes.
const LARGEST: u64 = 1 << 20;
/// How long a credential helper may take: it may ask the user.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where credentials are looked for: what was given explicitly, then pull secrets, then the files of Docker and Podman with the
/// programs that they name. The first that has some for a repository counts. Nobody knows any: the registry is asked without.
///
/// It is asked only when a registry wants credentials, and again each time.
#[derive(Clone, Debug, Default)]
pub struct Keychain {
    explicit: Vec<(String, Credentials)>,
    secrets: Vec<(String, Arc<AuthFile>)>,
    files: Vec<Place>,
    patience: Option<Duration>,
}

/// A file that may hold credentials.
#[derive(Clone, Debug)]
struct Place {
    path: PathBuf,
    /// Whether somebody said that it is there.
    is_named: bool,
}

/// Credentials, and where they are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The credentials.
    pub credentials: Credentials,
    /// Where they are from.
    pub origin: Origin,
}

/// Where credentials are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: there are none.
    Nowhere,
    /// Whoever asks has said them.
    Explicit,
    /// The pull secret of that name.
    PullSecret(String),
    /// The settings for the registry.
    Settings,
    /// A file.
    File(PathBuf),
    /// A program that a file names.
    Helper {
        /// The program.
        program: String,
        /// The file.
        file: PathBuf,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => f.write_str("nowhere"),
            Self::Explicit => f.write_str("the name and password that were given"),
            Self::PullSecret(name) => write!(f, "the pull secret `{name}`"),
            Self::Settings => f.write_str("the settings for the registry"),
            Self::File(path) => write!(f, "`{}`", path.display()),
            Self::Helper { program, file } => {
                write!(f, "`{program}`, which `{}` names", file.display())
            }
        }
    }
}

/// Why it is not known which credentials there are.
#[derive(Debug, thiserror::Error)]
#[error("the credentials in {origin} cannot be had: {problem}")]
pub struct AccessError {
    /// Where they should be.
    pub origin: Origin,
    /// What is wrong.
    #[source]
    pub problem: AccessProblem,
}

/// What is wrong where credentials should be.
#[derive(Debug, thiserror::Error)]
pub enum AccessProblem {
    /// The file cannot be read.
    #[error("{0}")]
    Read(#[source] io::Error),
    /// It is no file of credentials.
    #[error("{0}")]
    File(#[source] AuthFileProblem),
    /// The program does not give any.
    #[error("{0}")]
    Helper(#[source] HelperProblem),
}

impl Keychain {
    /// Without any credentials.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// With these for a registry.
    #[must_use]
    pub fn explicit(mut self, registry: &str, credentials: Credentials) -> Self {
        let entry = (in_references(registry), credentials);
        self.explicit.push(entry);
        self
    }

    /// With what is in a pull secret. Programs that it names are not run: whoever wrote it is a stranger to this machine.
    #[must_use]
    pub fn pull_secret(mut self, name: &str, file: AuthFile) -> Self {
        self.secrets.push((name.to_owned(), Arc::new(file)));
        self
    }

    /// With a file that must be there.
    #[must_use]
    pub fn file(mut self, path: PathBuf) -> Self {
        let is_named = true;
        self.files.push(Place { path, is_named });
        self
    }

    /// With the files of Docker and Podman of whoever runs this: the one of `REGISTRY_AUTH_FILE` alone, if that is set.
    #[must_use]
    pub fn user_files(mut self) -> Self {
        self.files.extend(places(|name| env::var_os(name)));
        self
    }

    /// Waits so long for a credential helper.
    #[must_use]
    pub fn helper_patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// The credentials for a repository of a registry. What stands in the settings comes before the files.
    pub(in crate::registry) async fn find(
        &self,
        registry: &str,
        repository: &str,
        settings: Option<&Credentials>,
    ) -> Result<Found, AccessError> {
        let found = |origin, credentials| {
            Ok(Found {
                credentials,
                origin,
            })
        };
        if let Some((_, said)) = self.explicit.iter().find(|(of, _)| of == registry) {
            return found(Origin::Explicit, said.clone());
        }
        for (name, secret) in &self.secrets {
            if let Some(credentials) = secret.credentials(registry, repository) {
                return found(Origin::PullSecret(name.clone()), credentials);
            }
        }
        if let Some(credentials) = settings {
            return found(Origin::Settings, credentials.clone());
        }
        for place in &self.files {
            if let Some(found) = self.in_file(place, registry, repository).await? {
                return Ok(found);
            }
        }
        found(Origin::Nowhere, Credentials::Anonymous)
    }

    async fn in_file(
        &self,
        place: &Place,
        registry: &str,
        repository: &str,
    ) -> Result<Option<Found>, AccessError> {
        let origin = Origin::File(place.path.clone());
        let problem = |origin: &Origin, problem| AccessError {
            origin: origin.clone(),
            problem,
        };
        let file = read(place).await;
        let Some(file) = file.map_err(|error| problem(&origin, error))? else {
            return Ok(None);
        };
        match file.says(registry, repository) {
            Said::Nothing => Ok(None),
            Said::Credentials(credentials) => Ok(Some(Found {
                credentials,
                origin,
            })),
            Said::Ask(name) => {
                let program = format!("docker-credential-{name}");
                let patience = self.patience.unwrap_or(PATIENCE);
                let asked = helper::ask(&program, helper_key(registry), patience).await;
                let file = place.path.clone();
                let origin = Origin::Helper { program, file };
                let asked = asked.map_err(|e| problem(&origin, AccessProblem::Helper(e)))?;
                Ok(asked.map(|credentials| Found {
                    credentials,
                    origin,
                }))
            }
        }
    }
}

async fn read(place: &Place) -> Result<Option<AuthFile>, AccessProblem> {
    let path = place.path.clone();
    let read = tokio::task::spawn_blocking(move || read_now(&path)).await;
    match read.unwrap_or_else(|stopped| Err(io::Error::other(stopped))) {
        Ok(bytes) => {
            let file = AuthFile::parse(&bytes).map_err(AccessProblem::File)?;
            Ok(Some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && !place.is_named => Ok(None),
        Err(error) => Err(AccessProblem::Read(error)),
    }
}

fn read_now(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > LARGEST {
        true => Err(io::Error::other("it is larger than 1 MiB")),
        false => Ok(bytes),
    }
}

/// Where Docker and Podman keep credentials.
fn places(var: impl Fn(&str) -> Option<OsString>) -> Vec<Place> {
    let var = |name: &str| var(name).filter(|value| !value.is_empty());
    let folder = |name: &str| var(name).map(PathBuf::from);
    let place = |path: PathBuf, is_named| Place { path, is_named };
    if let Some(path) = folder("REGISTRY_AUTH_FILE") {
        return vec![place(path, true)];
    }
    let home = folder("HOME");
    let docker = folder("DOCKER_CONFIG");
    let docker = docker.or_else(|| home.as_ref().map(|home| home.join(".docker")));
    let config = folder("XDG_CONFIG_HOME");
    let config = config.or_else(|| home.as_ref().map(|home| home.join(".config")));
    let podman = [folder("XDG_RUNTIME_DIR"), config];
    let podman = podman.into_iter().flatten();
    let podman = podman.map(|folder| folder.join("containers/auth.json"));
    let docker = docker.map(|folder| folder.join("config.json"));
    let all = docker.into_iter().chain(podman);
    all.map(|path| place(path, false)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(vars: &[(&str, &str)]) -> Vec<(String, bool)> {
        let var = |name: &str| {
            let set = vars.iter().find(|(set, _)| *set == name);
            set.map(|(_, value)| OsString::from(value))
        };
        let places = places(var).into_iter();
        let told = |place: Place| (place.path.display().to_string(), place.is_named);
        places.map(told).collect()
    }

    #[test]
    fn files_are_where_docker_and_podman_have_them() {
        let is = |vars: &[(&str, &str)], wanted: &[&str]| {
            let found: Vec<_> = found(vars).into_iter().map(|(path, _)| path).collect();
            assert_eq!(found, wanted, "{vars:?}");
        };
        let home = ("HOME", "/h");
        is(
            &[home],
            &["/h/.docker/config.json", "/h/.config/containers/auth.json"],
        );
        is(
            &[home, ("DOCKER_CONFIG", "/d"), ("XDG_RUNTIME_DIR", "/run")],
            &[
                "/d/config.json",
                "/run/containers/auth.json",
                "/h/.config/containers/auth.json",
            ],
        );
        is(&[("HOME", "")], &[]);
        let named = found(&[home, ("REGISTRY_AUTH_FILE", "/a.json")]);
        assert_eq!(named, [("/a.json".to_owned(), true)]);
    }
}
