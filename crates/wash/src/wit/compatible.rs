//! Whether a version of a package would break those that use one beside it.
//!
//! Whoever was made for the older version has to find everything in the newer one, as it was: types, functions, interfaces, and worlds
//! to be run in. There may be more of it. `wit-component` can say so of two worlds; one is made up for what is to be found outside of
//! worlds.

use std::cmp::Ordering;
use std::fmt::Write as _;

use wasm_pkg_common::package::Version;
use wit_component::semver_check;
use wit_parser::{PackageName, Resolve, Span, WorldId};

use super::resolve::decode_package;

/// The versions between which one stands, of those that should be compatible with it.
pub(super) fn neighbours<'a>(
    version: &Version,
    all: &'a [Version],
) -> (Option<&'a Version>, Option<&'a Version>) {
    let series = |it: &Version| match version.major {
        0 => it.major == 0 && version.minor > 0 && it.minor == version.minor,
        major => it.major == major,
    };
    // Whoever uses one that is only on trial knows that.
    let counts = |it: &&Version| version.pre.is_empty() && it.pre.is_empty() && series(it);
    let of = |ordering| {
        let all = all.iter().filter(counts);
        all.filter(move |it| it.cmp_precedence(version) == ordering)
    };
    (of(Ordering::Less).max(), of(Ordering::Greater).min())
}

/// Whether a package is compatible with an older version of it. The error says what it breaks.
pub(super) fn check(older: &[u8], newer: &[u8]) -> Result<(), String> {
    let (mut older, mut newer) = (Decoded::read(older)?, Decoded::read(newer)?);
    for (name, old) in &older.worlds {
        let new = newer.worlds.iter().find(|(it, _)| it == name);
        let (_, new) = new.ok_or_else(|| format!("world `{name}` was removed"))?;
        compare(&older.resolve, *old, &newer.resolve, *new)
            .map_err(|wrong| format!("world `{name}`: {wrong}"))?;
    }
    for (name, types) in &older.interfaces {
        let now = newer.interfaces.iter().find(|(it, _)| it == name);
        let (_, now) = now.ok_or_else(|| format!("interface `{name}` was removed"))?;
        if let Some(gone) = types.iter().find(|it| !now.contains(it)) {
            return Err(format!("type `{gone}` of interface `{name}` was removed"));
        }
    }
    let wanted = older.interfaces.clone();
    let (old, new) = (older.using(&wanted, 1)?, newer.using(&wanted, 2)?);
    compare(&older.resolve, old, &newer.resolve, new)
}

/// Whether what was made for one world fits into another one.
fn compare(older: &Resolve, old: WorldId, newer: &Resolve, new: WorldId) -> Result<(), String> {
    let apart = |error: String| format!("what they use of others does not go together: {error}");
    let mut both = older.clone();
    let map = both.merge(newer.clone());
    let map = map.map_err(|error| apart(format!("{error:#}")))?;
    let new = map.map_world(new, Span::default());
    let new = new.map_err(|error| apart(error.to_string()))?;
    semver_check(both, old, new).map_err(|error| format!("{error:#}"))
}

/// The names of interfaces, each with those of its types.
type Interfaces = Vec<(String, Vec<String>)>;

/// A package with everything that it uses.
struct Decoded {
    resolve: Resolve,
    name: PackageName,
    interfaces: Interfaces,
    worlds: Vec<(String, WorldId)>,
}

