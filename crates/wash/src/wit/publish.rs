//! `wash wit publish`: the project's own package goes to the registry of its namespace.

use std::collections::BTreeMap;

use serde_json::json;
use wasm_pkg_common::package::Version;
use wasmcloud::registry::{ComponentFacts, NewPackage};
use wasmcloud::workload::Digest;

use super::build::build;
use super::compatible;
use super::name::Named;
use super::remote::Remote;
use super::session::Session;
use crate::failure::Failure;
use crate::ui::{Ui, printable};

/// What annotations are called: <https://github.com/opencontainers/image-spec/blob/main/annotations.md>.
const PREFIX: &str = "org.opencontainers.image.";
/// How much of what is wrong with versions is told.
const MOST_TOLD: usize = 600;

/// What publishing comes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Published,
    /// The registry has the very same.
    There,
    /// It would have been published.
    Possible,
}

pub(super) async fn run(session: &Session, dry_run: bool, ui: &Ui) -> Result<(), Failure> {
    let named = &session.own.name;
    let Some(version) = &named.version else {
        let message = format!("{named} has no version, so it cannot be published");
        let hint = format!("give it one, such as `package {named}@0.1.0;`");
        return Err(Failure::new(message).hint(hint));
    };
    refuse_unversioned(session)?;
    let bytes = build(session, ui).await?;
    let digest = Digest::of(&bytes);
    let remote = session.remote(named).await?;
    let place = remote.place(named)?;
    let progress = ui.progress(format!("publishing {named}"));
    let outcome = match remote.digest(named, version).await? {
        Some(there) if there == digest => Outcome::There,
        Some(there) => return Err(taken(named, &place, there, digest)),
        None => {
            refuse_breaking(remote, named, version, &bytes).await?;
            if dry_run {
                Outcome::Possible
            } else {
                let new = new(session, version, bytes);
                remote.publish(named, &new).await?;
                Outcome::Published
            }
        }
    };
    drop(progress);
    ui.result(
        || {
            json!({
                "package": named.package.to_string(),
                "version": version.to_string(),
                "registry": place,
                "digest": digest.to_string(),
                "published": outcome == Outcome::Published,
            })
        },
        || format!("{named}  {place}  {digest}"),
    )?;
    if !ui.is_json() {
        ui.say(match outcome {
            Outcome::Published => format!("published {named} to {place}"),
            Outcome::There => format!("{place} had just this {named} already"),
            Outcome::Possible => format!("{named} could be published to {place}"),
        });
    }
    Ok(())
}

/// What has no version goes within the package, but nobody else could have the same.
fn refuse_unversioned(session: &Session) -> Result<(), Failure> {
    let mut needs = session.own.needs.iter();
    let Some(named) = needs.find(|it| it.version.is_none()) else {
        return Ok(());
    };
    let message = format!("the WIT names {named} without a version, so others could not name it");
    Err(Failure::new(message).hint("give it a version, and name that one"))
}

fn taken(named: &Named, place: &str, there: Digest, here: Digest) -> Failure {
    let message = format!(
        "{place} has {named} already, with another content: {there}, and here it is {here}"
    );
    Failure::new(message)
        .hint("a version that is published stays as it is: raise that of `package` in the WIT")
}

/// A version has to be compatible with those between which it stands.
async fn refuse_breaking(
    remote: &Remote,
    named: &Named,
    version: &Version,
    bytes: &[u8],
) -> Result<(), Failure> {
    let all = remote.any_versions(named).await?;
    let (below, above) = compatible::neighbours(version, &all);
    let there = async |version: &Version| {
        // It may have gone in the meantime.
        match remote.digest(named, version).await? {
            Some(digest) => remote.content(named, version, digest).await.map(Some),
            None => Ok(None),
        }
    };
    if let Some(older) = below
        && let Some(content) = there(older).await?
    {
        refuse(named, (older, content), (version, bytes.to_vec())).await?;
    }
    if let Some(newer) = above
        && let Some(content) = there(newer).await?
    {
        refuse(named, (version, bytes.to_vec()), (newer, content)).await?;
    }
    Ok(())
}

async fn refuse(
    named: &Named,
    (older, before): (&Version, Vec<u8>),
    (newer, now): (&Version, Vec<u8>),
) -> Result<(), Failure> {
    // What is in a registry may be anything: whatever becomes of the check, it does not end here.
    let checked = tokio::task::spawn_blocking(move || compatible::check(&before, &now)).await;
    let checked = checked.unwrap_or_else(|_| Err("they cannot be compared".to_owned()));
    checked.map_err(|wrong| {
        let wrong: String = wrong.chars().take(MOST_TOLD).collect();
        let message = format!(
            "{} {newer} would break those that use {older}: {}",
            named.package,
            printable(&wrong)
        );
        Failure::new(message)
            .hint("raise the version that `package` says so that it is not compatible")
    })
}

/// The package with what is said about it.
fn new(session: &Session, version: &Version, bytes: Vec<u8>) -> NewPackage {
    let told = &session.manifest.metadata;
    let version_told = Some(version.to_string());
    let said = [
        ("version", &version_told),
        ("authors", &told.authors),
        ("description", &told.description),
        ("licenses", &told.licenses),
        ("source", &told.source),
        ("url", &told.homepage),
        ("revision", &told.revision),
    ];
    let said = said.into_iter();
    let said = said.filter_map(|(key, value)| Some((format!("{PREFIX}{key}"), value.clone()?)));
    let annotations: BTreeMap<String, String> = said.collect();
    NewPackage {
        version: version.clone(),
        facts: ComponentFacts {
            author: told.authors.clone(),
            exports: exports(session),
            ..ComponentFacts::default()
        },
        content: bytes.into(),
        annotations,
    }
}

/// The interfaces and worlds of the package, which registries list as exports.
fn exports(session: &Session) -> Vec<String> {
    let main = &session.own.group.main;
    let foreign: Vec<&String> = main
        .foreign_deps
        .values()
        .flat_map(|it| it.keys())
        .collect();
    let interfaces = main
        .interfaces
        .iter()
        .filter_map(|(_, it)| it.name.as_ref());
    let worlds = main.worlds.iter().map(|(_, it)| &it.name);
    let own = interfaces.chain(worlds).filter(|it| !foreign.contains(it));
    let package = &session.own.name.package;
    let version = session.own.name.version.as_ref();
    let version = version.map(|it| format!("@{it}")).unwrap_or_default();
    let mut names: Vec<String> = own.map(|it| format!("{package}/{it}{version}")).collect();
    names.sort();
    names
}
