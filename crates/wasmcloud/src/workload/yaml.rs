//! Decodes YAML (and so JSON) with budgets, and says in plain words where and why it failed.

use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::{Error, Location, MessageFormatter, Options, UserMessageFormatter};

use super::diagnostic::{Configured, Diagnostic, Diagnostics, nearest, quoted, token_length};

/// The largest text that is read. Larger ones are mistakes: the wrong file, or a secret pasted whole.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;

/// Decodes one YAML or JSON document into `T`.
///
/// An empty document counts as an empty mapping. `file` is only used in messages.
///
/// # Errors
/// Text that is too large, no YAML, or not a `T`: with line, column, and a hint where there is one.
pub fn decode_yaml<T: DeserializeOwned>(text: &str, file: &Path) -> Result<T, Diagnostics> {
    let file: Arc<Path> = file.into();
    check_size(text, &file)?;
    let source = source_of(text);
    let decoded = match serde_saphyr::from_str_with_options(&source, options()) {
        Err(Error::Eof { .. }) => serde_saphyr::from_str_with_options("{}", options()),
        decoded => decoded,
    };
    decoded.map_err(|error| explain(&error, &file, &source).into())
}

/// Refuses a text of more than [`MAX_BYTES`].
pub(super) fn check_size(text: &str, file: &Arc<Path>) -> Result<(), Diagnostic> {
    if text.len() <= MAX_BYTES {
        return Ok(());
    }
    let message = format!(
        "the file has {} bytes; at most {MAX_BYTES} are read",
        text.len()
    );
    Err(Diagnostic::new(message).in_file(Arc::clone(file)))
}

/// The text as diagnostics show it. A byte order mark would shift the columns of its line.
pub(crate) fn source_of(text: &str) -> Arc<str> {
    text.strip_prefix('\u{feff}').unwrap_or(text).into()
}

/// Decodes every document of a text; empty ones are left out. Broken syntax ends the list.
pub(super) fn decode_all<T: DeserializeOwned>(source: &str) -> Vec<Result<T, Error>> {
    let mut reader = source.as_bytes();
    serde_saphyr::read_with_options(&mut reader, options()).collect()
}

/// Limits far above any honest file and far below what would hurt.
fn options() -> Options {
    serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: Some(MAX_BYTES),
            max_events: 200_000,
            max_nodes: 100_000,
            max_depth: 32,
            flow_nesting_limit: 32,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_merge_keys: 1_000,
            max_recorded_anchor_events: 100_000,
            max_recorded_anchor_bytes: 4 * MAX_BYTES,
            max_total_scalar_bytes: 4 * MAX_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 50_000,
            max_replay_stack_depth: 16,
        },
    }
}

/// Where a value was written: for an alias, where it is used.
pub(crate) fn position(location: Location) -> Option<(u32, u32)> {
    let line = u32::try_from(location.line())
        .ok()
        .filter(|line| *line > 0)?;
    Some((line, u32::try_from(location.column()).unwrap_or(1)))
}

/// Turns a decoder's error into a diagnostic.
pub(super) fn explain(error: &Error, file: &Arc<Path>, source: &Arc<str>) -> Diagnostic {
    // What an alias stands for may come from anywhere in the file.
    let alias = matches!(error, Error::AliasError { .. });
    let error = innermost(error);
    let place = error.location().and_then(position);
    let holds = |place| Configured::of(source).holds_place(source, place);
    let hidden = alias || place.is_none_or(holds);
    let (message, hint) = describe(error, source, place, hidden);
    let mut diagnostic = Diagnostic::new(message)
        .in_file(Arc::clone(file))
        .with_source(Arc::clone(source));
    diagnostic.hint = hint;
    match place {
        Some((line, column)) => diagnostic.at(line, column),
        None => diagnostic,
    }
}

fn innermost(mut error: &Error) -> &Error {
    while let Error::AliasError { error: inner, .. } | Error::WithSnippet { error: inner, .. } =
        error
    {
        error = inner;
    }
    error
}

type Words = (String, Option<String>);

