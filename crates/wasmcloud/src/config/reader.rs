//! Reads values and collects what is wrong with them, each with its place in the file.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde_saphyr::{Location, Spanned};

pub(super) use crate::workload::size;
use crate::workload::{
    Diagnostic, Diagnostics, Limit, duration, nearest, position, quoted, source_of,
};

pub(super) type Text = Option<Spanned<String>>;
pub(super) type Number = Option<Spanned<i64>>;
pub(super) type List = Option<Vec<Spanned<String>>>;

pub(super) struct Reader {
    file: Arc<Path>,
    /// Where relative paths begin.
    folder: PathBuf,
    source: Arc<str>,
    errors: Vec<Diagnostic>,
}

impl Reader {
    pub(super) fn new(text: &str, file: &Path) -> Self {
        Self {
            file: file.into(),
            folder: file.parent().unwrap_or(Path::new("")).to_owned(),
            source: source_of(text),
            errors: Vec::new(),
        }
    }

    /// With another folder that relative paths begin at.
    pub(super) fn below(mut self, folder: &Path) -> Self {
        self.folder = folder.to_owned();
        self
    }

    /// The value, unless something was wrong on the way.
    pub(super) fn finish<T>(mut self, value: T) -> Result<T, Diagnostics> {
        if self.errors.is_empty() {
            return Ok(value);
        }
        self.errors.sort_by_key(|error| (error.line, error.column));
        Err(Diagnostics(self.errors))
    }

    pub(super) fn error(&mut self, at: Location, message: impl Into<String>, hint: Option<&str>) {
        let mut error = Diagnostic::new(message)
            .in_file(Arc::clone(&self.file))
            .with_source(Arc::clone(&self.source));
        error.hint = hint.map(str::to_owned);
        self.errors.push(match position(at) {
            Some((line, column)) => error.at(line, column),
            None => error,
        });
    }

    /// A text that `read` understands, or says what it wanted.
    pub(super) fn text<T>(
        &mut self,
        text: Text,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = text?;
        match read(&text.value) {
            Ok(value) => Some(value),
            Err(wanted) => {
                let message = format!("found {}, {wanted}", quoted(&text.value));
                self.error(text.referenced, message, None);
                None
            }
        }
    }

    /// A text of some type of the standard library, whose own errors do not say what was wanted.
    pub(super) fn parse<T: FromStr>(&mut self, text: Text, what: &str, hint: &str) -> Option<T> {
        let text = text?;
        let parsed = text.value.parse().ok();
        if parsed.is_none() {
            let message = format!("found {}, wanted {what}", quoted(&text.value));
            self.error(text.referenced, message, Some(hint));
        }
        parsed
    }

    /// A text that is secret: what is wrong with it is told without it, and without its line.
    #[cfg(feature = "postgres")]
    pub(super) fn secret<T: FromStr<Err: std::fmt::Display>>(&mut self, text: Text) -> Option<T> {
        let text = text?;
        match text.value.parse() {
            Ok(value) => Some(value),
            Err(wanted) => {
                let error = Diagnostic::new(wanted.to_string()).in_file(Arc::clone(&self.file));
                self.errors.push(match position(text.referenced) {
                    Some((line, column)) => error.at(line, column),
                    None => error,
                });
                None
            }
        }
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&mut self, text: Text, known: &[(&str, T)]) -> Option<T> {
        let text = text?;
        let found = known.iter().find(|(word, _)| *word == text.value);
        if found.is_none() {
            let words = known.iter().map(|(word, _)| *word);
            let list: Vec<String> = words.clone().map(quoted).collect();
            let near = nearest(&text.value, words).map(|near| format!("did you mean `{near}`?"));
            let message = format!(
                "found {}, wanted {}",
                quoted(&text.value),
                list.join(" or ")
            );
            self.error(text.referenced, message, near.as_deref());
        }
        found.map(|(_, value)| *value)
    }

    /// A number within bounds.
    pub(super) fn number(&mut self, number: Number, bounds: RangeInclusive<u32>) -> Option<u32> {
        let number = number?;
        let found = u32::try_from(number.value)
            .ok()
            .filter(|found| bounds.contains(found));
        if found.is_none() {
            let (least, most) = bounds.into_inner();
            let message = format!(
                "found {}, wanted a number from {least} to {most}",
                number.value
            );
            self.error(number.referenced, message, None);
        }
        found
    }

    /// A text that is not empty.
    pub(super) fn filled(&mut self, text: Text) -> Option<String> {
        self.text(text, |text| match text.trim() {
            "" => Err("wanted a text that is not empty".to_owned()),
            text => Ok(text.to_owned()),
        })
    }

    /// A path, which begins at the folder of the file where nothing else was said.
    pub(super) fn path(&mut self, text: Text) -> Option<PathBuf> {
        let path = self.filled(text)?;
        Some(self.folder.join(path))
    }

    /// A length of time, such as `30s`.
    pub(super) fn duration(&mut self, text: Text) -> Option<Duration> {
        self.text(text, duration)
    }

    /// A size in bytes, such as `64KiB`.
    pub(super) fn size(&mut self, text: Text) -> Option<u64> {
        self.text(text, size)
    }

    /// An amount, or `none` where there shall be no limit.
    pub(super) fn limit<T>(
        &mut self,
        text: Text,
        amount: impl FnOnce(&str) -> Result<T, String>,
    ) -> Limit<T> {
        let read = self.text(text, |text| match text {
            "none" => Ok(Limit::Unlimited),
            text => match amount(text) {
                Ok(amount) => Ok(Limit::Of(amount)),
                Err(wanted) => Err(format!("{wanted}, or `none` for no limit")),
            },
        });
        read.unwrap_or(Limit::Default)
    }

    /// A list of texts. What is wrong with one does not hide what is wrong with another.
    pub(super) fn list<T>(
        &mut self,
        list: List,
        mut item: impl FnMut(&mut Self, Spanned<String>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let items = list?.into_iter();
        Some(items.filter_map(|text| item(self, text)).collect())
    }

    pub(super) fn labels(
        &mut self,
        labels: BTreeMap<String, Spanned<String>>,
    ) -> BTreeMap<String, String> {
        for (key, value) in &labels {
            if key.trim().is_empty() {
                self.error(value.referenced, "a label has an empty name", None);
            }
        }
        labels
            .into_iter()
            .map(|(key, value)| (key, value.value))
            .collect()
    }
}

/// A length of time that is none of nothing: a guest that may use no time cannot run.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("wanted more than no time".to_owned()),
        span => Ok(span),
    }
}
