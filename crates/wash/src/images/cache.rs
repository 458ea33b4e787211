//! `wash cache`: what was pulled and is kept.

use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Value, json};
use wasmcloud::registry::Progress as _;
use wasmcloud::registry::store::{
    Checked, Damaged, Listing, Prune, Store, StoreError, StoreOptions, Total,
};

use super::args::{CacheArgs, CacheCommand, CacheCommandArgs};
use super::{local, with_hint};
use crate::failure::Failure;
use crate::ui::{Ui, count, size, table};

pub(crate) async fn run(args: CacheCommandArgs, ui: &Ui) -> Result<(), Failure> {
    match args.command {
        CacheCommand::Show { cache } => show(&store(&cache)?, ui).await,
        CacheCommand::Prune {
            unused_for,
            to_size,
            cache,
        } => {
            let prune = match (unused_for, to_size) {
                (Some(since), _) => Prune::Unused { since },
                (None, Some(bytes)) => Prune::ToSize(bytes),
                (None, None) => Prune::All,
            };
            pruned(&store(&cache)?, prune, ui).await
        }
        CacheCommand::Verify { cache } => verify(&store(&cache)?, ui).await,
    }
}

fn store(args: &CacheArgs) -> Result<Store, Failure> {
    let folder = local::folder(args).ok_or_else(|| {
        Failure::new("there is no folder for the cache: neither `XDG_CACHE_HOME` nor `HOME` is set")
            .hint("name one with `--image-cache`")
    })?;
    Store::open(&folder, StoreOptions::default()).map_err(failed)
}

fn failed(error: StoreError) -> Failure {
    with_hint(error.to_string(), error.hint().map(str::to_owned))
}

async fn show(store: &Store, ui: &Ui) -> Result<(), Failure> {
    let listing = store.list().await.map_err(failed)?;
    ui.result(|| to_json(store, &listing), || to_text(store, &listing))
}

fn to_json(store: &Store, listing: &Listing) -> Value {
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

async fn pruned(store: &Store, prune: Prune, ui: &Ui) -> Result<(), Failure> {
    let pruned = store.prune(prune).await.map_err(failed)?;
    let value = || {
        json!({
            "blobs": pruned.blobs,
            "partials": pruned.partials,
            "bytes": pruned.bytes,
            "keptInUse": pruned.kept_in_use,
        })
    };
    let text = || {
        let kept = match pruned.kept_in_use {
            0 => String::new(),
            kept => format!("; {kept} in use stay"),
        };
        let removed = count(pruned.blobs + pruned.partials, "file");
        format!("removed {removed}, {}{kept}", bytes(pruned.bytes))
    };
    ui.result(value, text)
}

async fn verify(store: &Store, ui: &Ui) -> Result<(), Failure> {
    let bar = super::progress(ui, "verifying");
    let told = Arc::clone(&bar);
    let checked = move |checked: Checked| told.moved(checked.bytes, checked.of);
    let damaged = store.verify(checked).await.map_err(failed)?;
    drop(bar);
    if damaged.is_empty() {
        let text = || "everything is as it was written".to_owned();
        return ui.result(|| json!({"damaged": []}), text);
    }
    let told = Failure::new(format!("{} damaged", count(damaged.len(), "file")));
    let told = told.hint("what is wanted again is pulled again");
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
