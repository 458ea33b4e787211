//! How a host or a program comes by images: from which registries, with which credentials, what it keeps, and what it demands of them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::access::{AuthFile, AuthFileProblem, Credentials, Keychain};
use super::client::Registries;
use super::settings::{self, Settings, SettingsError};
use super::source::{Images, Keys};
use super::store::{Store, StoreError, StoreOptions};
use super::verify::{
    Demand, Identity, KeyError, Pattern, PublicKey, Rule, TrustRoot, TrustRootError, VerifyPolicy,
};
use crate::net::dial::Dial;
use crate::net::resolve::{Resolve, SystemResolver};
use crate::policy::{EgressOptions, EgressPolicy, private_file};
use crate::workload::{Digest, Namespace, SecretName};

/// The largest file of a key, a password or a pull secret, and of a trust root, in bytes.
const LARGEST: (u64, u64) = (64 << 10, 4 << 20);

/// How a host or a program comes by images. The default asks registries that the egress policy allows, without credentials, keeps
/// nothing and demands nothing.
#[derive(Clone, Debug, Default)]
pub struct ImageOptions {
    /// Where images are kept. Without a folder, each is pulled anew whenever it is wanted.
    pub cache: Option<PathBuf>,
    /// How it is used.
    pub store: StoreOptions,
    /// How registries are spoken with.
    pub settings: Settings,
    /// Names and files with passwords for registries, by `host` or `host:port`. Whoever may start workloads may use them.
    pub logins: BTreeMap<String, Login>,
    /// Where else credentials are that everybody may use.
    pub auth: AuthSource,
    /// Files of the form `dockerconfigjson`, by who may use them and the name in `imagePullSecret`.
    pub pull_secrets: BTreeMap<(Namespace, SecretName), PathBuf>,
    /// What is demanded of images; the first rule that goes for one decides. What none goes for may run.
    pub verify: Vec<(Pattern, Requirement)>,
}

/// A name, and where its password is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub username: String,
    /// A file that nobody else may read, with the password alone.
    pub password_file: PathBuf,
}

/// Files with credentials that everybody may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AuthSource {
    /// There are none.
    #[default]
    None,
    /// A file of the form that Docker and Podman have. It must be there, and nobody else may read it.
    File(PathBuf),
    /// Those of Docker and Podman of whoever runs the program.
    User,
}

/// What is demanded of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing.
    Nothing,
    /// That it does not run.
    Deny,
    /// That its manifest is one of these.
    Digests(BTreeSet<Digest>),
    /// That one of these keys, in files of PEM, has signed it.
    Keys(Vec<PathBuf>),
    /// That one of these has signed it, as certificates and logs of a trust root say.
    Identities {
        /// The file with the trust root, as Sigstore publishes it.
        trust_root: PathBuf,
        /// Who may sign.
        identities: Vec<Identity>,
    },
}

/// Why images cannot be had in this way.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// What is said about registries cannot be.
    #[error("images: {0}")]
    Settings(#[from] SettingsError),
    /// The cache cannot be used.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A file cannot be read.
    #[error("images: cannot read `{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file with secrets is not fit to hold some.
    #[error("images: the secrets in `{}` are not read: {problem}", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// It is no pull secret.
    #[error("images: `{}` is no pull secret: {problem}", path.display())]
    PullSecret {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: AuthFileProblem,
    },
    /// It is no password.
    #[error("images: `{}` holds no password: wanted one line of text", .0.display())]
    Password(PathBuf),
    /// It is no public key.
    #[error("images: `{}` is no public key: {problem}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: KeyError,
    },
    /// It is no trust root.
    #[error("images: `{}` is no trust root: {problem}", path.display())]
    TrustRoot {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: TrustRootError,
    },
}

