//! Which names a project may have: Cargo, the manifest and the file system must all take them.

use wasmcloud::workload::ComponentName;

use super::template::Template;
use crate::failure::Failure;

/// Names that Cargo or Rust keep for themselves.
const RESERVED: [&str; 40] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "fn",
    "for",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "match",
    "mod",
    "move",
    "proc-macro",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "type",
    "use",
];

/// Refuses a name that would make trouble later.
pub(super) fn check(name: &str, template: &Template) -> Result<(), Failure> {
    let rule = "1 to 63 lower-case letters, digits and `-`, beginning with a letter";
    let well_formed =
        name.parse::<ComponentName>().is_ok() && name.starts_with(|c: char| c.is_ascii_lowercase());
    if !well_formed {
        let failure = Failure::usage(format!(
            "{name:?} cannot be the name of a project; wanted {rule}"
        ));
        return Err(match suggestion(name) {
            Some(better) => failure.hint(format!("how about `{better}`?")),
            None => failure.hint("the project is made in the current folder; change into another one first if you like"),
        });
    }
    if RESERVED.contains(&name) {
        return Err(Failure::usage(format!(
            "`{name}` has a meaning of its own for Rust or Cargo"
        ))
        .hint(format!("how about `my-{name}`?")));
    }
    let library = format!("name = \"{name}\"\n");
    if name != template.name
        && template
            .text("Cargo.lock")
            .is_some_and(|lock| lock.contains(&library))
    {
        let message = format!(
            "`{name}` is a package that the template `{}` uses itself",
            template.name
        );
        return Err(Failure::usage(message).hint(format!("how about `my-{name}`?")));
    }
    Ok(())
}

/// The nearest name that would do, if the given one is close to one.
fn suggestion(name: &str) -> Option<String> {
    if name.contains(['/', '\\']) {
        return None;
    }
    let letters = name.chars().map(|c| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    });
    let text: String = letters.collect();
    let words: Vec<&str> = text.split('-').filter(|word| !word.is_empty()).collect();
    let text: String = words
        .join("-")
        .chars()
        .skip_while(|c| !c.is_ascii_lowercase())
        .take(63)
        .collect();
    let text = text.trim_end_matches('-');
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::template::TEMPLATES;
    use super::*;

    fn refused(name: &str) -> String {
        check(name, &TEMPLATES[0]).unwrap_err().render(false)
    }

    #[test]
    fn names_that_everything_takes_are_taken() {
        for name in ["hello", "a", "shop-2", "http-hello"] {
            assert!(check(name, &TEMPLATES[0]).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_refusal_suggests_a_name_that_would_do() {
        for (name, better) in [
            ("My_App", "my-app"),
            ("2fast", "fast"),
            ("über", "ber"),
            ("a--b-", "a-b"),
            ("test", "my-test"),
            ("wstd", "my-wstd"),
        ] {
            assert!(
                refused(name).contains(&format!("how about `{better}`?")),
                "{name}: {}",
                refused(name)
            );
            assert!(check(better, &TEMPLATES[0]).is_ok());
        }
        assert!(refused("../x").contains("current folder"));
        assert!(refused("").contains("wanted 1 to 63"));
    }
}
