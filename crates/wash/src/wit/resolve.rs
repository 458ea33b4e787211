//! Finds every package that the WIT of a project needs, and puts them together the way a compiler will.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use wit_component::{DecodedWasm, WitPrinter};
use wit_parser::{PackageId, PackageName, Resolve, SourceMap, UnresolvedPackageGroup};

use super::files;
use super::folder::{self, Entry, Form, Maker};
use super::lock::{Lock, Pin};
use super::name::Named;
use super::session::Session;
use crate::failure::Failure;

/// Where a package comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Registry(Pin),
    Path(PathBuf),
    /// It lies in `deps`, by hand.
    Hand(PathBuf),
    /// Another package brought it along.
    Within,
}

/// A package that is needed.
#[derive(Clone, Debug)]
pub(super) struct Package {
    pub(super) named: Named,
    pub(super) origin: Origin,
    /// Its text, if it is to be in `deps`.
    pub(super) text: Option<String>,
}

/// Everything that is needed.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) packages: Vec<Package>,
    /// The lock file as it should be.
    pub(super) lock: Lock,
}

/// What was found, before it is put together.
#[derive(Default)]
struct Parts {
    origins: BTreeMap<Named, Origin>,
    /// Packages as text, which come before all that packages of registries bring along.
    texts: Vec<UnresolvedPackageGroup>,
    /// What is made of WebAssembly.
    binary: Vec<(Named, Resolve)>,
}

/// Finds what is needed. Registries are asked only about what neither the lock file nor this machine knows.
pub(super) async fn resolve(session: &Session) -> Result<Resolved, Failure> {
    let mut parts = Parts::default();
    let mut todo: BTreeSet<Named> = session.own.needs.clone();
    while let Some(named) = todo.pop_first() {
        if parts.origins.contains_key(&named) || session.own.provides.contains(&named) {
            continue;
        }
        if let Some(path) = session.local(&named) {
            todo.extend(parts.local(&named, path)?);
        } else if let Some(entry) = by_hand(session, &named)? {
            todo.extend(parts.hand(entry));
        } else {
            let pin = session.pin(&named).await?;
            let bytes = session.content(&named, &pin).await?;
            let resolve = decode(&named, &bytes, &pin)?;
            // Whoever put a package into `deps` wants that one instead of what others bring along.
            for within in resolve
                .packages
                .iter()
                .filter_map(|(_, it)| Named::of(&it.name))
            {
                if by_hand(session, &within)?.is_some() || session.local(&within).is_some() {
                    todo.insert(within);
                }
            }
            parts.binary.push((named.clone(), resolve));
            parts.origins.insert(named, Origin::Registry(pin));
        }
    }
    let mut lock = session.lock.clone();
    lock.pins = parts
        .origins
        .values()
        .filter_map(|origin| match origin {
            Origin::Registry(pin) => Some(pin.clone()),
            _ => None,
        })
        .collect();
    let packages = parts.assemble(session)?;
    Ok(Resolved { packages, lock })
}

/// What lies in `deps` for a package, unless `wash wit` or `wkg` put it there.
pub(super) fn by_hand<'a>(
    session: &'a Session,
    named: &Named,
) -> Result<Option<&'a Entry>, Failure> {
    let Some(entry) = session.vendored.with(named) else {
        return Ok(None);
    };
    match entry.maker {
        Maker::Wash(_) => Ok(None),
        Maker::Hand if session.lock.pin(named).is_some() && entry.looks_like(named) => Ok(None),
        Maker::Hand => Ok(Some(entry)),
        Maker::Changed => Err(changed(entry)),
    }
}

/// What was fetched is not changed in place: the next one would be lost.
pub(super) fn changed(entry: &Entry) -> Failure {
    let path = entry.path.join(folder::FILE);
    let message = format!("{} was changed since it was fetched", path.display());
    Failure::new(message)
        .hint("remove it to fetch it again, or remove its first line to keep it as your own")
}

/// Reads what a registry sent: a package of WIT in WebAssembly, and with the right name.
fn decode(named: &Named, bytes: &[u8], pin: &Pin) -> Result<Resolve, Failure> {
    let from = pin.registry.as_deref().unwrap_or("the registry");
    let (resolve, id) = decode_package(bytes)
        .map_err(|wrong| Failure::new(format!("what {from} has as {named} {wrong}")))?;
    let found = resolve.packages.get(id).map(|it| &it.name);
    let same = found.and_then(Named::of).is_some_and(|found| {
        found.package == named.package && found.version.as_ref() == Some(&pin.version)
    });
    if same {
        return Ok(resolve);
    }
    let found = found.map(ToString::to_string).unwrap_or_default();
    Err(Failure::new(format!(
        "what {from} has as {named} is the package {found}"
    )))
}

/// The package in some bytes, with all that it uses. The error begins with a verb.
pub(super) fn decode_package(bytes: &[u8]) -> Result<(Resolve, PackageId), String> {
    if !bytes.starts_with(b"\0asm") {
        return Err("is no WebAssembly".to_owned());
    }
    match wit_component::decode(bytes) {
        Ok(DecodedWasm::WitPackage(resolve, id)) => Ok((resolve, id)),
        Ok(DecodedWasm::Component(..)) => Err("is a component, not a package of WIT".to_owned()),
        Err(error) => Err(format!("is no package of WIT: {error:#}")),
    }
}

