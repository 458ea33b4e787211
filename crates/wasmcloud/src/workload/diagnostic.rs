//! Errors that point into a file: where, what is wrong, what to do, and the line itself.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use mask::{Masked, mask};

pub(super) use mask::Configured;

/// Lines up to this many characters are shown whole; of longer ones, half as much on each side of the column.
const WIDEST_LINE: usize = 200;
/// How many bytes of a token are underlined at most.
const WIDEST_MARK: usize = 60;
/// How much of somebody's text a message repeats.
const WIDEST_QUOTE: usize = 60;

/// One error in a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, as the reader of the message knows it.
    pub file: Option<Arc<Path>>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column in characters, from 1.
    pub column: Option<u32>,
    /// What was found and what was wanted.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    source: Option<Arc<str>>,
}

impl Diagnostic {
    /// An error that points nowhere yet.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            file: None,
            line: None,
            column: None,
            message: message.into(),
            hint: None,
            source: None,
        }
    }

    /// The same error in that file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<Arc<Path>>) -> Self {
        self.file = Some(file.into());
        self
    }

    /// The same error at that line and column, both from 1.
    #[must_use]
    pub const fn at(mut self, line: u32, column: u32) -> Self {
        self.line = Some(line);
        self.column = Some(column);
        self
    }

    /// The same error with advice.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with the text of the file, of which [`Diagnostic::render`] shows a line.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Arc<str>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The error with an excerpt of its line, for a terminal. `color` asks for ANSI colours.
    ///
    /// The excerpt has keys and punctuation. Values may be secrets: of them it shows at most the one that the message repeats.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let excerpt = self.excerpt();
        let mut group = Group::with_title(Level::ERROR.primary_title(&self.message));
        let whole = excerpt.as_ref().is_some_and(|excerpt| !excerpt.cut);
        if !whole && (self.file.is_some() || self.line.is_some()) {
            // An excerpt with other columns than its line cannot tell the column, so the heading does.
            group = group.element(self.origin());
        }
        if let Some(excerpt) = &excerpt {
            let span = AnnotationKind::Primary.span(excerpt.start..excerpt.end);
            let snippet = Snippet::source(&excerpt.text)
                .path(whole.then(|| self.file_name()))
                .line_start(self.line.unwrap_or(1) as usize);
            group = group.element(snippet.annotation(span));
        }
        if let Some(hint) = &self.hint {
            group = group.element(Level::NOTE.with_name("hint").message(hint));
        }
        without_empty_heading(&renderer.render(&[group]))
    }

    fn excerpt(&self) -> Option<Excerpt> {
        let (number, source) = self.line.zip(self.source.as_deref())?;
        let line = source.lines().nth((number as usize).saturating_sub(1))?;
        let start = line.as_ptr().addr() - source.as_ptr().addr();
        let configured = Configured::of(source);
        let column = (self.column.unwrap_or(1) as usize).saturating_sub(1);
        let Masked { text, mark } = mask(line, column, &self.message, |byte| {
            configured.holds(start + byte)
        });
        let mut excerpt = Excerpt::new(&text, mark + 1);
        excerpt.cut |= mark != column;
        Some(excerpt)
    }

    fn file_name(&self) -> String {
        let file = self.file.as_deref().map(|file| file.display().to_string());
        file.unwrap_or_else(|| "<input>".to_owned())
    }

    fn origin(&self) -> Origin<'_> {
        let mut origin = Origin::path(self.file_name());
        if let Some(line) = self.line {
            origin = origin.line(line as usize);
        }
        match self.column {
            Some(column) => origin.char_column(column as usize),
            None => origin,
        }
    }
}

/// Takes out the heading that the renderer gives an excerpt without a path: the line before it has the path already.
fn without_empty_heading(rendered: &str) -> String {
    let plain = |line: &str| -> String {
        let mut parts = line.split('\u{1b}');
        let start = parts.next().unwrap_or_default();
        let rest = parts.filter_map(|part| Some(part.split_once('m')?.1));
        std::iter::once(start).chain(rest).collect()
    };
    let kept = rendered.lines().filter(|line| plain(line).trim() != ":::");
    kept.collect::<Vec<_>>().join("\n")
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
        }
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, "{number}:")?;
        }
        if self.file.is_some() || self.line.is_some() {
            f.write_str(" ")?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Diagnostic {
    /// Leaves the text of the file out: it is long, and may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

impl std::error::Error for Diagnostic {}

/// The part of a line to show, and the bytes of it to underline.
struct Excerpt {
    text: String,
    start: usize,
    end: usize,
    /// Whether columns of the text are others than those of the line.
    cut: bool,
}

impl Excerpt {
    fn new(line: &str, column: usize) -> Self {
        let column = column.saturating_sub(1);
        let length = line.chars().count();
        let (skip, take) = if length <= WIDEST_LINE {
            (0, length)
        } else {
            (
                column.min(length).saturating_sub(WIDEST_LINE / 2),
                WIDEST_LINE,
            )
        };
        let dots = if skip > 0 { "… " } else { "" };
        let shown = line.chars().skip(skip).take(take);
        let mut text: String = dots.chars().chain(shown).collect();
        let before = column - skip.min(column) + dots.chars().count();
        let start = text
            .char_indices()
            .nth(before)
            .map_or(text.len(), |(byte, _)| byte);
        let token = text.get(start..).unwrap_or_default();
        let end = start + token.floor_char_boundary(token_length(token).min(WIDEST_MARK));
        if skip + take < length {
            text.push_str(" …");
        }
        Self {
            text,
            start,
            end,
            cut: skip > 0,
        }
    }
}

/// How many bytes the YAML token at the start of `text` has, roughly: it is only underlined.
pub(super) fn token_length(text: &str) -> usize {
    let mut chars = text.char_indices();
    match chars.next() {
        None => 0,
        Some((_, quote @ ('"' | '\''))) => chars
            .find(|(_, c)| *c == quote)
            .map_or(text.len(), |(byte, c)| byte + c.len_utf8()),
        Some((_, first)) => {
            let stops = |(_, c): &(usize, char)| c.is_whitespace() || ",]}".contains(*c);
            let end = chars.find(stops).map_or(text.len(), |(byte, _)| byte);
            let word = text.get(..end).unwrap_or(text);
            word.trim_end_matches(':').len().max(first.len_utf8())
        }
    }
}

/// All errors that were found, in the order of the file. As an error, never empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Every error with an excerpt of its line, with an empty line between two.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let rendered: Vec<String> = self.0.iter().map(|one| one.render(color)).collect();
        rendered.join("\n\n")
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, one) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            one.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Self {
        Self(vec![one])
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// The candidate that somebody who wrote `word` most likely meant, if any comes close.
///
/// Letter case, `-` and `_` count for nothing, so `pool_size` is close to `poolSize`.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| -> String {
        let kept = text.chars().filter(|c| !matches!(c, '-' | '_'));
        kept.take(WIDEST_LINE)
            .flat_map(char::to_lowercase)
            .collect()
    };
    let word = plain(word);
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&word, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= limit && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Somebody's text for use in a message: in backticks, on one line, not too long.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown = String::from("`");
    for c in text.chars().take(WIDEST_QUOTE) {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    if text.chars().nth(WIDEST_QUOTE).is_some() {
        shown.push('…');
    }
    shown.push('`');
    shown
}

mod mask;
#[cfg(test)]
mod tests;
