//! Names of containers and objects as parts of keys, and back. Whatever a name contains, its key leads below where it begins, and no
//! two names share one. Only letters that every server and every proxy takes as they are stand in keys.

use sha2::{Digest as _, Sha256};

use crate::capability::blobstore::Name;

/// Begins a byte in two digits, and ends a step that goes on. No name has it in clear.
const ESCAPE: char = '!';
/// How long a step of a key may be. Servers that keep objects as files have 255 bytes at most for it.
const LONGEST_STEP: usize = 200;
/// Ends a step; the next one belongs to the same name.
const GOES_ON: &str = "!!/";
/// Begins a name that would be too long. What follows is its digest.
const DIGEST: &str = "!sha256-";
/// How many bytes a key may have.
const LONGEST_KEY: usize = 1024;
/// How long a container may be in clear; more would leave too little for its objects.
const LONGEST_CONTAINER: usize = 128;

/// What stands in a key for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The name can be read from it.
    Clear(String),
    /// Only told by a digest: the name has to be kept elsewhere.
    Digest(String),
}

impl Part {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Clear(part) | Self::Digest(part) => part,
        }
    }
}

/// The part for a container.
pub(super) fn container(name: &Name) -> Part {
    part(name, LONGEST_CONTAINER)
}

/// The part for an object whose key begins with `home`.
pub(super) fn object(home: &str, name: &Name) -> Part {
    part(name, LONGEST_KEY.saturating_sub(home.len()))
}

fn part(name: &Name, longest: usize) -> Part {
    let clear = clear(name.as_str());
    match clear.len() <= longest {
        true => Part::Clear(clear),
        false => Part::Digest(format!(
            "{DIGEST}{:x}",
            Sha256::digest(name.as_str().as_bytes())
        )),
    }
}

/// Letters, digits, `-`, `_` and dots but those that would begin a step stand for themselves.
fn clear(name: &str) -> String {
    let mut written = String::with_capacity(name.len() + 16);
    let mut step = 0;
    for byte in name.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        // No step begins with a dot, so none is `.` or `..`.
        let begins = step == 0 || step == LONGEST_STEP;
        let digits = match plain || (byte == b'.' && !begins) {
            true => char::from(byte).to_string(),
            false => format!("{ESCAPE}{byte:02x}"),
        };
        if step + digits.len() > LONGEST_STEP {
            written.push_str(GOES_ON);
            step = 0;
        }
        step += digits.len();
        written.push_str(&digits);
    }
    written
}

/// The name that a part stands for. `None`: it is a digest, or nothing that [`part`] makes.
pub(super) fn name_of(part: &str) -> Option<Name> {
    let joined = part.replace(GOES_ON, "");
    let mut bytes = Vec::with_capacity(joined.len());
    let mut digits = joined.bytes();
    while let Some(byte) = digits.next() {
        if char::from(byte) == ESCAPE {
            let pair = [digits.next()?, digits.next()?];
            let pair = std::str::from_utf8(&pair).ok()?;
            bytes.push(u8::from_str_radix(pair, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    let name = Name::parse(String::from_utf8(bytes).ok()?).ok()?;
    (clear(name.as_str()) == part).then_some(name)
}

/// Whether a part tells its name by a digest.
pub(super) fn is_digest(part: &str) -> bool {
    part.starts_with(DIGEST)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use proptest::prelude::*;

    use super::*;

    fn named(name: &str) -> String {
        clear(Name::parse(name.to_owned()).unwrap().as_str())
    }

    #[test]
    fn names_are_readable_and_lead_nowhere_else() {
        assert_eq!(named("Photo-1_2.jpeg"), "Photo-1_2.jpeg");
        assert_eq!(named("a/b c"), "a!2fb!20c");
        assert_eq!(named(".."), "!2e.");
        assert_eq!(named("!\0"), "!21!00");
        let step = "x".repeat(LONGEST_STEP);
        assert_eq!(named(&format!("{step}../x")), format!("{step}!!/!2e.!2fx"));
        assert_eq!(name_of("a!2Fb"), None, "there is one way to write it");
        assert_eq!(name_of("!2"), None);
        assert_eq!(name_of("!ff"), None, "no text");
        assert_eq!(name_of(".hidden"), None);
        let long = Name::parse("/".repeat(1024)).unwrap();
        let part = object("prefix/", &long);
        assert!(is_digest(part.as_str()) && name_of(part.as_str()).is_none());
        assert!(container(&Name::parse("x".repeat(128)).unwrap()) == Part::Clear("x".repeat(128)));
        assert!(matches!(
            container(&Name::parse("x".repeat(129)).unwrap()),
            Part::Digest(_)
        ));
    }

    proptest! {
        #[test]
        fn every_name_has_a_part_of_its_own(name in "(?s)([./!]|.){1,256}|[./!x]{500,1024}") {
            let name = Name::parse(name).unwrap();
            let part = clear(name.as_str());
            for step in part.split('/') {
                prop_assert!((1..=LONGEST_STEP + 2).contains(&step.len()));
                prop_assert!(!step.starts_with('.') && step.is_ascii());
            }
            prop_assert!(!is_digest(&part));
            prop_assert_eq!(name_of(&part), Some(name));
        }
    }
}
