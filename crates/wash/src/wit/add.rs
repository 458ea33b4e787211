//! `wash wit add`: a world of the project imports a package, and the package is fetched.

use std::path::PathBuf;

use serde_json::json;

use super::fetch::{Fetched, prepare};
use super::files;
use super::folder::Own;
use super::name::{Named, Typed};
use super::session::{Session, there_are};
use super::text::{self, World};
use crate::failure::Failure;
use crate::ui::Ui;

pub(super) async fn run(
    mut session: Session,
    typed: &str,
    world: Option<&str>,
    ui: &Ui,
) -> Result<(), Failure> {
    let typed = Typed::read(typed)?;
    let (file, world) = find_world(&session.own, world)?;
    let named = choose(&session, &typed).await?;
    let items = items(&session, &named).await?;
    let statements = statements(&typed, &named, &items)?;
    let original = session.own.texts.get(&file).cloned().unwrap_or_default();
    let mut changed = original.clone();
    let mut added = Vec::new();
    for statement in statements {
        if has(&changed, &world.name, &statement) {
            continue;
        }
        let now = text::scan(&changed).worlds.into_iter();
        let now = now.into_iter().find(|it| it.name == world.name);
        changed = text::insert(&changed, &now.unwrap_or_else(|| world.clone()), &statement);
        added.push(statement);
    }
    session.change(&file, changed.clone())?;
    let fetched = prepare(&session, ui).await?.write()?;
    if changed != original {
        files::replace(&file, changed.as_bytes())
            .map_err(|error| Failure::io("cannot write", file.display(), &error))?;
    }
    show(&fetched, &session, (&file, &world.name), &added, ui)
}

fn show(
    fetched: &Fetched,
    session: &Session,
    (file, world): (&PathBuf, &str),
    added: &[String],
    ui: &Ui,
) -> Result<(), Failure> {
    let more = json!({"added": added, "world": world, "file": file});
    fetched.show(session, ui, &more)?;
    if ui.is_json() {
        return Ok(());
    }
    for statement in added {
        ui.say(format_args!(
            "{}: world {world} has now `{statement}`",
            file.display()
        ));
    }
    if added.is_empty() {
        ui.say(format_args!(
            "{}: world {world} had it already",
            file.display()
        ));
    }
    Ok(())
}

/// The world of that name, or the only one.
fn find_world(own: &Own, name: Option<&str>) -> Result<(PathBuf, World), Failure> {
    let mut worlds = Vec::new();
    for (file, text) in &own.texts {
        let found = text::scan(text).worlds.into_iter();
        worlds.extend(found.map(|world| (file.clone(), world)));
    }
    let names: Vec<&str> = worlds.iter().map(|(_, it)| it.name.as_str()).collect();
    let names = names.join(", ");
    let there = own.path.display();
    if let Some(name) = name {
        let found = worlds.into_iter().find(|(_, it)| it.name == name);
        return found.ok_or_else(|| {
            let hint = if names.is_empty() {
                "there is none at all".to_owned()
            } else {
                format!("there are: {names}")
            };
            Failure::usage(format!("there is no world `{name}` in {there}")).hint(hint)
        });
    }
    match worlds.len() {
        0 => Err(Failure::new(format!("there is no world in {there}"))
            .hint("add one, such as `world app {}`")),
        1 => worlds
            .pop()
            .ok_or_else(|| Failure::new("there is no world")),
        _ => Err(
            Failure::usage(format!("there are several worlds in {there}: {names}"))
                .hint("choose one with --world"),
        ),
    }
}

