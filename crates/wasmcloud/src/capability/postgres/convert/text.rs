//! Texts that the server reads: arrays, bits, pairs, and what counts as text.

use std::fmt::Write as _;

use tokio_postgres::types::{Kind, Type};

use super::base;

/// Whether a type is text by another name.
pub(super) fn is_text(ty: &Type) -> bool {
    let ty = base(ty);
    let known = [
        Type::TEXT,
        Type::VARCHAR,
        Type::BPCHAR,
        Type::NAME,
        Type::CHAR,
        Type::UNKNOWN,
    ];
    known.contains(ty) || matches!(ty.kind(), Kind::Enum(_)) || ty.name() == "citext"
}

/// An array. Every element is quoted, so that none is taken for NULL.
pub(super) fn array(items: &[String], delimiter: char) -> String {
    let mut text = String::from("{");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push(delimiter);
        }
        quoted(&mut text, item);
    }
    text.push('}');
    text
}

/// With quotes around it.
pub(super) fn quoted(text: &mut String, item: &str) {
    text.push('"');
    for letter in item.chars() {
        if matches!(letter, '"' | '\\') {
            text.push('\\');
        }
        text.push(letter);
    }
    text.push('"');
}

/// Pairs of which the second may be missing.
pub(super) fn hstore(pairs: &[(String, Option<String>)]) -> String {
    let mut text = String::new();
    for (key, value) in pairs {
        if !text.is_empty() {
            text.push(',');
        }
        quoted(&mut text, key);
        text.push_str("=>");
        match value {
            Some(value) => quoted(&mut text, value),
            None => text.push_str("NULL"),
        }
    }
    text
}

pub(super) fn words(items: &[i16]) -> String {
    let items: Vec<String> = items.iter().map(i16::to_string).collect();
    items.join(" ")
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2 + 2);
    text.push_str("\\x");
    for byte in bytes {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Bits, the highest of the first byte first: as many as said, or all.
pub(super) fn bits(length: Option<u32>, bytes: &[u8]) -> Result<String, String> {
    let there = bytes.len().saturating_mul(8);
    let length = length.map_or(there, |length| {
        usize::try_from(length).unwrap_or(usize::MAX)
    });
    if length > there || length.div_ceil(8) < bytes.len() {
        return Err(format!(
            "{length} bits are said to be in {} bytes",
            bytes.len()
        ));
    }
    let all = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    Ok(all
        .take(length)
        .map(|bit| if bit == 1 { '1' } else { '0' })
        .collect())
}

pub(super) fn exactly(length: u32, bytes: &[u8]) -> Result<Vec<u8>, String> {
    match u32::try_from(bytes.len()) == Ok(length) {
        true => Ok(bytes.to_vec()),
        false => Err(format!(
            "a text is said to have {length} bytes, and has {}",
            bytes.len()
        )),
    }
}

pub(super) fn at_most(most: Option<u32>, bytes: &[u8]) -> Result<Vec<u8>, String> {
    match most {
        Some(most) if usize::try_from(most).is_ok_and(|most| bytes.len() > most) => Err(format!(
            "a text is said to have at most {most} bytes, and has {}",
            bytes.len()
        )),
        _ => Ok(bytes.to_vec()),
    }
}

pub(super) fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|_| "a text is not UTF-8".to_owned())
}