impl Decoded {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        let decoded = decode_package(bytes);
        let (resolve, id) = decoded.map_err(|wrong| format!("one of the versions {wrong}"))?;
        let package = resolve.packages.get(id);
        let package = package.ok_or_else(|| "one of the versions is empty".to_owned())?;
        let interfaces = package.interfaces.iter().map(|(name, id)| {
            let interface = resolve.interfaces.get(*id);
            let types = interface.map(|it| it.types.keys().cloned().collect());
            (name.clone(), types.unwrap_or_default())
        });
        let worlds = package.worlds.iter().map(|(name, id)| (name.clone(), *id));
        Ok(Self {
            interfaces: interfaces.collect(),
            worlds: worlds.collect(),
            name: package.name.clone(),
            resolve,
        })
    }

    /// Adds a world that uses these interfaces and types of the package. Worlds that are compared have to be of the same package.
    fn using(&mut self, wanted: &Interfaces, patch: u8) -> Result<WorldId, String> {
        let text = self.text(wanted, patch);
        let pushed = self.resolve.push_source("check.wit", &text);
        let id = pushed.map_err(|error| format!("{error:#}"))?;
        let package = self.resolve.packages.get(id);
        let world = package.and_then(|it| it.worlds.values().next().copied());
        world.ok_or_else(|| "there is nothing to compare".to_owned())
    }

    fn text(&self, wanted: &Interfaces, patch: u8) -> String {
        let PackageName {
            namespace,
            name,
            version,
        } = &self.name;
        let version = version.as_ref().map(|it| format!("@{it}"));
        let version = version.unwrap_or_default();
        let (mut uses, mut imports) = (String::new(), String::new());
        for (at, (interface, types)) in wanted.iter().enumerate() {
            let path = format!("%{namespace}:%{name}/%{interface}{version}");
            let _ = writeln!(imports, "  import {path};\n  import u{at};");
            // A type that no function has would not be looked at.
            let _ = writeln!(uses, "interface u{at} {{");
            for (at, name) in types.iter().enumerate() {
                let _ = writeln!(uses, "  use {path}.{{%{name} as t{at}}};");
                let _ = writeln!(uses, "  f{at}: func(it: t{at});");
            }
            let _ = writeln!(uses, "}}");
        }
        format!("package wash:check@0.0.{patch};\n{uses}world all {{\n{imports}}}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(version: &str, text: &str) -> Vec<u8> {
        let text = format!("package demo:%list@{version};\n{text}");
        let mut resolve = Resolve::default();
        let other = "package demo:other@0.1.0; interface o { record r { a: u8 } }";
        resolve.push_source("other.wit", other).unwrap();
        let id = resolve.push_source("it.wit", &text).unwrap();
        wit_component::encode(&resolve, id).unwrap()
    }

    fn compared(older: &str, newer: &str) -> Result<(), String> {
        check(&package("0.1.0", older), &package("0.1.1", newer))
    }

    const OLD: &str = "
        interface types { record lang { code: string } resource thing { get: func() -> lang; } }
        interface %use { use types.{lang}; use demo:other/o@0.1.0.{r}; f: func(l: lang) -> r; }
        interface later { g: async func(s: stream<u8>) -> future<string>; }
        world app { import %use; import later; export run: func(); export later; }
    ";

    #[test]
    fn more_of_everything_is_compatible() {
        compared(OLD, OLD).unwrap();
        let more = OLD
            .replace("f: func", "e: func(); f: func")
            .replace(
                "interface types {",
                "interface more {} interface types { type n = u8;",
            )
            .replace("world app {", "world b {} world app { import more;");
        compared(OLD, &more).unwrap();
        // The other way round, all of that is missing.
        assert!(compared(&more, OLD).is_err());
        compared("world w {}", "world w {}").unwrap();
        compared("interface a {}", "interface a {} interface b {}").unwrap();
    }

    #[test]
    fn what_is_gone_or_other_than_it_was_breaks_somebody() {
        for (from, to, wanted) in [
            ("world app", "world ap", "world `app` was removed"),
            (
                "interface later {",
                "interface lately {} interface later {",
                "",
            ),
            (
                "import %use;",
                "",
                "world `app`: new world is not semver-compatible",
            ),
            ("code: string", "code: u32", "not semver-compatible"),
            ("code: string", "kind: string", "not semver-compatible"),
            (
                "f: func(l: lang)",
                "f: func(l: lang, m: u8)",
                "not semver-compatible",
            ),
            ("f: func", "h: func", "not semver-compatible"),
            ("get: func", "set: func", "not semver-compatible"),
            ("stream<u8>", "stream<u16>", "not semver-compatible"),
            ("async func", "func", "not semver-compatible"),
        ] {
            let newer = OLD.replace(from, to);
            assert_ne!(newer, OLD);
            let told = compared(OLD, &newer).err().unwrap_or_default();
            assert!(told.contains(wanted), "{to}: {told}");
            assert_eq!(told.is_empty(), wanted.is_empty(), "{to}: {told}");
        }
        // What stands in no world and no function.
        let gone = compared("interface a { type t = u8; }", "interface a {}");
        assert_eq!(gone.unwrap_err(), "type `t` of interface `a` was removed");
        let gone = compared("interface a {}", "interface b {}");
        assert_eq!(gone.unwrap_err(), "interface `a` was removed");
        let other = compared(
            "interface a { type t = u8; }",
            "interface a { type t = u16; }",
        );
        assert!(other.unwrap_err().contains("not semver-compatible"));
    }

    #[test]
    fn what_is_no_package_is_told() {
        let some = package("0.1.0", "world w {}");
        for wrong in [&b""[..], b"\0as", b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0"] {
            assert!(check(wrong, &some).is_err() && check(&some, wrong).is_err());
        }
    }

    #[test]
    fn neighbours_are_of_the_same_series() {
        let all = [
            "0.1.0",
            "0.1.2",
            "0.1.3-rc.1",
            "0.1.9",
            "0.2.0",
            "1.0.0",
            "1.4.0",
            "0.0.1",
        ];
        let all: Vec<Version> = all.iter().map(|it| it.parse().unwrap()).collect();
        for (version, wanted) in [
            ("0.1.3", (Some("0.1.2"), Some("0.1.9"))),
            ("0.3.0", (None, None)),
            ("1.2.0", (Some("1.0.0"), Some("1.4.0"))),
            ("0.0.2", (None, None)),
            ("0.1.4-rc.1", (None, None)),
            ("2.0.0", (None, None)),
        ] {
            let version = version.parse().unwrap();
            let (below, above) = neighbours(&version, &all);
            let text = |it: Option<&Version>| it.map(ToString::to_string);
            let wanted = (wanted.0.map(str::to_owned), wanted.1.map(str::to_owned));
            assert_eq!((text(below), text(above)), wanted, "{version}");
        }
    }
}