/// The version that was typed, that of the WIT if it names the package already, that of a local package, or the newest.
async fn choose(session: &Session, typed: &Typed) -> Result<Named, Failure> {
    let any = Named {
        package: typed.package.clone(),
        version: typed.version.clone(),
    };
    if any.version.is_some() {
        return Ok(any);
    }
    let mut known = session
        .own
        .needs
        .iter()
        .filter(|it| it.package == typed.package);
    if let (Some(named), None) = (known.next(), known.next()) {
        return Ok(named.clone());
    }
    if let Some(path) = session.local(&any) {
        let group = super::folder::read_group(&path)?;
        return Named::of(&group.main.name)
            .filter(|it| it.package == any.package)
            .ok_or_else(|| {
                Failure::new(format!("{} has another package than {any}", path.display()))
            });
    }
    let vendored = session.vendored.0.iter().flat_map(|it| &it.packages);
    if let Some(named) = vendored.clone().find(|it| it.package == typed.package) {
        return Ok(named.clone());
    }
    let remote = session.remote(&any).await?;
    let versions = remote.versions(&any).await?;
    let place = remote.place(&any)?;
    let allowed = versions
        .iter()
        .filter(|it| session.allowed(&any, it).is_ok());
    // One that is only on trial is taken where there is no other.
    let newest = allowed.clone().rfind(|it| it.pre.is_empty());
    let newest = newest.or_else(|| allowed.clone().next_back());
    let version = newest.cloned().ok_or_else(|| {
        let message = format!("{place} has no version of {any} that could be added");
        Failure::new(message).hint(there_are(&versions))
    })?;
    Ok(Named {
        version: Some(version),
        ..any
    })
}

/// The interfaces and worlds of a package.
struct Items {
    interfaces: Vec<String>,
    worlds: Vec<String>,
}

async fn items(session: &Session, named: &Named) -> Result<Items, Failure> {
    let group = if let Some(path) = session.local(named) {
        Some(super::folder::read_group(&path)?)
    } else {
        match super::resolve::by_hand(session, named)?.map(|it| &it.form) {
            Some(super::folder::Form::Text(group)) => Some(group.as_ref().clone()),
            _ => None,
        }
    };
    if let Some(group) = group {
        let interfaces = group
            .main
            .interfaces
            .iter()
            .filter_map(|(_, it)| it.name.clone());
        let foreign: Vec<&String> = group
            .main
            .foreign_deps
            .values()
            .flat_map(|it| it.keys())
            .collect();
        let interfaces = interfaces.filter(|it| !foreign.contains(&it)).collect();
        let worlds = group.main.worlds.iter().map(|(_, it)| it.name.clone());
        let worlds = worlds.filter(|it| !foreign.contains(&it)).collect();
        return Ok(Items { interfaces, worlds });
    }
    let pin = session.pin(named).await?;
    let bytes = session.content(named, &pin).await?;
    let (resolve, id) = super::resolve::decode_package(&bytes)
        .map_err(|wrong| Failure::new(format!("what the registry has as {named} {wrong}")))?;
    let package = resolve
        .packages
        .get(id)
        .ok_or_else(|| Failure::new(format!("what the registry has as {named} is empty")))?;
    Ok(Items {
        interfaces: package.interfaces.keys().cloned().collect(),
        worlds: package.worlds.keys().cloned().collect(),
    })
}

/// What is written into the world.
fn statements(typed: &Typed, named: &Named, items: &Items) -> Result<Vec<String>, Failure> {
    let version = named.version.as_ref();
    let version = version.map(|it| format!("@{it}")).unwrap_or_default();
    let package = &named.package;
    let import = |item: &String| format!("import {package}/{item}{version};");
    let all: Vec<&str> = items
        .interfaces
        .iter()
        .chain(&items.worlds)
        .map(String::as_str)
        .collect();
    match &typed.item {
        Some(item) if items.interfaces.contains(item) => Ok(vec![import(item)]),
        Some(item) if items.worlds.contains(item) => {
            Ok(vec![format!("include {package}/{item}{version};")])
        }
        Some(item) => Err(Failure::new(format!(
            "{named} has neither an interface nor a world `{item}`"
        ))
        .hint(format!("it has: {}", all.join(", ")))),
        None if items.interfaces.is_empty() => Err(Failure::new(format!(
            "{named} has no interface that could be imported"
        ))
        .hint(format!("name one of its worlds: {}", all.join(", ")))),
        None => Ok(items.interfaces.iter().map(import).collect()),
    }
}

/// Whether a world has a statement already.
fn has(text: &str, world: &str, statement: &str) -> bool {
    text::has(text, world, statement.trim_end_matches(';'))
}
