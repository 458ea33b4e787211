//! `wash wit fetch`: what the WIT of a project names is put into `wit/deps`, as the lock file says.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::args::NetworkArgs;
use super::folder::{Maker, Mark, Own, Vendored};
use super::lock::{self, LOCK};
use super::name::Named;
use super::resolve::{Origin, Package, Resolved, by_hand, resolve};
use super::session::Session;
use super::vendor::{self, Done, Plan};
use crate::failure::Failure;
use crate::project::Project;
use crate::ui::{Ui, count, table};

pub(super) async fn run(session: &Session, ui: &Ui) -> Result<(), Failure> {
    fetch(session, ui).await?.show(session, ui, &json!({}))
}

/// What was fetched, and what that changed.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) packages: Vec<Package>,
    done: Done,
    lock_written: bool,
}

/// Fetches what is needed. Where everything is as the lock file says, nothing is done and nobody is asked.
pub(super) async fn fetch(session: &Session, ui: &Ui) -> Result<Fetched, Failure> {
    if let Some(packages) = as_locked(session) {
        return Ok(Fetched {
            packages,
            done: Done::default(),
            lock_written: false,
        });
    }
    let prepared = prepare(session, ui).await?;
    prepared.write()
}

/// What is about to be written.
#[derive(Debug)]
pub(super) struct Prepared {
    resolved: Resolved,
    plan: Plan,
}

/// Finds everything that is needed, and whether it can be written.
pub(super) async fn prepare(session: &Session, ui: &Ui) -> Result<Prepared, Failure> {
    let _progress = ui.progress("fetching packages of WIT");
    let resolved = resolve(session).await?;
    let plan = vendor::plan(session.own.deps(), &session.vendored, &resolved.packages)?;
    if session.network.locked && resolved.lock.changed() {
        let message = format!(
            "{LOCK} names packages that are needed no more, and --locked keeps it as it is"
        );
        return Err(Failure::new(message).hint("run `wash wit fetch` without --locked"));
    }
    Ok(Prepared { resolved, plan })
}

impl Prepared {
    pub(super) fn write(self) -> Result<Fetched, Failure> {
        let done = self.plan.run()?;
        let lock_written = self.resolved.lock.write()?;
        Ok(Fetched {
            packages: self.resolved.packages,
            done,
            lock_written,
        })
    }
}

/// Everything that is needed, if it is there just as the lock file says.
fn as_locked(session: &Session) -> Option<Vec<Package>> {
    let Session {
        own,
        vendored,
        lock,
        ..
    } = session;
    let (needed, missing) = vendored.closure(own);
    if !missing.is_empty() {
        return None;
    }
    let mut pinned = BTreeSet::new();
    let mut packages = Vec::new();
    for named in needed {
        let entry = vendored.with(&named)?;
        if session.local(&named).is_some() {
            // Somebody may have changed it.
            return None;
        }
        let origin = match &entry.maker {
            Maker::Hand if matches!(by_hand(session, &named), Ok(Some(_))) => {
                Origin::Hand(entry.path.clone())
            }
            Maker::Wash(Mark::Content(digest)) => {
                let pin = lock.pin(&named).filter(|pin| pin.digest == *digest)?;
                pinned.insert(pin.clone());
                Origin::Registry(pin.clone())
            }
            Maker::Wash(Mark::Within) if !own.needs.contains(&named) => Origin::Within,
            Maker::Wash(_) | Maker::Hand | Maker::Changed => return None,
        };
        packages.push(Package {
            named,
            origin,
            text: None,
        });
    }
    let there: BTreeSet<&Named> = packages.iter().map(|it| &it.named).collect();
    let stale = |maker: &Maker| matches!(maker, Maker::Wash(_));
    let mut old = vendored.0.iter().filter(|it| stale(&it.maker));
    let none_old = old.all(|it| it.packages.iter().any(|named| there.contains(named)));
    (none_old && pinned == lock.pins).then_some(packages)
}

