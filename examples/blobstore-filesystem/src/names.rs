//! Names as steps of paths, and back. No name leads anywhere but where it belongs, and no two names share a step, also where
//! a disk takes upper and lower case for the same.

use crate::volume::Outcome;

/// As long as the name of a file can be.
const LONGEST: usize = 255;

/// A name as a step of a path. Lower-case letters, digits, `-`, `_` and dots but the first one stand for themselves, every
/// other byte is `%` and two digits; so `..`, `/` and NUL are letters like others.
pub(crate) fn step_of(name: &str) -> Outcome<String> {
    let mut step = String::with_capacity(name.len());
    for byte in name.bytes() {
        let plain = byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        if plain || (byte == b'.' && !step.is_empty()) {
            step.push(char::from(byte));
        } else {
            step.push_str(&format!("%{byte:02x}"));
        }
    }
    match step.len() {
        0 => Err("a name cannot be empty".to_owned()),
        length if length > LONGEST => Err(format!("a name of {} bytes is too long", name.len())),
        _ => Ok(step),
    }
}

/// The name that a step stands for, if [`step_of`] makes that step of it.
pub(crate) fn name_of(step: &str) -> Option<String> {
    let (mut bytes, mut digits) = (Vec::new(), step.bytes());
    while let Some(byte) = digits.next() {
        if byte == b'%' {
            let pair = [digits.next()?, digits.next()?];
            bytes.push(u8::from_str_radix(str::from_utf8(&pair).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    (step_of(&name).as_deref() == Ok(step)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_its_step_and_leads_nowhere_else() {
        for name in [
            "a.txt",
            "..",
            ".",
            "../../etc",
            "a/b",
            "\0",
            "Ä",
            "A",
            "%41",
            ".made",
            "a\\b",
        ] {
            let step = step_of(name).unwrap();
            assert_eq!(name_of(&step).as_deref(), Some(name), "{step}");
            assert!(
                !step.starts_with('.') && !step.contains(['/', '\\', '\0']),
                "{step}"
            );
        }
        assert_ne!(step_of("A"), step_of("a"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        assert!(step_of("").is_err());
        assert!(step_of(&"a".repeat(255)).is_ok());
        assert!(step_of(&"a".repeat(256)).is_err());
        for foreign in [".made", "A", "%4", "%zz", "%61", "%ff", ""] {
            assert_eq!(name_of(foreign), None, "{foreign}");
        }
    }
}