/// What is wrong with a value, or else with the text around it. Of a hidden value only the kind is told.
fn describe(error: &Error, source: &str, place: Option<(u32, u32)>, hidden: bool) -> Words {
    let found = || place.map_or_else(nothing, |place| found_at(source, place, hidden));
    let wanted = |wanted: &str| (format!("found {}, wanted {wanted}", found()), None);
    match error {
        Error::SerdeUnknownField {
            field, expected, ..
        } => unknown(
            "field",
            Some(field).filter(|_| !hidden || found() == A_MAPPING),
            expected,
        ),
        Error::SerdeUnknownVariant {
            variant, expected, ..
        } => unknown("value", Some(variant).filter(|_| !hidden), expected),
        Error::SerdeMissingField { field, .. } => (format!("the field `{field}` is missing"), None),
        Error::SerdeInvalidType {
            unexpected,
            expected,
            ..
        }
        | Error::SerdeInvalidValue {
            unexpected,
            expected,
            ..
        } => {
            let found = if hidden { found() } else { unexpected.clone() };
            (format!("found {found}, wanted {expected}"), None)
        }
        Error::InvalidScalar { ty, .. } => wanted(scalar_name(ty)),
        Error::InvalidBooleanStrict { .. } => wanted("`true` or `false`"),
        Error::Unexpected { expected, .. } => wanted(node_name(expected)),
        Error::NullIntoString { .. } => {
            let hint = "write \"\" for an empty text".to_owned();
            ("found nothing, wanted a text".to_owned(), Some(hint))
        }
        Error::DuplicateMappingKey { key, .. } => duplicate(key.as_deref(), source, place),
        Error::UnknownAnchor { .. } => {
            let hint = "a text that begins with `*` needs quotes".to_owned();
            let found = if hidden { "this".to_owned() } else { found() };
            (
                format!("{found} refers to no anchor of this file"),
                Some(hint),
            )
        }
        other => describe_text(other, hidden),
    }
}

/// What is wrong with the text as a whole.
fn describe_text(error: &Error, hidden: bool) -> Words {
    match error {
        Error::ExternalMessage { msg, .. } => syntax(msg),
        Error::Eof { .. } => ("the file is empty".to_owned(), None),
        Error::MultipleDocuments { .. } => {
            let message = "found a second document (`---`), wanted one";
            (message.to_owned(), None)
        }
        Error::Budget {
            breach: BudgetBreach::Depth { .. },
            ..
        } => too_much(TOO_DEEP),
        Error::Budget { .. } => too_much("it has too many values, anchors or aliases"),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. } => too_much("its aliases unfold to too much"),
        // The decoder's own words may repeat the value.
        _ if hidden => ("this value cannot be read".to_owned(), None),
        other => {
            let message = UserMessageFormatter.format_message(other);
            (message.into_owned(), None)
        }
    }
}

fn unknown(what: &str, found: Option<&String>, known: &[&'static str]) -> Words {
    let list: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    let list = list.join(", ");
    let near = found.and_then(|found| nearest(found, known.iter().copied()));
    let hint = match near {
        Some(near) => format!("did you mean `{near}`? known here: {list}"),
        None => format!("known here: {list}"),
    };
    let found = found.map_or_else(String::new, |found| format!(" {}", quoted(found)));
    (format!("unknown {what}{found}"), Some(hint))
}

fn duplicate(key: Option<&str>, source: &str, place: Option<(u32, u32)>) -> Words {
    let first = key
        .zip(place)
        .and_then(|(key, place)| first_of_key(source, key, place));
    let key = key.map_or_else(|| "this key".to_owned(), quoted);
    let first = first.map_or_else(String::new, |(l, c)| format!("; the first is at {l}:{c}"));
    let hint = "keep one of them".to_owned();
    (
        format!("{key} is there twice in one mapping{first}"),
        Some(hint),
    )
}

fn syntax(message: &str) -> Words {
    if message.contains("recursion limit") {
        return too_much(TOO_DEEP);
    }
    let hint = if message.contains("tab") {
        "indent with spaces"
    } else {
        "check quotes, brackets and indentation; a text with `: ` or ` #` in it needs quotes"
    };
    let message = quoted(message);
    let message = format!("not valid YAML or JSON: {}", message.trim_matches('`'));
    (message, Some(hint.to_owned()))
}

const TOO_DEEP: &str = "it is nested too deeply";

fn too_much(what: &str) -> Words {
    let hint = "write it flatter, with fewer aliases, or as several files".to_owned();
    (format!("too much for one file: {what}"), Some(hint))
}

fn scalar_name(ty: &str) -> &'static str {
    match ty.as_bytes().first() {
        Some(b'i') => "a whole number",
        Some(b'u') => "a whole number, not negative",
        Some(b'f') => "a number",
        Some(b'b') => "`true` or `false`",
        _ => "another kind of value",
    }
}

