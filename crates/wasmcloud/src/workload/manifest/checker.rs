//! Collects the errors and the places of one document while its parts are checked.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use serde_saphyr::{Location, Spanned};

use super::Locations;
use super::raw;
use crate::workload::ComponentName;
use crate::workload::diagnostic::{Diagnostic, nearest, quoted};
use crate::workload::resources::{Limit, NO_LIMIT};
use crate::workload::yaml::position;

pub(super) struct Checker {
    pub(super) locations: Locations,
    pub(super) errors: Vec<Diagnostic>,
}

impl Checker {
    pub(super) fn new(file: &Arc<Path>, source: &Arc<str>) -> Self {
        let locations = Locations {
            file: Arc::clone(file),
            source: Arc::clone(source),
            places: BTreeMap::new(),
        };
        Self {
            locations,
            errors: Vec::new(),
        }
    }

    /// Remembers where the value of a path stands.
    pub(super) fn place(&mut self, path: &str, at: Location) {
        if let Some(place) = position(at) {
            self.locations.places.insert(path.to_owned(), place);
        }
    }

    /// Remembers where a field is, if it is there.
    pub(super) fn place_field<T>(&mut self, base: &str, name: &str, field: Option<&Spanned<T>>) {
        if let Some(field) = field {
            self.place(&format!("{base}.{name}"), field.referenced);
        }
    }

    pub(super) fn error(&mut self, at: Location, message: impl Into<String>, hint: Option<&str>) {
        let place = position(at);
        self.errors.push(
            self.locations
                .at(place, message.into(), hint.map(str::to_owned)),
        );
    }

    /// The value of a required field of the mapping that stands at `owner`.
    pub(super) fn required<'a, T>(
        &mut self,
        owner: Location,
        what: &str,
        field: &str,
        value: Option<&'a Spanned<T>>,
    ) -> Option<&'a Spanned<T>> {
        if value.is_none() {
            self.error(owner, format!("{what} has no `{field}`"), None);
        }
        value
    }

    pub(super) fn parse<T>(&mut self, text: &Spanned<String>) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        match text.value.parse() {
            Ok(value) => Some(value),
            Err(problem) => {
                let problem: T::Err = problem;
                self.error(text.referenced, problem.to_string(), None);
                None
            }
        }
    }

    /// A component that is one of these.
    pub(super) fn component(
        &mut self,
        name: &Spanned<String>,
        names: &[&str],
    ) -> Option<ComponentName> {
        if names.contains(&name.value.as_str()) {
            return name.value.parse().ok();
        }
        self.unknown(name, "is no component of this workload", names);
        None
    }

    /// A number on the wire where everything below 1 means "not set".
    pub(super) fn positive(&mut self, number: Option<&Spanned<i64>>) -> Option<u32> {
        let number = number?;
        self.amount(number.value, number.referenced)
    }

    fn amount(&mut self, number: i64, at: Location) -> Option<u32> {
        if number <= 0 {
            return None;
        }
        let value = i32::try_from(number)
            .ok()
            .and_then(|small| u32::try_from(small).ok());
        if value.is_none() {
            let message = format!("found {number}, wanted at most {}", i32::MAX);
            self.error(at, message, None);
        }
        value
    }

    /// A limit: a number, where everything below 1 means the default, or `none`.
    pub(super) fn limit<T>(
        &mut self,
        amount: Option<&Spanned<raw::Amount>>,
        unit: impl Fn(u32) -> T,
    ) -> Limit<T> {
        let Some(amount) = amount else {
            return Limit::Default;
        };
        let at = amount.referenced;
        match &amount.value {
            raw::Amount::Number(number) => self
                .amount(*number, at)
                .map_or(Limit::Default, |number| Limit::Of(unit(number))),
            raw::Amount::Word(word) if word == NO_LIMIT => Limit::Unlimited,
            raw::Amount::Word(_) => {
                // The word is not repeated: it may be an alias of something that is secret.
                let message = format!("found another word, wanted a number or `{NO_LIMIT}`");
                let hint = "leave it out for the host's default; `none` asks for no limit";
                self.error(at, message, Some(hint));
                Limit::Default
            }
        }
    }

    /// Refuses a field that this host could only ignore.
    pub(super) fn refuse(&mut self, field: &raw::Refused, message: &str, hint: &str) {
        if let Some(field) = field {
            self.error(field.referenced, message, Some(hint));
        }
    }

    /// An error about a word that is none of the known ones, with the nearest.
    pub(super) fn unknown(&mut self, word: &Spanned<String>, message: &str, known: &[&str]) {
        let list: Vec<String> = known.iter().map(|name| quoted(name)).collect();
        let list = list.join(", ");
        let hint = match nearest(&word.value, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`? known here: {list}"),
            None if known.is_empty() => "there is none here".to_owned(),
            None => format!("known here: {list}"),
        };
        let message = format!("{} {message}", quoted(&word.value));
        self.error(word.referenced, message, Some(&hint));
    }

    /// Reports a second use of something that may be there once, naming the place of the first.
    pub(super) fn unique(
        &mut self,
        seen: &mut BTreeMap<String, Location>,
        key: String,
        what: &str,
        at: Location,
    ) {
        match seen.get(&key) {
            None => drop(seen.insert(key, at)),
            Some(first) => {
                let first = position(*first)
                    .map_or_else(String::new, |(line, column)| format!(" at {line}:{column}"));
                self.error(at, format!("{what} is already there{first}"), None);
            }
        }
    }

    /// The texts of a mapping. Keys are checked because a guest would receive them as they are.
    pub(super) fn map(&mut self, map: &raw::Map, what: &str) -> BTreeMap<String, String> {
        let Some(map) = map else {
            return BTreeMap::new();
        };
        for (key, value) in &map.value {
            if key.is_empty() || key.contains('\0') || value.value.contains('\0') {
                let message = format!("{what} {} is empty or holds a NUL character", quoted(key));
                self.error(value.referenced, message, None);
            }
        }
        map.value
            .iter()
            .map(|(key, value)| (key.clone(), value.value.clone()))
            .collect()
    }
}
