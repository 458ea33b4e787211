//! `wash wit remove`: the worlds of the project import a package no more, and its files go.

use std::collections::BTreeMap;

use serde_json::json;

use super::fetch::prepare;
use super::files;
use super::name::Typed;
use super::resolve::by_hand;
use super::session::Session;
use super::text;
use crate::failure::Failure;
use crate::ui::{Ui, count};

pub(super) async fn run(mut session: Session, typed: &str, ui: &Ui) -> Result<(), Failure> {
    let typed = Typed::package(typed)?;
    let meant = |it: &super::name::Named| {
        it.package == typed.package && (typed.version.is_none() || it.version == typed.version)
    };
    if !session.own.needs.iter().any(meant) {
        return Err(not_there(&session, &typed));
    }
    let (mut changed, mut removed) = (BTreeMap::new(), 0);
    for (file, text) in session.own.texts.clone() {
        let (now, number) = text::remove(&text, &typed.package, typed.version.as_ref());
        if number > 0 {
            session.change(&file, now.clone())?;
            removed += number;
            changed.insert(file, now);
        }
    }
    if let Some(named) = session.own.needs.iter().find(|it| meant(it)) {
        let places = places(&session, &typed);
        let message = format!(
            "{named} is used by more than worlds that could do without: {}",
            places.join(", ")
        );
        return Err(Failure::new(message).hint(
            "take those uses out yourself, then `wash wit fetch` removes what is not needed",
        ));
    }
    let fetched = prepare(&session, ui).await?.write()?;
    for (file, text) in &changed {
        files::replace(file, text.as_bytes())
            .map_err(|error| Failure::io("cannot write", file.display(), &error))?;
    }
    let files: Vec<_> = changed.keys().collect();
    fetched.show(
        &session,
        ui,
        &json!({"statements": removed, "files": files}),
    )?;
    if ui.is_json() {
        return Ok(());
    }
    let files: Vec<String> = files.iter().map(|it| it.display().to_string()).collect();
    ui.say(format_args!(
        "took {} out of {}",
        count(removed, "statement"),
        files.join(", ")
    ));
    say_left(&session, &typed, ui)
}

/// What of the package is left, as nobody here put it there.
fn say_left(session: &Session, typed: &Typed, ui: &Ui) -> Result<(), Failure> {
    let vendored = session.vendored.0.iter().flat_map(|it| &it.packages);
    for named in vendored.filter(|it| it.package == typed.package) {
        if let Some(entry) = by_hand(session, named)? {
            ui.say(format_args!(
                "{} stays: it was put there by hand",
                entry.path.display()
            ));
        }
    }
    if session.manifest.paths.contains_key(&typed.package)
        || session.manifest.versions.contains_key(&typed.package)
    {
        ui.say(format_args!(
            "wkg.toml still has an override for {}",
            typed.package
        ));
    }
    Ok(())
}

fn not_there(session: &Session, typed: &Typed) -> Failure {
    let message = format!("the WIT of this project does not name {}", typed.package);
    let names: Vec<String> = session.own.needs.iter().map(ToString::to_string).collect();
    let hint = if names.is_empty() {
        "it names no other package".to_owned()
    } else {
        format!("it names {}", names.join(", "))
    };
    Failure::new(message).hint(hint)
}

/// The files that still name a package.
fn places(session: &Session, typed: &Typed) -> Vec<String> {
    let texts = session.own.texts.iter();
    let names = |text: &str| {
        let mentions = text::scan(text).mentions;
        mentions.iter().any(|it| it.package == typed.package)
    };
    texts
        .filter(|(_, text)| names(text))
        .map(|(file, _)| file.display().to_string())
        .collect()
}
