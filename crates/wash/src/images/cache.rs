//! `wash cache`: what was pulled and is kept, and what was compiled of it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};
use wasmcloud::engine::compiled::{self, CompiledCache};
use wasmcloud::registry::Progress as _;
use wasmcloud::registry::store::{
    Checked, Damaged, Listing, Prune, Store, StoreError, StoreOptions, Total,
};

use super::args::{CacheArgs, CacheCommand, CacheCommandArgs, CachesArgs};
use super::{local, with_hint};
use crate::dev::usual_cache;
use crate::failure::Failure;
use crate::ui::{Ui, count, size, table};

pub(crate) async fn run(args: CacheCommandArgs, ui: &Ui) -> Result<(), Failure> {
    match args.command {
        CacheCommand::Show { caches } => show(&Caches::open(&caches)?, ui).await,
        CacheCommand::Prune {
            unused_for,
            to_size,
            caches,
        } => {
            let prune = match (unused_for, to_size) {
                (Some(since), _) => Prune::Unused { since },
                (None, Some(bytes)) => Prune::ToSize(bytes),
                (None, None) => Prune::All,
            };
            pruned(&Caches::open(&caches)?, prune, ui).await
        }
        CacheCommand::Verify { caches } => verify(&Caches::open(&caches)?, ui).await,
    }
}

/// The two that a command is about.
struct Caches {
    images: Store,
    /// None where only a folder of images was named, or none was, and the user has none.
    compiled: Option<CompiledCache>,
}

impl Caches {
    /// Both, before anything is done to either.
    fn open(args: &CachesArgs) -> Result<Self, Failure> {
        // A folder of images that is named is somebody's: what the user has compiled has nothing to do with it.
        let usual = || {
            args.images
                .image_cache
                .is_none()
                .then(usual_cache)
                .flatten()
        };
        let folder = args.cache_dir.clone().or_else(usual);
        let compiled = folder.map(|folder| CompiledCache::open(&folder));
        let compiled = compiled.transpose().map_err(|error| of_compiled(&error))?;
        Ok(Self {
            images: store(&args.images)?,
            compiled,
        })
    }

    /// Does something with what was compiled. It may block: nothing else goes on meanwhile.
    fn compiled<T>(
        &self,
        work: impl FnOnce(&CompiledCache) -> io::Result<T>,
    ) -> Result<Option<T>, Failure> {
        let done = self.compiled.as_ref().map(work).transpose();
        done.map_err(|error| of_compiled(&error))
    }
}

fn store(args: &CacheArgs) -> Result<Store, Failure> {
    let folder = local::folder(args).ok_or_else(|| {
        Failure::new("there is no folder for the cache: neither `XDG_CACHE_HOME` nor `HOME` is set")
            .hint("name one with `--image-cache`")
    })?;
    Store::open(&folder, StoreOptions::default()).map_err(failed)
}

fn of_compiled(error: &io::Error) -> Failure {
    let failure = Failure::new(format!("cannot use the compiled components: {error}"));
    failure.hint("run as the owner of the folder, or name another one with `--cache-dir`")
}

fn failed(error: StoreError) -> Failure {
    with_hint(error.to_string(), error.hint().map(str::to_owned))
}

async fn show(caches: &Caches, ui: &Ui) -> Result<(), Failure> {
    let store = &caches.images;
    let listing = store.list().await.map_err(failed)?;
    let compiled = caches.compiled(|cache| Ok((cache.folder().to_owned(), cache.list()?)))?;
    let value = || to_json(store, &listing, compiled.as_ref().map(compiled_to_json));
    ui.result(value, || {
        let lines = std::iter::once(to_text(store, &listing));
        let lines = lines.chain(compiled.as_ref().map(compiled_to_text));
        lines.collect::<Vec<_>>().join("\n")
    })
}

fn to_json(store: &Store, listing: &Listing, compiled: Option<Value>) -> Value {
    let images = listing.images.iter().map(|image| {
        json!({
            "reference": image.reference.to_string(),
            "manifest": image.manifest.to_string(),
            "layer": image.layer.to_string(),
            "bytes": image.size,
            "pulled": seconds(image.pulled),
            "lastUsed": seconds(image.last_used),
            "inUse": image.in_use,
            "private": image.is_private,
        })
    });
    let total = |total: &Total| json!({"count": total.count, "bytes": total.bytes});
    json!({
        "folder": store.folder(),
        "images": images.collect::<Vec<_>>(),
        "blobs": total(&listing.blobs),
        "orphans": total(&listing.orphans),
        "partials": total(&listing.partials),
        "limit": listing.limit,
        "compiled": compiled,
    })
}

fn compiled_to_json((folder, listing): &(PathBuf, compiled::Listing)) -> Value {
    json!({
        "folder": folder,
        "artifacts": listing.artifacts,
        "worlds": listing.worlds,
        "bytes": listing.bytes,
        "stale": {"count": listing.stale, "bytes": listing.stale_bytes},
    })
}

fn seconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

fn bytes(bytes: u64) -> String {
    size(usize::try_from(bytes).unwrap_or(usize::MAX))
}

