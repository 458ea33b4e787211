//! Names of containers and objects as paths, and back. Whatever a name contains, its path leads below where it begins, and no two
//! names share one, also where the disk takes upper and lower case for the same.

use std::path::PathBuf;

use crate::capability::blobstore::Name;

/// How long a step of a path may be, without what joins steps. Names of files have 255 bytes at most.
const LONGEST_STEP: usize = 200;
/// Joins steps: the one ends with it, the next begins with it. No name has it in clear.
pub(super) const GOES_ON: char = '+';
/// Begins a name that is not readable. No readable one has it.
const DENSE: char = '=';
/// How long a readable name may be. Paths have 4,096 bytes at most, and have to hold two names.
const LONGEST_READABLE: usize = 1600;
/// The digits of five bits.
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// Where something of this name is: the name in readable form, or in a dense one if that were too long.
pub(super) fn path_of(name: &Name) -> PathBuf {
    let readable = readable(name.as_str());
    let written = match readable.len() <= LONGEST_READABLE {
        true => readable,
        false => dense(name.as_str()),
    };
    let mut path = String::with_capacity(written.len() + 32);
    for (index, digit) in written.chars().enumerate() {
        if index > 0 && index % LONGEST_STEP == 0 {
            path.extend([GOES_ON, '/', GOES_ON]);
        }
        path.push(digit);
    }
    path.into()
}

/// Lower-case letters, digits, `-`, `_` and dots but the first one stand for themselves, every other byte is two digits behind a
/// `%`.
fn readable(name: &str) -> String {
    let mut written = String::with_capacity(name.len());
    for byte in name.bytes() {
        let plain = byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if plain || (byte == b'.' && !written.is_empty()) {
            written.push(char::from(byte));
        } else {
            written.push_str(&format!("%{byte:02x}"));
        }
    }
    written
}

/// Five bits a digit.
fn dense(name: &str) -> String {
    let mut written = String::from(DENSE);
    let (mut bits, mut held) = (0_u32, 0);
    let digit = |bits: u32| {
        DIGITS
            .get(bits as usize & 31)
            .copied()
            .map_or('0', char::from)
    };
    for byte in name.bytes() {
        (bits, held) = ((bits << 8 | u32::from(byte)) & 0xfff, held + 8);
        while held >= 5 {
            held -= 5;
            written.push(digit(bits >> held));
        }
    }
    if held > 0 {
        written.push(digit(bits << (5 - held)));
    }
    written
}

/// The name that a path stands for, if [`path_of`] makes that path of it.
pub(super) fn name_of(path: &str) -> Option<Name> {
    let joined = |digit: &u8| *digit == b'/' || char::from(*digit) == GOES_ON;
    let mut digits = path.bytes().filter(|digit| !joined(digit)).peekable();
    let dense = digits.next_if_eq(&(DENSE as u8)).is_some();
    let bytes = match dense {
        true => of_dense(digits)?,
        false => of_readable(digits)?,
    };
    let name = Name::parse(String::from_utf8(bytes).ok()?).ok()?;
    (path_of(&name).to_str() == Some(path)).then_some(name)
}

fn of_readable(mut digits: impl Iterator<Item = u8>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(byte) = digits.next() {
        if byte == b'%' {
            let pair = [digits.next()?, digits.next()?];
            let pair = std::str::from_utf8(&pair).ok()?;
            bytes.push(u8::from_str_radix(pair, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

fn of_dense(digits: impl Iterator<Item = u8>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for digit in digits {
        let value = DIGITS.iter().position(|known| *known == digit)?;
        (bits, held) = ((bits << 5 | u32::try_from(value).ok()?) & 0xfff, held + 5);
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(bytes)
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
        let longest = path(&"\0".repeat(1024));
        assert!(
            longest.starts_with("=000") && longest.len() < 1700,
            "{}",
            longest.len()
        );
        assert_eq!(name_of("=0000000"), None, "it would be readable");
        assert_eq!(name_of("a%2Fb"), None, "there is one way to write it");
        assert_eq!(name_of("%2"), None);
        assert_eq!(name_of("%ff"), None, "no text");
        assert_eq!(name_of(".hidden"), None);
    }

    proptest! {
        #[test]
        fn every_name_has_a_path_of_its_own(name in "(?s)([./]|.){1,256}|[./]{500,1024}") {
            let name = Name::parse(name).unwrap();
            let path = path_of(&name);
            for step in path.components() {
                let Component::Normal(step) = step else { panic!("{}", path.display()) };
                let step = step.to_str().unwrap();
                prop_assert!(step.len() <= LONGEST_STEP + 2);
                prop_assert!(!step.starts_with('.'));
                prop_assert!(!step.contains(char::is_uppercase));
            }
            prop_assert_eq!(name_of(path.to_str().unwrap()), Some(name));
        }
    }
}
