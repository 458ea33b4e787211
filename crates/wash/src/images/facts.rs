//! What is known about a component: what its own metadata, its world and the Git repository around it say.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use wasmcloud::engine::inspect::{Extern, Inspected};
use wasmcloud::registry::{ComponentFacts, Wasi};

/// What annotations of images are called: <https://github.com/opencontainers/image-spec/blob/main/annotations.md>.
const PREFIX: &str = "org.opencontainers.image.";

/// Annotations from the metadata of a component, and from the Git repository that it lies in.
pub(super) fn annotations(path: &Path, bytes: &[u8]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut say = |key: &str, value: Option<String>| {
        let value = value.filter(|value| !value.trim().is_empty());
        found.extend(value.map(|value| (format!("{PREFIX}{key}"), value)));
    };
    if let Ok(payload) = wasm_metadata::Payload::from_binary(bytes) {
        let metadata = payload.metadata();
        let text = |value: Option<&dyn ToString>| value.map(ToString::to_string);
        say("title", metadata.name.clone());
        say(
            "description",
            text(metadata.description.as_ref().map(|it| it as _)),
        );
        say("authors", text(metadata.authors.as_ref().map(|it| it as _)));
        say(
            "licenses",
            text(metadata.licenses.as_ref().map(|it| it as _)),
        );
        say("source", text(metadata.source.as_ref().map(|it| it as _)));
        say("url", text(metadata.homepage.as_ref().map(|it| it as _)));
        say("version", text(metadata.version.as_ref().map(|it| it as _)));
        say(
            "revision",
            text(metadata.revision.as_ref().map(|it| it as _)),
        );
    }
    let git = Git::around(path);
    if !found.contains_key(&format!("{PREFIX}source"))
        && let Some(source) = git.source()
    {
        found.insert(format!("{PREFIX}source"), source);
    }
    // What was changed since the last commit is not what that commit has.
    if !git.is_clean() {
        return found;
    }
    if !found.contains_key(&format!("{PREFIX}revision"))
        && let Some(revision) = git.revision()
    {
        found.insert(format!("{PREFIX}revision"), revision);
    }
    if let Some(created) = git.time() {
        found.insert(format!("{PREFIX}created"), created);
    }
    found
}

/// The facts for the config of the image. The time is that of the commit: the same source makes the same image.
pub(super) fn facts(
    inspected: &Inspected,
    annotations: &BTreeMap<String, String>,
) -> ComponentFacts {
    let said = |key: &str| annotations.get(&format!("{PREFIX}{key}")).cloned();
    let names = |items: &[Extern]| -> Vec<String> {
        let mut names: Vec<String> = items.iter().map(|item| item.name.clone()).collect();
        names.sort();
        names
    };
    ComponentFacts {
        created: said("created"),
        author: said("authors"),
        wasi: if is_p3(inspected) { Wasi::P3 } else { Wasi::P2 },
        exports: names(&inspected.world.exports),
        imports: names(&inspected.world.imports),
        // A component does not say which world it was made for.
        target: None,
    }
}

/// Whether it speaks WASI 0.3 anywhere.
fn is_p3(inspected: &Inspected) -> bool {
    let world = &inspected.world;
    let mut interfaces = world
        .imports
        .iter()
        .chain(&world.exports)
        .filter_map(Extern::interface);
    interfaces.any(|interface| {
        let version = interface.version.as_ref();
        interface.namespace == "wasi" && version.is_some_and(|it| (it.major, it.minor) == (0, 3))
    })
}

/// The Git repository around a file, asked through the program.
struct Git<'a>(&'a Path);

impl<'a> Git<'a> {
    fn around(path: &'a Path) -> Self {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        Self(folder.unwrap_or(Path::new(".")))
    }

    /// What a command says. Without Git or a repository: nothing.
    fn says(&self, args: &[&str]) -> Option<String> {
        self.output(args).filter(|text| !text.is_empty())
    }

    /// The same, also if it is nothing.
    fn output(&self, args: &[&str]) -> Option<String> {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.0)
            .args(args)
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let text = text.trim();
        output.status.success().then(|| text.to_owned())
    }

    fn revision(&self) -> Option<String> {
        self.says(&["rev-parse", "--verify", "HEAD"])
    }

    /// Whether all files that Git knows are as they were committed.
    fn is_clean(&self) -> bool {
        let status = ["status", "--porcelain", "--untracked-files=no"];
        self.output(&status).is_some_and(|text| text.is_empty())
    }

    fn time(&self) -> Option<String> {
        self.says(&["show", "--no-patch", "--format=%cI", "HEAD"])
    }

    /// Where the repository is from, without the credentials that some write into such addresses.
    fn source(&self) -> Option<String> {
        let url = self.says(&["remote", "get-url", "origin"])?;
        match url.split_once("://") {
            // A path of this machine is nobody's business.
            Some(("file", _)) => None,
            Some((scheme, rest)) => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                let host = authority.rsplit('@').next().unwrap_or(authority);
                Some(format!("{scheme}://{host}/{path}"))
            }
            // `git@host:path` has a name and no password; what has no `@` is a path.
            None => url.contains('@').then_some(url),
        }
    }
}