impl Fetched {
    /// Prints what there is now; `more` is added for tools.
    pub(super) fn show(&self, session: &Session, ui: &Ui, more: &Value) -> Result<(), Failure> {
        let deps = session.own.deps();
        let lock = session.lock.file().display();
        ui.result(
            || {
                let mut value = json!({
                    "packages": self.packages.iter().map(|it| self.json(it, session)).collect::<Vec<_>>(),
                    "removed": self.done.removed,
                    "lock": {"path": lock.to_string(), "changed": self.lock_written},
                });
                if let (Some(value), Some(more)) = (value.as_object_mut(), more.as_object()) {
                    value.extend(more.clone());
                }
                value
            },
            || table(&self.packages.iter().map(|it| row(it, session)).collect::<Vec<_>>()),
        )?;
        if ui.is_json() {
            return Ok(());
        }
        for path in &self.done.removed {
            ui.say(format_args!(
                "removed {}, which nothing needs",
                path.display()
            ));
        }
        let number = self.done.written.len();
        if self.packages.is_empty() {
            ui.say("the WIT of this project names no other package");
        } else if number == 0 {
            ui.say(format_args!("everything was in {} already", deps.display()));
        } else {
            ui.say(format_args!(
                "wrote {} into {}",
                count(number, "package"),
                deps.display()
            ));
        }
        if self.lock_written {
            ui.say(format_args!("wrote {lock}"));
        }
        Ok(())
    }

    fn json(&self, package: &Package, session: &Session) -> Value {
        let (from, pin, path) = match &package.origin {
            Origin::Registry(pin) => ("registry", Some(pin), None),
            Origin::Path(path) => ("path", None, Some(path)),
            Origin::Hand(_) => ("hand", None, None),
            Origin::Within => ("within", None, None),
        };
        let home = vendor::home(&session.own.deps(), package);
        json!({
            "package": package.named.package.to_string(),
            "version": package.named.version.as_ref().map(ToString::to_string),
            "from": from,
            "registry": pin.and_then(|pin| pin.registry.as_ref()),
            "digest": pin.map(|pin| pin.digest.to_string()),
            "source": path,
            "path": home,
            "changed": self.done.written.contains(&home),
        })
    }
}

fn row(package: &Package, session: &Session) -> Vec<String> {
    let home = vendor::home(&session.own.deps(), package);
    let from = match &package.origin {
        Origin::Registry(pin) => pin.registry.clone().unwrap_or_default(),
        Origin::Path(path) => path.display().to_string(),
        Origin::Hand(_) => "by hand".to_owned(),
        Origin::Within => "came with another".to_owned(),
    };
    vec![package.named.to_string(), from, home.display().to_string()]
}

/// Fetches for `wash build` what `wit/deps` lacks, and says so. Where nothing is lacking, or `wit.skip_fetch` says so, nobody is
/// asked and nothing is changed.
pub(crate) async fn ensure(project: &Project, ui: &Ui) -> Result<(), Failure> {
    let settings = &project.config.wit;
    if settings.skip_fetch || !project.dir.join(&settings.wit_dir).is_dir() {
        return Ok(());
    }
    // What is wrong with the texts is for the compiler to say, which knows better what it reads.
    let Ok(missing) = missing(project.path(&settings.wit_dir)) else {
        return Ok(());
    };
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let folder = project.path(&settings.wit_dir).join(super::folder::DEPS);
    ui.say(format_args!(
        "fetching what {} lacks: {}",
        folder.display(),
        names.join(", ")
    ));
    let fetched = match Session::open(project, NetworkArgs::default()) {
        Ok(session) => fetch(&session, ui).await.map(drop),
        Err(failure) => Err(failure),
    };
    match fetched {
        Err(failure) if !lock::is_there(&project.dir) => {
            // The compiler may be told to look somewhere else.
            ui.say(format_args!("warning: {}", failure.message()));
            ui.say("the build goes on without; `wit.skip_fetch: true` in .wash/config.yaml asks nobody");
            Ok(())
        }
        fetched => fetched,
    }
}

fn missing(wit: PathBuf) -> Result<BTreeSet<Named>, Failure> {
    let own = Own::read(wit)?;
    Ok(Vendored::read(&own.deps())?.missing(&own))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn no_example_lacks_a_package() {
        fn look(folder: &Path, found: &mut usize) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if !path.is_dir() || path.ends_with("target") || path.ends_with("node_modules") {
                    continue;
                }
                if path.ends_with("wit") {
                    *found += 1;
                    assert_eq!(
                        missing(path.clone()).unwrap(),
                        BTreeSet::new(),
                        "{}",
                        path.display()
                    );
                } else {
                    look(&path, found);
                }
            }
        }
        let mut found = 0;
        look(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples"),
            &mut found,
        );
        assert!(found > 5, "{found}");
    }
}
