//! Keeps configured values out of errors: where a file has them, and lines without any.
//!
//! Where the text leaves doubt, it counts as configured: a value too few is shown rather than one too many.

use std::ops::Range;

/// Keys whose values may be secrets, in any letter case.
const SECRET_KEYS: [&str; 3] = ["config", "environment", "env"];
/// Longer keys are not repeated; they are more likely to be values.
const LONGEST_KEY: usize = 64;
const MASK: char = '…';

/// The parts of a text below the keys that hold configured values, in bytes and in order.
pub(in crate::workload) struct Configured(Vec<Range<usize>>);

impl Configured {
    pub(in crate::workload) fn of(source: &str) -> Self {
        // A carriage return alone is a line break of YAML, and none for the line numbers here.
        if source.replace("\r\n", "").contains('\r') {
            return Self(std::iter::once(0..usize::MAX).collect());
        }
        let mut parts = Vec::new();
        let mut from = 0;
        while let Some((key, value)) = next_key(source, from) {
            from = end_of_value(source, key, value).max(value);
            parts.push(value..from);
        }
        Self(parts)
    }

    pub(in crate::workload) fn holds(&self, byte: usize) -> bool {
        let next = self.0.partition_point(|part| part.end <= byte);
        self.0.get(next).is_some_and(|part| part.contains(&byte))
    }

    /// Whether what stands at a line and column, both from 1, must not be told.
    pub(in crate::workload) fn holds_place(&self, source: &str, place: (u32, u32)) -> bool {
        byte_of(source, place).is_none_or(|byte| self.holds(byte))
    }
}

fn byte_of(source: &str, (line, column): (u32, u32)) -> Option<usize> {
    let text = source.lines().nth(line.saturating_sub(1) as usize)?;
    let start = text.as_ptr().addr() - source.as_ptr().addr();
    let before = text.chars().take(column.saturating_sub(1) as usize);
    Some(start + before.map(char::len_utf8).sum::<usize>())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')
}

/// Where the next key with configured values stands, and where what belongs to it begins.
fn next_key(source: &str, from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    loop {
        at += source.get(at..)?.find(is_word)?;
        let word = source.get(at..)?;
        let word = word.split(|c| !is_word(c)).next()?;
        // An item of a block list begins with `-` and a space, so it is no part of a word here.
        let end = at + word.len();
        if SECRET_KEYS.iter().any(|key| word.eq_ignore_ascii_case(key)) {
            let rest = source.get(end..)?;
            let open = rest.strip_prefix(['"', '\'']).unwrap_or(rest).trim_start();
            if let Some(value) = open.strip_prefix(':') {
                return Some((at, source.len() - value.len()));
            }
            if source.get(..at)?.trim_end().ends_with('?') {
                return Some((at, end));
            }
        }
        at = end;
    }
}

fn end_of_value(source: &str, key: usize, value: usize) -> usize {
    let rest = source.get(value..).unwrap_or_default();
    let skipped = skip_to_content(rest);
    if rest
        .get(skipped..)
        .is_some_and(|it| it.starts_with(['{', '[']))
    {
        return end_of_flow(source, value + skipped);
    }
    let before = source.get(..key).unwrap_or_default();
    let line = before.rfind('\n').map_or(0, |end| end + 1);
    let before = before.get(line..).unwrap_or_default();
    if before.contains(|c| !matches!(c, ' ' | '-' | '?' | '"' | '\'')) {
        return end_of_flow(source, value);
    }
    let column = before.trim_end_matches(['"', '\'']);
    let column = column.find('?').unwrap_or(column.len());
    end_of_block(source, value, column)
}

/// How many bytes of blanks, comments, tags and anchors stand before a value.
fn skip_to_content(text: &str) -> usize {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        match rest.chars().next() {
            Some('#') => {
                rest = rest
                    .find('\n')
                    .map_or("", |end| rest.get(end..).unwrap_or(""))
            }
            Some('&' | '!') => {
                let end = rest.find(|c: char| c.is_whitespace() || "{}[],".contains(c));
                rest = end.map_or("", |end| rest.get(end..).unwrap_or(""));
            }
            _ => return text.len() - rest.len(),
        }
    }
}

/// Where the block below a key ends: at the first line that does not stand deeper, save items of a list.
fn end_of_block(source: &str, value: usize, column: usize) -> usize {
    let mut at = value;
    for line in source
        .get(value..)
        .unwrap_or_default()
        .split_inclusive('\n')
    {
        let text = line.trim_start_matches(' ');
        let indent = line.len() - text.len();
        let nothing = text.trim().is_empty() || text.starts_with('#');
        let inside = indent > column
            || indent == column && text.starts_with(['-', ':']) && !text.starts_with("---");
        // What follows the key on its own line belongs to it.
        if at > value && !nothing && !inside {
            return at;
        }
        at += line.len();
    }
    source.len()
}

