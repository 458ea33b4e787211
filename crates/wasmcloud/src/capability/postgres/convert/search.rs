//! Words of documents, and questions for them.

use std::fmt::Write as _;

use super::super::value::{Lexeme, LexemeWeight};
use super::from_server::Unread;
use super::wire::{Damaged, Wire};

/// Deeper questions are not read.
const DEEPEST: usize = 500;
const LAST_POSITION: u16 = 16383;

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\\', "\\\\").replace('\'', "''"))
}

/// The words of a document, each with one of its places.
pub(super) fn vector(lexemes: &[Lexeme]) -> Result<String, String> {
    let mut text = String::new();
    for lexeme in lexemes {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&quoted(&lexeme.data));
        match (lexeme.position, lexeme.weight) {
            (None, None) => {}
            (Some(position @ 1..=LAST_POSITION), weight) => {
                let weight = match weight {
                    Some(LexemeWeight::A) => "A",
                    Some(LexemeWeight::B) => "B",
                    Some(LexemeWeight::C) => "C",
                    Some(LexemeWeight::D) | None => "",
                };
                // Writing to a text cannot fail.
                let _ = write!(text, ":{position}{weight}");
            }
            (Some(_), _) => {
                return Err(format!(
                    "a word has a position that is not from 1 to {LAST_POSITION}"
                ));
            }
            (None, Some(_)) => return Err("a word has a weight, and no position".to_owned()),
        }
    }
    Ok(text)
}

/// The words with their places, of at most so many bytes: what the server says once is here once for each place.
pub(super) fn read_vector(raw: &[u8], most: usize) -> Result<Vec<Lexeme>, Unread> {
    let mut wire = Wire::new(raw);
    let (mut lexemes, mut bytes) = (Vec::new(), 0_usize);
    for _ in 0..wire.length()? {
        let data = wire.text()?;
        let positions = wire.u16()?;
        let each = data.len() + size_of::<Lexeme>();
        bytes = bytes.saturating_add(each.saturating_mul(positions.max(1).into()));
        if bytes > most {
            return Err(Unread::too_large());
        }
        let lexeme = |position, weight| Lexeme {
            position,
            weight,
            data: data.to_owned(),
        };
        if positions == 0 {
            lexemes.push(lexeme(None, None));
        }
        for _ in 0..positions {
            let place = wire.u16()?;
            let weight = match place >> 14 {
                3 => LexemeWeight::A,
                2 => LexemeWeight::B,
                1 => LexemeWeight::C,
                _ => LexemeWeight::D,
            };
            lexemes.push(lexeme(Some(place & LAST_POSITION), Some(weight)));
        }
    }
    wire.end()?;
    Ok(lexemes)
}

/// A question as the server would write it, with more parentheses.
pub(super) fn read_query(raw: &[u8]) -> Result<String, Damaged> {
    let mut wire = Wire::new(raw);
    let text = match wire.length()? {
        0 => String::new(),
        _ => item(&mut wire, 0)?,
    };
    wire.end()?;
    Ok(text)
}

fn item(wire: &mut Wire<'_>, depth: usize) -> Result<String, Damaged> {
    if depth > DEEPEST {
        return Err(Damaged);
    }
    match (wire.u8()?, wire.u8()?) {
        (1, weights) => word(wire, weights),
        (2, 1) => Ok(format!("!{}", item(wire, depth + 1)?)),
        (2, operator) => {
            let between = match operator {
                2 => "&".to_owned(),
                3 => "|".to_owned(),
                4 => match wire.i16()? {
                    1 => "<->".to_owned(),
                    distance => format!("<{distance}>"),
                },
                _ => return Err(Damaged),
            };
            // What stands on the right comes first.
            let right = item(wire, depth + 1)?;
            let left = item(wire, depth + 1)?;
            Ok(format!("( {left} {between} {right} )"))
        }
        _ => Err(Damaged),
    }
}

fn word(wire: &mut Wire<'_>, weights: u8) -> Result<String, Damaged> {
    let prefix = wire.u8()? != 0;
    let mut text = quoted(wire.text()?);
    if prefix || weights != 0 {
        text.push(':');
        text.push_str(if prefix { "*" } else { "" });
        for (bit, letter) in [(8, 'A'), (4, 'B'), (2, 'C'), (1, 'D')] {
            if weights & bit != 0 {
                text.push(letter);
            }
        }
    }
    Ok(text)
}