impl Parts {
    /// Takes a package from a path; what it needs.
    fn local(&mut self, named: &Named, path: PathBuf) -> Result<BTreeSet<Named>, Failure> {
        let wrong = |what: String| {
            let message = format!("{named} should come from {}, {what}", path.display());
            Failure::new(message)
                .hint("`overrides` in wkg.toml or `wit.sources` in .wash/config.yaml say so")
        };
        if !path.exists() {
            return Err(wrong("which is not there".to_owned()));
        }
        let needs = if is_binary(&path) {
            let bytes = files::read(&path, folder::MOST_BYTES)
                .map_err(|error| Failure::io("cannot read", path.display(), &error))?;
            let (resolve, id) =
                decode_package(&bytes).map_err(|it| wrong(format!("which {it}")))?;
            let found = resolve.packages.get(id).and_then(|it| Named::of(&it.name));
            if found.as_ref() != Some(named) {
                return Err(wrong(other(found)));
            }
            self.binary.push((named.clone(), resolve));
            BTreeSet::new()
        } else {
            let group = folder::read_group(&path)?;
            let (provides, needs) = folder::names(&group);
            if !provides.contains(named) {
                return Err(wrong(other(Named::of(&group.main.name))));
            }
            for within in provides {
                self.origins.insert(within, Origin::Path(path.clone()));
            }
            self.texts.push(group);
            needs
        };
        self.origins.insert(named.clone(), Origin::Path(path));
        Ok(needs)
    }

    /// Takes what lies in `deps`; what it needs.
    fn hand(&mut self, entry: &Entry) -> BTreeSet<Named> {
        for named in &entry.packages {
            let origin = Origin::Hand(entry.path.clone());
            self.origins.insert(named.clone(), origin);
        }
        match &entry.form {
            Form::Text(group) => self.texts.push(group.as_ref().clone()),
            Form::Binary(resolve) => {
                let named = entry.packages.iter().next().cloned();
                self.binary
                    .extend(named.map(|it| (it, resolve.as_ref().clone())));
            }
        }
        entry.needs.clone()
    }

    /// Puts everything together and prints what is not there by hand.
    fn assemble(mut self, session: &Session) -> Result<Vec<Package>, Failure> {
        let mut merged = everything();
        for (named, resolve) in std::mem::take(&mut self.binary) {
            merged.merge(resolve).map_err(|error| {
                Failure::new(format!(
                    "{named} does not go together with the other packages: {error:#}"
                ))
            })?;
        }
        // What is written by hand or comes from a path stands for what another package brought along.
        let own = &session.own;
        let texts: BTreeSet<Named> = self
            .texts
            .iter()
            .flat_map(|it| folder::names(it).0)
            .collect();
        let mut groups = std::mem::take(&mut self.texts);
        for (id, package) in merged.packages.iter() {
            let taken = Named::of(&package.name)
                .is_some_and(|it| texts.contains(&it) || own.provides.contains(&it));
            if !taken {
                let mut map = SourceMap::default();
                map.push_str(&package.name.to_string(), print(&merged, id)?);
                groups.push(folder::parse(map)?);
            }
        }
        let mut whole = everything();
        whole
            .push_groups(own.group.clone(), groups)
            .map_err(|error| Failure::new(error.render(&whole.source_map)))?;
        self.packages(session, &whole)
    }

    fn packages(&self, session: &Session, whole: &Resolve) -> Result<Vec<Package>, Failure> {
        let mut packages = Vec::new();
        for (id, package) in whole.packages.iter() {
            let Some(named) = Named::of(&package.name) else {
                return Err(strange(&package.name));
            };
            if session.own.provides.contains(&named) {
                continue;
            }
            let origin = self.origins.get(&named).cloned().unwrap_or(Origin::Within);
            let text = match origin {
                Origin::Hand(_) => None,
                _ => Some(print(whole, id)?),
            };
            packages.push(Package {
                named,
                origin,
                text,
            });
        }
        packages.sort_by(|a, b| a.named.cmp(&b.named));
        Ok(packages)
    }
}

fn strange(name: &PackageName) -> Failure {
    Failure::new(format!("`{name}` is no name of a package"))
}

fn other(found: Option<Named>) -> String {
    let found = found.map_or_else(|| "another package".to_owned(), |it| it.to_string());
    format!("which has {found}")
}

fn is_binary(path: &Path) -> bool {
    path.extension().is_some_and(|it| it == "wasm")
}

/// Holds packages, and whatever of them is behind a gate.
fn everything() -> Resolve {
    Resolve {
        all_features: true,
        ..Resolve::default()
    }
}

fn print(resolve: &Resolve, id: PackageId) -> Result<String, Failure> {
    let mut printer = WitPrinter::default();
    printer
        .print(resolve, id, &[])
        .map_err(|error| Failure::new(format!("cannot write a package as text: {error:#}")))?;
    Ok(printer.output.to_string())
}
