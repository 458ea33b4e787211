//! Names of containers and objects as paths, and back. Whatever a name contains, its path leads below where it begins, and no two
//! names share one, also where the disk takes upper and lower case for the same.

use std::path::PathBuf;

use crate::capability::blobstore::Name;

/// How long a step of a path may be. Names of files have 255 bytes at most.
const LONGEST_STEP: usize = 200;
/// Ends a step that another one follows. No name has it in clear.
pub(super) const GOES_ON: char = '+';

/// Where something of this name is. Lower-case letters, digits, `-`, `_` and dots inside of a step stand for themselves, every other
/// byte is written as two digits behind a `%`.
pub(super) fn path_of(name: &Name) -> PathBuf {
    let mut steps = vec![String::new()];
    for byte in name.as_str().bytes() {
        let mut step = steps.pop().unwrap_or_default();
        if step.len() + 3 > LONGEST_STEP {
            step.push(GOES_ON);
            steps.push(step);
            step = String::new();
        }
        let plain = byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if plain || (byte == b'.' && !step.is_empty()) {
            step.push(char::from(byte));
        } else {
            step.push_str(&format!("%{byte:02x}"));
        }
        steps.push(step);
    }
    steps.iter().collect()
}

/// The name that a path stands for, if [`path_of`] makes that path of it: the steps of the path without what only joins them.
pub(super) fn name_of(path: &str) -> Option<Name> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
            }
            b'+' | b'/' => {}
            _ => bytes.push(byte),
        }
    }
    let name = Name::parse(String::from_utf8(bytes).ok()?).ok()?;
    (path_of(&name).to_str() == Some(path)).then_some(name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    fn path(name: &str) -> String {
        let path = path_of(&Name::parse(name.to_owned()).unwrap());
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn names_are_readable_and_lead_nowhere_else() {
        assert_eq!(path("photo-1_2.jpeg"), "photo-1_2.jpeg");
        assert_eq!(path("a/b c"), "a%2fb%20c");
        assert_eq!(path(".."), "%2e.");
        assert_eq!(path("A+\0"), "%41%2b%00");
        let long = path(&"x".repeat(1024));
        assert_eq!(long.split('/').count(), 6);
        assert_eq!(name_of("a%2Fb"), None, "there is one way to write it");
        assert_eq!(name_of("%2"), None);
        assert_eq!(name_of("%ff"), None, "no text");
        assert_eq!(name_of(".hidden"), None);
    }

    proptest! {
        #[test]
        fn every_name_has_a_path_of_its_own(name in "(?s)([./]|.){1,400}") {
            let name = Name::parse(name).unwrap();
            let path = path_of(&name);
            for step in path.components() {
                let Component::Normal(step) = step else { panic!("{}", path.display()) };
                let step = step.to_str().unwrap();
                prop_assert!(step.len() <= LONGEST_STEP + 1);
                prop_assert!(!step.starts_with('.'));
                prop_assert!(!step.contains(char::is_uppercase));
            }
            prop_assert_eq!(name_of(path.to_str().unwrap()), Some(name));
        }
    }
}
