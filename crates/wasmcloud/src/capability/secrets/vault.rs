//! The encrypted store: one file in the data folder with the secrets of every workload, and a key that is kept elsewhere or beside
//! it.
//!
//! The file is sealed whole with XChaCha20-Poly1305, so names show as little as values, and no part of it can be changed or put back.

mod key;
mod sealed;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use zeroize::Zeroizing;

pub use key::KEY_VARIABLE;
use key::KeyPlace;

use super::files::blocking;
use super::reread::{Reread, open_below, read};
use super::{MOST_BYTES, Secret, SecretStore, SecretsError};
use crate::capability::tenant::Tenant;
use crate::workload::{Namespace, SecretName, WorkloadName};

/// The file, in the data folder.
const FILE: &str = "secrets.sealed";
/// Held while the file is changed.
const LOCK: &str = "secrets.lock";
/// The most bytes that the file may have.
const MOST_SEALED: usize = 4 * 1024 * 1024;

/// Whose a secret in the store is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner(String);

impl Owner {
    /// A workload, whatever version of it runs.
    #[must_use]
    pub fn workload(namespace: &Namespace, name: &WorkloadName) -> Self {
        Self(format!("{namespace}/workload/{name}"))
    }

    /// The workloads of a namespace whose entry says `shared: NAME`.
    #[must_use]
    pub fn shared(namespace: &Namespace, name: &str) -> Self {
        Self(format!("{namespace}/shared/{name}"))
    }

    fn of(tenant: &Tenant) -> Self {
        Self(tenant.to_string())
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What the file holds: secrets by owner and name.
type Content = BTreeMap<String, BTreeMap<String, Secret>>;

/// The encrypted store of a data folder. All its functions block.
#[derive(Clone, Debug)]
pub struct Vault {
    folder: PathBuf,
    key: KeyPlace,
}

/// Why the encrypted store could not be used. It holds no value and no key.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct VaultError(String);

impl VaultError {
    fn io(path: &Path, error: &io::Error) -> Self {
        Self(format!("{}: {error}", path.display()))
    }
}

impl From<SecretsError> for VaultError {
    fn from(error: SecretsError) -> Self {
        Self(error.to_string())
    }
}

impl Vault {
    /// The store in a data folder. The key is in the variable [`KEY_VARIABLE`], or else in `key_file`, or else beside the store.
    #[must_use]
    pub fn new(folder: &Path, key_file: Option<&Path>) -> Self {
        Self {
            folder: folder.to_owned(),
            key: KeyPlace::new(folder, key_file),
        }
    }

    /// Keeps a value. The first one makes the store, and its key if there is none.
    ///
    /// # Errors
    /// When the value is larger than [`MOST_BYTES`], or the store cannot be read or written.
    pub fn set(&self, owner: &Owner, name: &SecretName, value: &[u8]) -> Result<(), VaultError> {
        if value.len() > MOST_BYTES {
            return Err(SecretsError::TooLarge.into());
        }
        self.change(|content| {
            let secret = Secret::new(value.to_vec());
            let own = content.entry(owner.0.clone()).or_default();
            own.insert(name.as_str().to_owned(), secret);
            true
        })?;
        Ok(())
    }

    /// Forgets a value, and says whether there was one.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn remove(&self, owner: &Owner, name: &SecretName) -> Result<bool, VaultError> {
        self.change(|content| {
            let own = content.get_mut(&owner.0);
            own.is_some_and(|own| own.remove(name.as_str()).is_some())
        })
    }

    /// The names that it holds, and whose they are.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self) -> Result<Vec<(Owner, String)>, VaultError> {
        let content = self.read()?;
        let all = content.into_iter().flat_map(|(owner, own)| {
            let names = own.into_keys();
            names.map(move |name| (Owner(owner.clone()), name))
        });
        Ok(all.collect())
    }

    fn read(&self) -> Result<Content, VaultError> {
        let Some(mut file) = open_below(&self.folder, Path::new(FILE))? else {
            return Ok(Content::new());
        };
        let path = self.folder.join(FILE);
        let bytes = read(&mut file, MOST_SEALED).map_err(|error| VaultError::io(&path, &error))?;
        let bytes = bytes.ok_or_else(|| VaultError(format!("{} is too large", path.display())))?;
        let wrong = |problem: String| VaultError(format!("{}: {problem}", path.display()));
        sealed::open(&bytes, &self.key.read()?).map_err(wrong)
    }

    /// Reads, changes and writes, one process at a time. Writes only what has changed.
    fn change(&self, change: impl FnOnce(&mut Content) -> bool) -> Result<bool, VaultError> {
        let failed = |error: io::Error| VaultError::io(&self.folder, &error);
        let mut make = fs::DirBuilder::new();
        make.recursive(true).mode(0o700);
        make.create(&self.folder).map_err(failed)?;
        let mut lock = OpenOptions::new();
        lock.write(true).create(true).truncate(false).mode(0o600);
        let lock = lock.open(self.folder.join(LOCK)).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut content = self.read()?;
        if !change(&mut content) {
            return Ok(false);
        }
        content.retain(|_, own| !own.is_empty());
        let bytes = sealed::seal(&content, &self.key.read_or_make()?).map_err(VaultError)?;
        if bytes.len() > MOST_SEALED {
            return Err(VaultError(format!(
                "the store would have more than {MOST_SEALED} bytes"
            )));
        }
        replace(&self.folder, FILE, &bytes).map_err(failed)?;
        Ok(true)
    }

    /// The files that hold all of it.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        vec![self.key.path(), self.folder.join(FILE)]
    }

    /// What one tenant sees of it.
    pub(super) fn of(&self, tenant: &Tenant) -> Tenanted {
        let file = Reread::new(self.folder.clone(), FILE.into(), MOST_SEALED);
        Tenanted(Arc::new(Inner {
            file,
            key: self.key.clone(),
            owner: Owner::of(tenant),
        }))
    }
}

/// Puts a file in the place of another, so that nobody sees half of it.
fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    // For this user only, which is how temporary files are made.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(folder.join(name))
        .map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// The part of the store that is one tenant's.
pub(crate) struct Tenanted(Arc<Inner>);

struct Inner {
    file: Reread<BTreeMap<String, Secret>>,
    key: KeyPlace,
    owner: Owner,
}

#[async_trait]
impl SecretStore for Tenanted {
    async fn get(&self, name: &SecretName) -> Result<Option<Secret>, SecretsError> {
        let (inner, name) = (Arc::clone(&self.0), name.clone());
        blocking(move || {
            let own = inner.file.get(|bytes| {
                let key = inner.key.read().map_err(|error| error.to_string())?;
                let mut content = sealed::open(bytes, &key)?;
                // The rest is wiped here.
                Ok(content.remove(&inner.owner.0).unwrap_or_default())
            })?;
            Ok(own.and_then(|own| own.get(name.as_str()).cloned()))
        })
        .await
    }
}

/// A key of 256 bits.
type Key = Zeroizing<[u8; 32]>;

/// Hexadecimal digits into bytes; `None` where they are none.
fn from_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let digits = text.as_bytes().chunks_exact(2);
    if !digits.remainder().is_empty() {
        return None;
    }
    let digit = |b: &u8| {
        char::from(*b)
            .to_digit(16)
            .and_then(|it| u8::try_from(it).ok())
    };
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    for pair in digits {
        bytes.push(byte(pair)?);
    }
    Some(bytes)
}

/// Bytes as hexadecimal digits.
fn to_hex(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len() * 2));
    let digit = |it: u8| char::from_digit(u32::from(it), 16).unwrap_or('0');
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

#[cfg(test)]
mod tests;
