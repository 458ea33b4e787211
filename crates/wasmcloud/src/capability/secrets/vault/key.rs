//! The key of the encrypted store: 64 hexadecimal digits in a variable or a file.

use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::OsRng;
use chacha20poly1305::aead::rand_core::RngCore as _;
use zeroize::Zeroizing;

use super::super::reread::{open_below, read};
use super::{Key, VaultError, from_hex, to_hex};

/// The variable that beats every file.
pub const KEY_VARIABLE: &str = "WASMCLOUD_SECRETS_KEY";
/// The file, in the data folder, where no other is named.
const FILE: &str = "secrets.key";
/// More than a key with a line end.
const MOST: usize = 256;

/// Where the key is.
#[derive(Clone, Debug)]
pub(super) struct KeyPlace {
    folder: PathBuf,
    name: PathBuf,
}

impl KeyPlace {
    pub(super) fn new(data: &Path, file: Option<&Path>) -> Self {
        let named = file.and_then(|file| Some((file.parent()?, file.file_name()?)));
        let (folder, name) = named.unwrap_or((data, FILE.as_ref()));
        // A bare name is in the working directory.
        let here = folder.as_os_str().is_empty();
        Self {
            folder: if here { ".".into() } else { folder.to_owned() },
            name: name.into(),
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// The key that there is.
    pub(super) fn read(&self) -> Result<Key, VaultError> {
        self.find()?.ok_or_else(|| {
            let path = self.path();
            VaultError(format!(
                "there is no key for the encrypted store: neither {KEY_VARIABLE} nor {}",
                path.display()
            ))
        })
    }

    /// The key that there is, or a new one in the file.
    pub(super) fn read_or_make(&self) -> Result<Key, VaultError> {
        if let Some(key) = self.find()? {
            return Ok(key);
        }
        let mut key = Key::default();
        OsRng.fill_bytes(&mut *key);
        let path = self.path();
        let failed = |error| VaultError::io(&path, &error);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&path).map_err(failed)?;
        let text = to_hex(&*key);
        file.write_all(text.as_bytes()).map_err(failed)?;
        file.write_all(b"\n").map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok(key)
    }

    fn find(&self) -> Result<Option<Key>, VaultError> {
        if let Ok(text) = env::var(KEY_VARIABLE).map(Zeroizing::new) {
            return decode(&text, KEY_VARIABLE).map(Some);
        }
        let Some(mut file) = open_below(&self.folder, &self.name)? else {
            return Ok(None);
        };
        let path = self.path();
        let bytes = read(&mut file, MOST).map_err(|error| VaultError::io(&path, &error))?;
        let place = path.display().to_string();
        let bytes = bytes.unwrap_or_default();
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        decode(text, &place).map(Some)
    }
}

fn decode(text: &str, place: &str) -> Result<Key, VaultError> {
    let bytes = from_hex(text.trim()).filter(|bytes| bytes.len() == 32);
    let bytes = bytes.ok_or_else(|| {
        VaultError(format!(
            "{place} holds no key; wanted 64 hexadecimal digits"
        ))
    })?;
    let mut key = Key::default();
    key.copy_from_slice(&bytes);
    Ok(key)
}