impl ImageOptions {
    /// Reads the files that the options name, and opens the cache. Nothing else is done yet. It blocks, though not for long.
    ///
    /// # Errors
    /// When a file cannot be read or is something else, or the cache cannot be used.
    pub fn open(
        &self,
        egress: EgressOptions,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Images, ImagesError> {
        self.over(&Dial::new(EgressPolicy::new(egress), resolver))
    }

    /// The same for whoever runs a program and names the images: they may be anywhere.
    ///
    /// # Errors
    /// As [`ImageOptions::open`].
    pub fn open_for_user(&self) -> Result<Images, ImagesError> {
        self.open(
            EgressOptions::default(),
            Arc::new(SystemResolver::default()),
        )
    }

    /// The same over a way out that is there already.
    pub(crate) fn over(&self, dial: &Dial) -> Result<Images, ImagesError> {
        let mut settings = self.settings.clone();
        settings.registries.clear();
        // As references have them, however they were written.
        for (name, registry) in &self.settings.registries {
            let host = settings::host(name)?;
            if settings.registries.insert(host, registry.clone()).is_some() {
                return Err(SettingsError::Twice(name.clone()).into());
            }
        }
        for (name, login) in &self.logins {
            let listed = settings
                .registries
                .entry(settings::host(name)?)
                .or_default();
            listed.credentials = Some(login.read()?);
        }
        let store = self.cache.as_deref();
        let store = store.map(|folder| Store::open(folder, self.store));
        let keys = Keys {
            common: match &self.auth {
                AuthSource::None => Keychain::anonymous(),
                AuthSource::File(path) => {
                    private(path)?;
                    Keychain::anonymous().file(path.clone())
                }
                AuthSource::User => Keychain::anonymous().user_files(),
            },
            secrets: self.secrets()?,
        };
        Ok(Images::new(
            Registries::over(settings, dial)?,
            dial.clone(),
            store.transpose()?,
            self.policy()?,
            keys,
        ))
    }

    fn secrets(&self) -> Result<BTreeMap<(Namespace, SecretName), AuthFile>, ImagesError> {
        let read = |(whose, path): (&(Namespace, SecretName), &PathBuf)| {
            let bytes = secret(path)?;
            let file = AuthFile::parse(&bytes).map_err(|problem| ImagesError::PullSecret {
                path: path.clone(),
                problem,
            })?;
            Ok((whose.clone(), file))
        };
        self.pull_secrets.iter().map(read).collect()
    }

    fn policy(&self) -> Result<VerifyPolicy, ImagesError> {
        let rules = self.verify.iter().map(|(pattern, requirement)| {
            Ok(Rule {
                pattern: pattern.clone(),
                demand: requirement.read()?,
            })
        });
        Ok(VerifyPolicy {
            rules: rules.collect::<Result<_, ImagesError>>()?,
            ..VerifyPolicy::default()
        })
    }
}

impl Login {
    fn read(&self) -> Result<Credentials, ImagesError> {
        let bytes = secret(&self.password_file)?;
        let wrong = || ImagesError::Password(self.password_file.clone());
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong())?;
        let password = text.trim_end_matches(['\n', '\r']);
        if password.is_empty() || password.contains(['\n', '\r']) {
            return Err(wrong());
        }
        Ok(Credentials::Basic {
            username: self.username.clone(),
            password: password.into(),
        })
    }
}

impl Requirement {
    /// The demand, with the files that it names.
    ///
    /// # Errors
    /// When a file cannot be read or is something else.
    pub fn read(&self) -> Result<Demand, ImagesError> {
        Ok(match self {
            Self::Nothing => Demand::Nothing,
            Self::Deny => Demand::Deny,
            Self::Digests(digests) => Demand::Digests(digests.clone()),
            Self::Keys(paths) => Demand::Signed {
                keys: paths
                    .iter()
                    .map(|path| key(path))
                    .collect::<Result<_, _>>()?,
            },
            Self::Identities {
                trust_root,
                identities,
            } => {
                let bytes = open(trust_root).and_then(|file| read(file, LARGEST.1));
                let bytes = bytes.map_err(|source| unread(trust_root, source))?;
                let root = TrustRoot::from_json(&String::from_utf8_lossy(&bytes));
                Demand::Keyless {
                    root: Arc::new(root.map_err(|problem| ImagesError::TrustRoot {
                        path: trust_root.clone(),
                        problem,
                    })?),
                    identities: identities.clone(),
                }
            }
        })
    }
}

fn key(path: &Path) -> Result<PublicKey, ImagesError> {
    let bytes = open(path).and_then(|file| read(file, LARGEST.0));
    let bytes = bytes.map_err(|source| unread(path, source))?;
    PublicKey::from_pem(&String::from_utf8_lossy(&bytes)).map_err(|problem| ImagesError::Key {
        path: path.to_owned(),
        problem,
    })
}

/// A file that nobody else may read.
fn private(path: &Path) -> Result<std::fs::File, ImagesError> {
    let file = open(path).map_err(|source| unread(path, source))?;
    private_file::check(&file).map_err(|problem| ImagesError::Exposed {
        path: path.to_owned(),
        problem,
    })?;
    Ok(file)
}

fn secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, ImagesError> {
    let file = private(path)?;
    let bytes = read(file, LARGEST.0).map_err(|source| unread(path, source))?;
    Ok(Zeroizing::new(bytes))
}

fn unread(path: &Path, source: io::Error) -> ImagesError {
    let path = path.to_owned();
    ImagesError::File { path, source }
}

fn open(path: &Path) -> io::Result<std::fs::File> {
    // A pipe would wait for its other end.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    std::fs::File::open(path)
}

fn read(file: std::fs::File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > most {
        true => Err(io::Error::other(format!("it is larger than {most} bytes"))),
        false => Ok(bytes),
    }
}
