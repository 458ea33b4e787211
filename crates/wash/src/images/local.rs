//! Images on this machine: where they are kept, and the file that `wash pull` makes of one.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use wasmcloud::artifact::{By, Fetch, Files};
use wasmcloud::registry::{AuthSource, ImageOptions, Progress, Sources};
use wasmcloud::workload::{Pull, Reference};

use super::args::{CacheArgs, PullArgs};
use super::{Way, of_image, open, reference};
use crate::dev::user_cache;
use crate::failure::Failure;
use crate::ui::{Ui, size};

/// The folder of images in the user's cache.
const IMAGES: &str = "images";

/// Where images are kept, if anywhere.
pub(super) fn folder(args: &CacheArgs) -> Option<PathBuf> {
    let usual = || user_cache().map(|cache| cache.join(IMAGES));
    args.image_cache.clone().or_else(usual)
}

/// How images are come by where nothing else is said: with the user's cache, and what Docker and Podman of the user know.
pub(crate) fn usual() -> ImageOptions {
    ImageOptions {
        cache: folder(&CacheArgs::default()),
        auth: AuthSource::User,
        ..ImageOptions::default()
    }
}

/// Where components come from: files, and images with these options.
pub(crate) fn source(options: &ImageOptions) -> Result<Arc<dyn Fetch>, Failure> {
    let images = open(options)?;
    Ok(Arc::new(Sources::new(images, Arc::new(Files::default()))))
}

pub(crate) async fn pull(args: PullArgs, ui: &Ui) -> Result<(), Failure> {
    let reference = reference(&args.reference)?;
    let policies = [
        ("always", "Always"),
        ("if-not-present", "IfNotPresent"),
        ("never", "Never"),
    ];
    let policy = policies.iter().find(|(typed, _)| *typed == args.policy);
    let policy = policy.and_then(|(_, policy)| policy.parse().ok());
    if policy.is_none() {
        let message = format!("`{}` is no pull policy", args.policy);
        return Err(Failure::usage(message).hint("known are always, if-not-present and never"));
    }
    let pull = Pull {
        policy,
        secret: None,
    };
    let file = args.file.unwrap_or_else(|| usual_file(&reference));
    if file == Path::new("-") && ui.is_json() {
        let message = "`--output json` prints an object, and `-f -` the component; both go to standard output";
        return Err(Failure::usage(message).hint("name a file, or leave out `--output json`"));
    }
    let way = Way::to(&reference, &args.registry, Some(&args.cache))?;
    let bar = super::progress(ui, "pulling");
    let told = Arc::clone(&bar) as Arc<dyn Progress>;
    let pulled = way
        .images
        .pull(&reference, &pull, By::Host, Some(told))
        .await;
    drop(bar);
    let pulled = pulled.map_err(|error| of_image(&reference, &error))?;
    if file == Path::new("-") {
        let written = std::io::stdout().lock().write_all(&pulled.bytes);
        return written.map_err(|error| Failure::io("cannot write to", "standard output", &error));
    }
    write(&file, &pulled.bytes)?;
    let value = || {
        json!({
            "file": file,
            "reference": pulled.reference.to_string(),
            "digest": pulled.verified.manifest.to_string(),
            "layer": pulled.layer.to_string(),
            "bytes": pulled.bytes.len(),
            "fromCache": pulled.from_cache,
        })
    };
    let text = || {
        let from = if pulled.from_cache {
            "from the cache"
        } else {
            "pulled"
        };
        let (file, size) = (file.display(), size(pulled.bytes.len()));
        format!("{file}: {size}, {from}\n{}", pulled.reference)
    };
    ui.result(value, text)
}

/// The last step of the repository.
fn usual_file(reference: &Reference) -> PathBuf {
    let name = reference.repository().rsplit('/').next();
    format!("{}.wasm", name.unwrap_or("component")).into()
}

/// Writes all of it or nothing.
fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let cannot = |error: &std::io::Error| Failure::io("cannot write", file.display(), error);
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut new = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        new.permissions(fs::Permissions::from_mode(0o644));
    }
    let mut new = new.tempfile_in(folder).map_err(|error| cannot(&error))?;
    new.write_all(bytes).map_err(|error| cannot(&error))?;
    new.persist(file).map_err(|error| cannot(&error.error))?;
    Ok(())
}
