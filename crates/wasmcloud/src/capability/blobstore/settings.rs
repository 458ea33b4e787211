//! The settings of an entry of `hostInterfaces`: which backend keeps the blobs, whose they are, and how large one may be.

use std::path::{Path, PathBuf};

#[cfg(feature = "blobstore-nats")]
use super::nats::NatsPlace;
#[cfg(feature = "blobstore-s3")]
use super::s3::S3Place;
use crate::capability::settings::Settings;
use crate::capability::tenant::Tenant;
use crate::plugin::PluginError;
use crate::workload::{HostInterface, Workload};

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntrySettings {
    pub(super) backend: Backend,
    pub(super) tenant: Tenant,
    /// How large an object may be, in bytes.
    pub(super) largest_object: Option<u64>,
}

/// What keeps the blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    /// Whatever the host has: its data folder, else memory.
    Default,
    Memory,
    /// The host's data folder, or one that the manifest names.
    Filesystem(Option<PathBuf>),
    /// A bucket on a server that speaks S3.
    #[cfg(feature = "blobstore-s3")]
    S3(S3Place),
    /// Object stores of a NATS server.
    #[cfg(feature = "blobstore-nats")]
    Nats(NatsPlace),
}

#[derive(Clone, Copy)]
enum Kind {
    Memory,
    Filesystem,
    #[cfg(feature = "blobstore-s3")]
    S3,
    #[cfg(feature = "blobstore-nats")]
    Nats,
}

/// The entries that lead somewhere, with their places in the manifest. The other interfaces are about what those gave.
pub(super) fn entries(workload: &Workload) -> impl Iterator<Item = (usize, &HostInterface)> {
    let entries = workload.host_interfaces.iter().enumerate();
    entries.filter(|(_, entry)| {
        matches!(entry.namespace.as_str(), "wasi" | "wasmcloud")
            && entry.package == "blobstore"
            && entry.interfaces.contains("blobstore")
    })
}

/// Reads the settings of an entry, and tells everything that is wrong with them.
pub(super) fn read(
    workload: &Workload,
    index: usize,
    entry: &HostInterface,
) -> (EntrySettings, Vec<PluginError>) {
    let mut settings = Settings::of(entry, index);
    let kinds = [
        ("in-memory", Kind::Memory),
        ("filesystem", Kind::Filesystem),
        #[cfg(feature = "blobstore-s3")]
        ("s3", Kind::S3),
        #[cfg(feature = "blobstore-nats")]
        ("nats", Kind::Nats),
    ];
    let backend = match settings.word("backend", &kinds) {
        None => Backend::Default,
        Some(Kind::Memory) => Backend::Memory,
        Some(Kind::Filesystem) => {
            let root = settings.parse("root", |root| {
                let absolute = Path::new(root).is_absolute().then(|| PathBuf::from(root));
                absolute.ok_or("wanted the absolute path of a folder that the host allows")
            });
            Backend::Filesystem(root)
        }
        // Where something is missing, there are errors, and nobody opens it.
        #[cfg(feature = "blobstore-s3")]
        Some(Kind::S3) => S3Place::read(&mut settings).map_or(Backend::Default, Backend::S3),
        #[cfg(feature = "blobstore-nats")]
        Some(Kind::Nats) => NatsPlace::read(&mut settings).map_or(Backend::Default, Backend::Nats),
    };
    let read = EntrySettings {
        backend,
        tenant: Tenant::configured(workload, &mut settings),
        largest_object: settings.size("max-object-size"),
    };
    (read, settings.finish())
}

#[cfg(test)]
pub(super) mod testing {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    /// A workload of this name that says this of blobs.
    pub(in super::super) fn workload(name: &str, entry: &str) -> Workload {
        let manifest = format!(
            "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata:\n  name: {name}\n\
             spec:\n  components:\n  - name: a\n    image: a.wasm\n  hostInterfaces:\n  - {entry}\n"
        );
        let parsed = crate::workload::manifest::parse(&manifest, Path::new("workload.yaml"));
        parsed
            .map_err(|errors| errors.to_string())
            .unwrap()
            .remove(0)
            .workload
    }