fn to_text(store: &Store, listing: &Listing) -> String {
    let mut lines = vec![store.folder().display().to_string()];
    let rows: Vec<Vec<String>> = listing
        .images
        .iter()
        .map(|image| {
            let mut notes = Vec::new();
            notes.extend(image.in_use.then_some("in use"));
            notes.extend(image.is_private.then_some("private"));
            vec![
                format!("  {}", image.reference),
                bytes(image.size),
                format!("used {} ago", ago(image.last_used)),
                notes.join(", "),
            ]
        })
        .collect();
    if !rows.is_empty() {
        lines.push(table(&rows));
    }
    lines.push(format!(
        "{} in {}, {} of {}",
        count(rows.len(), "image"),
        count(listing.blobs.count, "blob"),
        bytes(listing.blobs.bytes),
        bytes(listing.limit)
    ));
    for (what, total) in [
        ("blob of no image", listing.orphans),
        ("unfinished download", listing.partials),
    ] {
        if total.count > 0 {
            lines.push(format!(
                "{}, {}",
                count(total.count, what),
                bytes(total.bytes)
            ));
        }
    }
    lines.join("\n")
}

fn compiled_to_text((folder, listing): &(PathBuf, compiled::Listing)) -> String {
    let stale = match listing.stale {
        0 => String::new(),
        stale => format!(
            "; {stale} of other versions, {}",
            bytes(listing.stale_bytes)
        ),
    };
    format!(
        "{} and {} of components, {} in {}{stale}",
        count(listing.artifacts, "compiled artifact"),
        count(listing.worlds, "description"),
        bytes(listing.bytes),
        folder.display()
    )
}

/// How long ago something was, in the largest unit.
fn ago(time: SystemTime) -> String {
    let passed = SystemTime::now()
        .duration_since(time)
        .unwrap_or_default()
        .as_secs();
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute")];
    let found = units.iter().find(|(length, _)| passed >= *length);
    let (length, unit) = found.copied().unwrap_or((1, "second"));
    count(usize::try_from(passed / length).unwrap_or(usize::MAX), unit)
}

async fn pruned(caches: &Caches, prune: Prune, ui: &Ui) -> Result<(), Failure> {
    let pruned = caches.images.prune(prune).await.map_err(failed)?;
    let compiled = caches.compiled(|cache| cache.prune(prune))?;
    let value = || {
        json!({
            "blobs": pruned.blobs,
            "partials": pruned.partials,
            "bytes": pruned.bytes,
            "keptInUse": pruned.kept_in_use,
            "compiled": compiled.as_ref().map(pruned_to_json),
        })
    };
    let text = || {
        let kept = match pruned.kept_in_use {
            0 => String::new(),
            kept => format!("; {kept} in use stay"),
        };
        let removed = |files: usize, of: &str, total: u64| {
            let (files, total) = (count(files, "file"), bytes(total));
            format!("removed {files} of {of}, {total}")
        };
        let images = removed(pruned.blobs + pruned.partials, "images", pruned.bytes) + &kept;
        let compiled = compiled.map(|it| removed(it.files(), "compiled components", it.bytes));
        let lines = std::iter::once(images).chain(compiled);
        lines.collect::<Vec<_>>().join("\n")
    };
    ui.result(value, text)
}

fn pruned_to_json(pruned: &compiled::Pruned) -> Value {
    json!({
        "artifacts": pruned.artifacts,
        "worlds": pruned.worlds,
        "leftovers": pruned.leftovers,
        "bytes": pruned.bytes,
    })
}

async fn verify(caches: &Caches, ui: &Ui) -> Result<(), Failure> {
    let bar = super::progress(ui, "verifying");
    let told = Arc::clone(&bar);
    let checked = move |checked: Checked| told.moved(checked.bytes, checked.of);
    let mut damaged = caches.images.verify(checked).await.map_err(failed)?;
    let compiled = caches.compiled(CompiledCache::verify)?;
    damaged.extend(compiled.into_iter().flatten().map(|it| Damaged {
        path: it.path,
        problem: it.problem,
        references: Vec::new(),
        is_removed: it.is_removed,
    }));
    drop(bar);
    if damaged.is_empty() {
        let text = || "everything is as it was written".to_owned();
        return ui.result(|| json!({"damaged": []}), text);
    }
    let told = Failure::new(format!("{} damaged", count(damaged.len(), "file")));
    let told = told.hint("what is wanted again is pulled or compiled again");
    if ui.is_json() {
        return Err(told.with("damaged", damage_json(&damaged)));
    }
    let lines: Vec<String> = damaged.iter().map(told_damage).collect();
    ui.result(|| Value::Null, || lines.join("\n"))?;
    Err(told)
}

fn damage_json(damaged: &[Damaged]) -> Value {
    let damaged = damaged.iter().map(|it| {
        let references = it.references.iter().map(ToString::to_string);
        json!({
            "path": it.path,
            "problem": it.problem,
            "references": references.collect::<Vec<_>>(),
            "removed": it.is_removed,
        })
    });
    damaged.collect()
}

fn told_damage(damaged: &Damaged) -> String {
    let what = if damaged.is_removed {
        "removed"
    } else {
        "cannot remove"
    };
    let references = damaged.references.iter().map(|it| format!("\n  of {it}"));
    let references: String = references.collect();
    format!(
        "{what} {}: {}{references}",
        damaged.path.display(),
        damaged.problem
    )
}