fn node_name(expected: &'static str) -> &'static str {
    match expected {
        "string scalar" => "a text",
        "mapping start" => "a mapping (`key: value`)",
        "sequence start" => "a list (`- item`)",
        other => other,
    }
}

const A_MAPPING: &str = "a mapping";

fn nothing() -> String {
    "nothing".to_owned()
}

/// What stands at a place, for a message. A mapping's values are not repeated, nor is a hidden one.
fn found_at(source: &str, (line, column): (u32, u32), hidden: bool) -> String {
    let text = source
        .lines()
        .nth(line.saturating_sub(1) as usize)
        .unwrap_or_default();
    let text: String = text
        .chars()
        .skip(column.saturating_sub(1) as usize)
        .collect();
    let end = token_length(&text);
    let (token, rest) = text.split_at_checked(end).unwrap_or((&text, ""));
    match token.chars().next() {
        None | Some('#') => nothing(),
        Some('[') => "a list".to_owned(),
        Some('-') if token == "-" => "a list".to_owned(),
        Some('{') => A_MAPPING.to_owned(),
        Some(_) if rest.trim_start().starts_with(':') => A_MAPPING.to_owned(),
        Some(_) if !hidden => quoted(token),
        Some(_) if token.parse::<f64>().is_ok() => "a number".to_owned(),
        Some(_) => "a text".to_owned(),
    }
}

/// Where the first of two equal keys of a mapping stands, given where the second does.
///
/// The decoder only tells the second place. This reads the text the way people write it and gives up
/// on anything stranger, which costs the message its second half.
fn first_of_key(source: &str, key: &str, (line, column): (u32, u32)) -> Option<(u32, u32)> {
    let lines: Vec<&str> = source.lines().collect();
    let index = usize::try_from(line).ok()?.checked_sub(1)?;
    let column = usize::try_from(column).ok()?.checked_sub(1)?;
    let before: String = lines.get(index)?.chars().take(column).collect();
    if before.chars().any(|c| !matches!(c, ' ' | '-')) {
        return same_line(&before, key).map(|first| (line, first));
    }
    for (number, text) in lines.get(..index)?.iter().enumerate().rev() {
        let Some(indent) = text.chars().position(|c| c != ' ') else {
            continue;
        };
        let before_key = || text.chars().take(column).all(|c| matches!(c, ' ' | '-'));
        if indent <= column && before_key() && is_key(text.chars().skip(column), key) {
            return Some((
                u32::try_from(number + 1).ok()?,
                u32::try_from(column + 1).ok()?,
            ));
        }
        if indent < column && !text.trim_start().starts_with('#') {
            return None;
        }
    }
    None
}

fn is_key(text: impl Iterator<Item = char>, key: &str) -> bool {
    let text: String = text.collect();
    let bare = [
        format!("{key}:"),
        format!("\"{key}\":"),
        format!("'{key}':"),
    ];
    bare.iter().any(|start| text.starts_with(start.as_str()))
}

/// The column of `key` in the innermost flow mapping that is open at the end of `text`.
fn same_line(text: &str, key: &str) -> Option<u32> {
    let mut open: Vec<Option<u32>> = vec![None];
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let used = if matches!(first, '{' | '[' | '}' | ']' | ',' | ':') || first.is_whitespace() {
            first.len_utf8()
        } else {
            token_length(rest).max(1)
        };
        match first {
            '{' | '[' => open.push(None),
            '}' | ']' => drop(open.pop()),
            _ if is_key(rest.chars(), key) => {
                let byte = text.len() - rest.len();
                let column = text.get(..byte)?.chars().count() + 1;
                let frame = open.last_mut()?;
                *frame = frame.or(u32::try_from(column).ok());
            }
            _ => {}
        }
        rest = rest.get(used..)?;
    }
    open.pop().flatten()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod secrets;
#[cfg(test)]
mod tests;