    /// A tenant of its own.
    pub(in super::super) fn tenant(name: &str) -> Tenant {
        let entry = "{namespace: wasi, package: blobstore, interfaces: [blobstore]}";
        Tenant::of(&workload(name, entry))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    /// What an entry with this `config` comes to, or what is wrong with it.
    fn settings(config: &str) -> Result<EntrySettings, String> {
        let entry = format!(
            "{{namespace: wasi, package: blobstore, interfaces: [blobstore], config: {config}}}"
        );
        let workload = testing::workload("shop", &entry);
        let (index, entry) = entries(&workload).next().unwrap();
        let (read, errors) = read(&workload, index, entry);
        let told = errors.iter().map(|error| {
            let path = error.path.as_deref().unwrap_or_default();
            format!(
                "{path}: {error}; {}",
                error.hint.as_deref().unwrap_or_default()
            )
        });
        match told.collect::<Vec<_>>() {
            none if none.is_empty() => Ok(read),
            some => Err(some.join("\n")),
        }
    }

    #[test]
    fn an_entry_says_where_blobs_are_kept() {
        let none = settings("{}").unwrap();
        assert_eq!(
            (none.backend, none.largest_object),
            (Backend::Default, None)
        );
        let memory = settings("{backend: in-memory, max-object-size: 10MiB}").unwrap();
        assert_eq!(memory.backend, Backend::Memory);
        assert_eq!(memory.largest_object, Some(10 << 20));
        let files = settings("{backend: filesystem, root: /srv/blobs, shared: photos}").unwrap();
        assert_eq!(
            files.backend,
            Backend::Filesystem(Some("/srv/blobs".into()))
        );
        assert_eq!(files.tenant.to_string(), "default/shared/photos");
    }

    #[test]
    fn what_has_no_meaning_is_refused() {
        let refused = |config| settings(config).unwrap_err();
        insta::assert_snapshot!(refused("{backend: filesytem, roots: /a}"), @"
        spec.hostInterfaces.0.config.backend: `filesytem` is no `backend` that this host knows; did you mean `filesystem`?
        spec.hostInterfaces.0.config.roots: `roots` is not a setting of wasi:blobstore, or has no meaning beside the others; known settings are backend, shared, max-object-size
        ");
        insta::assert_snapshot!(refused("{backend: in-memory, root: /a}"), @"spec.hostInterfaces.0.config.root: `root` is not a setting of wasi:blobstore, or has no meaning beside the others; known settings are backend, shared, max-object-size");
        insta::assert_snapshot!(refused("{backend: filesystem, root: a/b, max-object-size: big}"), @"
        spec.hostInterfaces.0.config.root: `root`: wanted the absolute path of a folder that the host allows; 
        spec.hostInterfaces.0.config.max-object-size: `max-object-size`: wanted a size such as `512B`, `64KiB`, `10MiB` or `1GiB`; 
        ");
    }

    #[cfg(feature = "blobstore-s3")]
    #[test]
    fn a_bucket_of_s3_needs_little_and_takes_nothing_for_another_thing() {
        let same = |one, other| {
            let kept = |config| settings(config).map(|read| read.backend);
            assert_eq!(kept(one).unwrap(), kept(other).unwrap());
        };
        same(
            "{backend: s3, bucket: photos}",
            "{backend: s3, bucket: photos, region: us-east-1, endpoint: 'https://s3.us-east-1.amazonaws.com', path-style: 'false'}",
        );
        same(
            "{backend: s3, bucket: photos, endpoint: 'http://h:9000', prefix: a/b}",
            "{backend: s3, bucket: photos, endpoint: 'http://h:9000', prefix: a/b/, path-style: 'true'}",
        );
        let refused = |config| settings(config).unwrap_err();
        insta::assert_snapshot!(refused("{backend: s3, bukket: photos, path-style: maybe}"), @"
        spec.hostInterfaces.0.config.bucket: `bucket` is missing: it names the bucket of S3; 
        spec.hostInterfaces.0.config.path-style: `maybe` is no `path-style` that this host knows; known ones are true, false
        spec.hostInterfaces.0.config.bukket: `bukket` is not a setting of wasi:blobstore, or has no meaning beside the others; did you mean `bucket`?
        ");
        insta::assert_snapshot!(refused("{backend: s3, bucket: photos, secret-access-key: s3cret, endpoint: 's3cret'}"), @"
        spec.hostInterfaces.0.config.endpoint: `endpoint`: wanted a URL such as `https://s3.example.com` or `http://127.0.0.1:9000`, without a path, a user or a password; 
        spec.hostInterfaces.0.config.access-key-id: `access-key-id` is missing: without it, the others are of no use; 
        ");
        insta::assert_snapshot!(refused("{backend: s4}"), @"spec.hostInterfaces.0.config.backend: `s4` is no `backend` that this host knows; did you mean `s3`?");
    }

    #[cfg(feature = "blobstore-nats")]
    #[test]
    fn an_object_store_of_nats_needs_a_server() {
        let refused = |config| settings(config).unwrap_err();
        settings("{backend: nats, url: 'tls://u:p@h', replicas: 3}").unwrap();
        insta::assert_snapshot!(refused("{backend: nats, url: 'http://s3cret', replicas: 0}"), @"
        spec.hostInterfaces.0.config.url: `url`: wanted `nats://HOST:PORT` or `tls://HOST:PORT`, or several with commas between them; 
        spec.hostInterfaces.0.config.replicas: `replicas`: found `0`, wanted a number from 1 to 5; 
        ");
    }
}
