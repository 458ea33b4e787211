//! `wash wit update`: the versions that the WIT of a project names are moved to newer ones that are compatible.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wasm_pkg_common::package::{Version, VersionReq};

use super::fetch::prepare;
use super::files;
use super::name::{Named, Typed};
use super::registries::source;
use super::resolve::by_hand;
use super::session::{Session, there_are};
use super::settings::Source;
use super::text;
use crate::failure::Failure;
use crate::ui::Ui;

/// A version that is left for another one.
struct Move {
    named: Named,
    to: Version,
}

pub(super) async fn run(mut session: Session, typed: Option<&str>, ui: &Ui) -> Result<(), Failure> {
    let typed = typed.map(Typed::package).transpose()?;
    let concerned = concerned(&session, typed.as_ref())?;
    let mut moves = Vec::new();
    {
        let _progress = ui.progress("asking for newer versions");
        for named in &concerned {
            let wanted = typed.as_ref().and_then(|it| it.version.as_ref());
            if let Some(to) = newer(&session, named, wanted).await? {
                moves.push(Move {
                    named: named.clone(),
                    to,
                });
            }
        }
    }
    let before = session.lock.pins.clone();
    // What is not in the lock file is asked for anew, also where a version has another content now.
    session
        .lock
        .pins
        .retain(|pin| !concerned.iter().any(|it| it.package == pin.package));
    let changed = rewrite(&mut session, &moves)?;
    let fetched = prepare(&session, ui).await?.write()?;
    for (file, text) in changed {
        files::replace(&file, text.as_bytes())
            .map_err(|error| Failure::io("cannot write", file.display(), &error))?;
    }
    let told: Vec<Value> = moves.iter().map(Move::json).collect();
    fetched.show(&session, ui, &json!({"updated": told}))?;
    if ui.is_json() {
        return Ok(());
    }
    for it in &moves {
        ui.say(format_args!("updated {} to {}", it.named, it.to));
    }
    for pin in &before {
        let same =
            |it: &&super::lock::Pin| (&it.package, &it.version) == (&pin.package, &pin.version);
        let now = fetched.packages.iter().filter_map(|it| match &it.origin {
            super::resolve::Origin::Registry(pin) => Some(pin),
            _ => None,
        });
        if let Some(now) = now.clone().find(same).filter(|it| it.digest != pin.digest) {
            let (package, version) = (&pin.package, &pin.version);
            ui.say(format_args!(
                "warning: {package} {version} has another content than before: {} was {}",
                now.digest, pin.digest
            ));
        }
    }
    if moves.is_empty() {
        ui.say("there is nothing newer that is compatible");
    }
    Ok(())
}

impl Move {
    fn json(&self) -> Value {
        let from = self.named.version.as_ref().map(ToString::to_string);
        json!({"package": self.named.package.to_string(), "from": from, "to": self.to.to_string()})
    }
}

/// The packages that the WIT names and that registries have; with a name, only those of that name.
fn concerned(session: &Session, typed: Option<&Typed>) -> Result<Vec<Named>, Failure> {
    let mut concerned = Vec::new();
    for named in &session.own.needs {
        let local = matches!(source(&session.settings, named), Some(Source::Path(_)));
        let local = local || session.local(named).is_some();
        if named.version.is_some() && !local && by_hand(session, named)?.is_none() {
            concerned.push(named.clone());
        }
    }
    let Some(typed) = typed else {
        return Ok(concerned);
    };
    concerned.retain(|it| it.package == typed.package);
    match concerned.len() {
        0 => {
            let package = &typed.package;
            let named = session.own.needs.iter().any(|it| it.package == *package);
            let message = if named {
                format!(
                    "{package} comes from a path or lies in `deps` by hand, so there is nothing to update"
                )
            } else {
                format!("the WIT of this project does not name {package}")
            };
            let failure = Failure::new(message);
            Err(if named {
                failure
            } else {
                failure.hint(format!("`wash wit add {package}` adds it"))
            })
        }
        1 => Ok(concerned),
        _ if typed.version.is_some() => {
            let names: Vec<String> = concerned.iter().map(ToString::to_string).collect();
            let message = format!("the WIT names several versions: {}", names.join(", "));
            Err(Failure::new(message).hint("change the versions in the WIT, then `wash wit fetch`"))
        }
        _ => Ok(concerned),
    }
}

/// The version to take instead, if there is a better one: the one that is wanted, or else the newest compatible one.
async fn newer(
    session: &Session,
    named: &Named,
    wanted: Option<&Version>,
) -> Result<Option<Version>, Failure> {
    let Some(now) = &named.version else {
        return Ok(None);
    };
    let remote = session.remote(named).await?;
    let versions = remote.versions(named).await?;
    if let Some(wanted) = wanted {
        if !versions.contains(wanted) {
            let message = format!(
                "{} has no version {wanted} in {}",
                named.package,
                remote.place(named)?
            );
            return Err(Failure::new(message).hint(there_are(&versions)));
        }
        return Ok((wanted != now).then(|| wanted.clone()));
    }
    let limit = session.manifest.versions.get(&named.package).cloned();
    // Where `wkg.toml` allows more than is compatible, that counts.
    let allowed = limit.or_else(|| format!("^{now}").parse::<VersionReq>().ok());
    let allowed = allowed.unwrap_or(VersionReq::STAR);
    let newest = versions
        .into_iter()
        .rfind(|it| allowed.matches(it) && it > now);
    Ok(newest)
}

/// Changes the versions in the texts; those that are different now.
fn rewrite(
    session: &mut Session,
    moves: &[Move],
) -> Result<BTreeMap<std::path::PathBuf, String>, Failure> {
    let mut changed = BTreeMap::new();
    for (file, text) in session.own.texts.clone() {
        let mut now = text.clone();
        for it in moves {
            if let Some(from) = &it.named.version {
                now = text::reversion(&now, &it.named.package, from, &it.to);
            }
        }
        if now != text {
            session.change(&file, now.clone())?;
            changed.insert(file, now);
        }
    }
    Ok(changed)
}
