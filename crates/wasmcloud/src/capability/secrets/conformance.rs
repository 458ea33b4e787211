//! What every place where secrets are kept must do, and every wrapper around one.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::environment::{Environment, Lookup};
use super::guarded::Guarded;
use super::held::Held;
use super::values::Values;
use super::vault::{Owner, Vault};
use super::{MOST_BYTES, Secret, SecretStore, files};
use crate::capability::tenant::Tenant;
use crate::workload::manifest;

type Contents<'a> = &'a [(&'a str, &'a [u8])];

/// A place that a test can fill.
trait Place {
    /// Puts these there instead of what was there, and gives the store to ask, which is the same one if it can be.
    fn put(&mut self, secrets: Contents<'_>) -> Arc<dyn SecretStore>;

    /// Whether values may be anything but texts.
    fn holds_bytes(&self) -> bool {
        true
    }
}

async fn get(store: &Arc<dyn SecretStore>, name: &str) -> Option<Vec<u8>> {
    let found = store.get(&name.parse().unwrap()).await;
    let found = found.map_err(|error| error.to_string()).unwrap();
    found.map(|secret| secret.bytes().to_vec())
}

async fn conforms(mut place: impl Place) {
    let store = place.put(&[
        ("api-key", b"one"),
        ("empty", b""),
        ("umlaut", "\u{e4}".as_bytes()),
    ]);
    assert_eq!(get(&store, "api-key").await.unwrap(), b"one");
    assert_eq!(get(&store, "empty").await.unwrap(), b"");
    assert_eq!(get(&store, "umlaut").await.unwrap(), "\u{e4}".as_bytes());
    for absent in ["other", "api-key.x", "a..b"] {
        assert_eq!(get(&store, absent).await, None, "R2 {absent}");
    }
    // R1: of the same length, and right away.
    for value in [b"two", b"six"] {
        let store = place.put(&[("api-key", value)]);
        assert_eq!(get(&store, "api-key").await.unwrap(), value);
        assert_eq!(get(&store, "empty").await, None);
    }
    let (most, more) = ("x".repeat(MOST_BYTES), "x".repeat(MOST_BYTES + 1));
    let store = place.put(&[("most", most.as_bytes()), ("more", more.as_bytes())]);
    assert_eq!(get(&store, "most").await.unwrap(), most.as_bytes());
    match store.get(&"more".parse().unwrap()).await {
        Ok(_) => panic!("R3"),
        Err(error) => assert!(!error.to_string().contains("xx"), "R4 {error}"),
    }
    if place.holds_bytes() {
        let store = place.put(&[("bytes", &[0xff, 0xfe, b'\n'])]);
        assert_eq!(get(&store, "bytes").await.unwrap(), [0xff, 0xfe, b'\n']);
    }
}

/// Any place, with what the host puts around it.
struct Around<P>(P);

impl<P: Place> Place for Around<P> {
    fn put(&mut self, secrets: Contents<'_>) -> Arc<dyn SecretStore> {
        Arc::new(Held::new(self.0.put(secrets)))
    }