/// Where a value in flow style ends: behind its last bracket, or before what ends a scalar.
fn end_of_flow(source: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    let mut last = ' ';
    while let Some(c) = source.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = source.get(at..).unwrap_or_default();
        let apart = last.is_whitespace() || "{[,:".contains(last);
        let used = match c {
            '"' | '\'' if apart => quoted_length(rest),
            '#' if last.is_whitespace() && at > start => rest.find('\n').unwrap_or(rest.len()),
            _ => c.len_utf8(),
        };
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' if depth <= 1 => return at + depth,
            '}' | ']' => depth -= 1,
            ',' if depth == 0 => return at,
            _ => {}
        }
        at += used;
        last = c;
    }
    source.len()
}

/// How many bytes the quoted text at the start of `text` has; all of them when it does not end.
fn quoted_length(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    let Some((_, quote)) = chars.next() else {
        return 0;
    };
    while let Some((byte, c)) = chars.next() {
        if c == '\\' && quote == '"' {
            chars.next();
        } else if c == quote {
            let twice = quote == '\'' && chars.next_if(|(_, next)| *next == quote).is_some();
            if !twice {
                return byte + 1;
            }
        }
    }
    text.len()
}

/// A line without its values, and where the marked character of the line is now, in characters.
pub(super) struct Masked {
    pub(super) text: String,
    pub(super) mark: usize,
}

/// Leaves of a line the keys, the punctuation, and the marked word if `said` quotes it anyway.
///
/// `mark` is in characters of the line; `secret` tells of a byte of the line whether it is configured.
pub(super) fn mask(line: &str, mark: usize, said: &str, secret: impl Fn(usize) -> bool) -> Masked {
    let mut masked = Masked {
        text: String::with_capacity(line.len()),
        mark: 0,
    };
    let marked = line.char_indices().nth(mark).map_or(line.len(), |it| it.0);
    let mut reader = Reader::new(line);
    let mut done = false;
    while let Some(piece) = reader.next() {
        let end = piece.start + piece.text.len();
        let is_marked = (piece.start..end).contains(&marked);
        let shown = match piece.kind {
            Kind::Punctuation => true,
            Kind::Key if !secret(piece.start) => true,
            _ => is_marked && said.contains(&format!("`{}`", piece.text.trim_matches(['"', '\'']))),
        };
        if !shown && masked.text.trim_end().ends_with(MASK) {
            masked
                .text
                .truncate(masked.text.trim_end().len() - MASK.len_utf8());
        }
        if is_marked {
            let inside = piece.text.get(..marked - piece.start).filter(|_| shown);
            let inside = inside.map_or(0, |inside| inside.chars().count());
            masked.mark = masked.text.chars().count() + inside;
            done = true;
        }
        if shown {
            masked.text.push_str(piece.text);
        } else {
            masked.text.push(MASK);
        }
    }
    if !done {
        masked.mark = masked.text.chars().count();
    }
    masked
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Brackets, commas, colons, dashes, blanks.
    Punctuation,
    Key,
    /// Anything else, comments too.
    Value,
}

struct Piece<'a> {
    start: usize,
    text: &'a str,
    kind: Kind,
}

/// Cuts a line of YAML or JSON into pieces.
struct Reader<'a> {
    line: &'a str,
    at: usize,
    depth: usize,
    /// Whether a key may stand here.
    key: bool,
}

impl<'a> Reader<'a> {
    fn new(line: &'a str) -> Self {
        Self {
            line,
            at: 0,
            depth: 0,
            key: true,
        }
    }

    fn next(&mut self) -> Option<Piece<'a>> {
        let start = self.at;
        let rest = self.line.get(start..)?;
        let first = rest.chars().next()?;
        let (length, kind) = match first {
            '{' | '[' | '}' | ']' | ',' => {
                self.enter(first);
                (1, Kind::Punctuation)
            }
            c if c.is_whitespace() => (c.len_utf8(), Kind::Punctuation),
            ':' => {
                self.key = false;
                (1, Kind::Punctuation)
            }
            '-' | '?'
                if rest
                    .get(1..)
                    .is_none_or(|it| it.is_empty() || it.starts_with(' ')) =>
            {
                (1, Kind::Punctuation)
            }
            '#' if !self
                .line
                .get(..start)?
                .ends_with(|c: char| !c.is_whitespace()) =>
            {
                (rest.len(), Kind::Value)
            }
            _ => self.word(rest, first),
        };
        self.at += length;
        let text = rest.get(..length)?;
        Some(Piece { start, text, kind })
    }

    fn enter(&mut self, bracket: char) {
        match bracket {
            '{' | '[' => self.depth += 1,
            '}' | ']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        self.key = self.depth > 0 && !matches!(bracket, '}' | ']');
    }

    fn word(&mut self, rest: &str, first: char) -> (usize, Kind) {
        let length = if matches!(first, '"' | '\'') {
            quoted_length(rest)
        } else {
            let stops = |c: char| c.is_whitespace() || ",[]{}".contains(c);
            let word = rest.split(stops).next().unwrap_or(rest);
            word.strip_suffix(':')
                .unwrap_or(word)
                .len()
                .max(first.len_utf8())
        };
        let (word, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        let name = word.trim_matches(['"', '\'']);
        let is_key = self.key
            && after.trim_start().starts_with(':')
            && name.chars().count() <= LONGEST_KEY
            && name.chars().all(|c| is_word(c) && !c.is_control());
        self.key = false;
        (length, if is_key { Kind::Key } else { Kind::Value })
    }
}