    fn holds_bytes(&self) -> bool {
        self.0.holds_bytes()
    }
}

struct InManifest;

impl Place for InManifest {
    fn put(&mut self, secrets: Contents<'_>) -> Arc<dyn SecretStore> {
        let secret =
            |(name, value): &(&str, &[u8])| (name.parse().unwrap(), Secret::new(value.to_vec()));
        Arc::new(Values::new(secrets.iter().map(secret).collect()))
    }
}

#[tokio::test]
async fn values_of_the_manifest_conform() {
    conforms(InManifest).await;
    conforms(Around(InManifest)).await;
}

#[derive(Default)]
struct Variables(Arc<Mutex<BTreeMap<String, Vec<u8>>>>);

impl Place for Variables {
    fn put(&mut self, secrets: Contents<'_>) -> Arc<dyn SecretStore> {
        let name = |name: &str| format!("T_{}", name.to_uppercase().replace(['-', '.'], "_"));
        let variables = secrets
            .iter()
            .map(|(key, value)| (name(key), value.to_vec()));
        *self.0.lock().unwrap() = variables.collect();
        let all = Arc::clone(&self.0);
        let lookup: Lookup = Arc::new(move |name| {
            let found = all.lock().unwrap().get(name).cloned();
            found.map(OsString::from_vec)
        });
        let allowed = vec!["T_*".parse().unwrap()];
        Arc::new(Environment::with("T_".to_owned(), allowed, lookup))
    }
}

#[tokio::test]
async fn the_environment_conforms() {
    conforms(Variables::default()).await;
    conforms(Around(Variables::default())).await;
}

/// Writes a file for its owner only, in the place of another.
pub(super) fn write(path: &Path, bytes: &[u8]) {
    use std::io::Write as _;
    let _ = fs::remove_file(path);
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .unwrap();
    file.write_all(bytes).unwrap();
}

struct InFolder(tempfile::TempDir);

impl Place for InFolder {
    fn put(&mut self, secrets: Contents<'_>) -> Arc<dyn SecretStore> {
        for file in fs::read_dir(self.0.path()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        for (name, value) in secrets {
            write(&self.0.path().join(name), value);
        }
        files::at(self.0.path(), Path::new(""), &Guarded::default())
    }
}

#[tokio::test]
async fn a_folder_conforms() {
    conforms(InFolder(tempfile::tempdir().unwrap())).await;
    conforms(Around(InFolder(tempfile::tempdir().unwrap()))).await;
}

/// The way a cluster mounts secrets: links inside the folder, of which one is turned.
struct Mounted(tempfile::TempDir, u32);

impl Place for Mounted {
    fn put(&mut self, secrets: Contents<'_>) -> Arc<dyn SecretStore> {
        self.1 += 1;
        let (folder, version) = (self.0.path(), format!("..v{}", self.1));
        fs::create_dir(folder.join(&version)).unwrap();
        for (name, value) in secrets {
            write(&folder.join(&version).join(name), value);
            let _ = symlink(Path::new("..data").join(name), folder.join(name));
        }
        symlink(&version, folder.join("..new")).unwrap();
        fs::rename(folder.join("..new"), folder.join("..data")).unwrap();
        files::at(folder, Path::new(""), &Guarded::default())
    }
}

#[tokio::test]
async fn a_folder_of_links_conforms() {
    conforms(Mounted(tempfile::tempdir().unwrap(), 0)).await;
}

struct InDocument(
    tempfile::TempDir,
    Option<Arc<dyn SecretStore>>,
    &'static str,
);

impl Place for InDocument {
    fn put(&mut self, secrets: Contents<'_>) -> Arc<dyn SecretStore> {
        let path = self.0.path().join(self.2);
        let text = |(name, value): &(&str, &[u8])| {
            (name.to_string(), String::from_utf8(value.to_vec()).unwrap())
        };
        let all: BTreeMap<_, _> = secrets.iter().map(text).collect();
        write(&path, &serde_json::to_vec(&all).unwrap());
        let (folder, name) = (self.0.path(), Path::new(self.2));
        Arc::clone(
            self.1
                .get_or_insert_with(|| files::at(folder, name, &Guarded::default())),
        )
    }

    fn holds_bytes(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_file_with_all_conforms() {
    for name in ["secrets.yaml", "secrets.json"] {
        conforms(InDocument(tempfile::tempdir().unwrap(), None, name)).await;
    }
    let place = InDocument(tempfile::tempdir().unwrap(), None, "secrets.yml");
    conforms(Around(place)).await;
}

/// A workload of that name, in the default namespace.
pub(super) fn tenant(name: &str) -> Tenant {
    let text = format!(
        "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {{name: {name}}}\nspec:\n  components: [{{name: a, image: ./a.wasm}}]\n"
    );
    let mut parsed = manifest::parse(&text, Path::new("w.yaml")).unwrap();
    Tenant::of(&parsed.remove(0).workload)
}

struct Encrypted(tempfile::TempDir);

impl Place for Encrypted {
    fn put(&mut self, secrets: Contents<'_>) -> Arc<dyn SecretStore> {
        let vault = Vault::new(self.0.path(), None);
        let (namespace, name) = ("default".parse().unwrap(), "shop".parse().unwrap());
        let owner = Owner::workload(&namespace, &name);
        for (owner, name) in vault.list().unwrap() {
            assert!(vault.remove(&owner, &name.parse().unwrap()).unwrap());
        }
        let mut too_large = None;
        for (name, value) in secrets {
            if let Err(error) = vault.set(&owner, &name.parse().unwrap(), value) {
                too_large = Some(error);
            }
        }
        // What is too large does not come in here.
        match too_large {
            Some(_) => Arc::new(TooLarge(vault.of(&tenant("shop")))),
            None => Arc::new(vault.of(&tenant("shop"))),
        }
    }
}

/// Answers for what the store has refused already.
struct TooLarge<S>(S);

#[async_trait::async_trait]
impl<S: SecretStore> SecretStore for TooLarge<S> {
    async fn get(
        &self,
        name: &crate::workload::SecretName,
    ) -> Result<Option<Secret>, super::SecretsError> {
        match name.as_str() {
            "more" => Err(super::SecretsError::TooLarge),
            _ => self.0.get(name).await,
        }
    }
}

#[tokio::test]
async fn the_encrypted_store_conforms() {
    conforms(Encrypted(tempfile::tempdir().unwrap())).await;
    conforms(Around(Encrypted(tempfile::tempdir().unwrap()))).await;
}
