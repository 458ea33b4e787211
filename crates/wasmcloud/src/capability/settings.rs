//! Reads the `config` of an entry of `hostInterfaces`. A plugin asks for the settings that it knows; whatever nobody has asked for
//! has no meaning, and is an error.

use std::fmt::Display;
use std::ops::RangeInclusive;

use crate::plugin::PluginError;
use crate::workload::{self, HostInterface, nearest};

/// The settings of one entry, and what is wrong with them.
pub(crate) struct Settings<'a> {
    entry: &'a HostInterface,
    path: String,
    known: Vec<&'static str>,
    errors: Vec<PluginError>,
}

impl<'a> Settings<'a> {
    /// Those of the entry at this place of the list.
    pub(crate) fn of(entry: &'a HostInterface, index: usize) -> Self {
        Self::under(entry, format!("spec.hostInterfaces.{index}.config"))
    }

    /// Those of something in the form of an entry, which the manifest has elsewhere.
    pub(crate) fn under(entry: &'a HostInterface, path: String) -> Self {
        Self {
            entry,
            path,
            known: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// A text as it is written. It may be secret.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<&'a str> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entry.config.get(key).map(String::as_str)
    }

    /// A text that cannot be left out.
    pub(crate) fn required(&mut self, key: &'static str, why: &str) -> Option<&'a str> {
        let text = self.text(key);
        if text.is_none() {
            self.wrong(key, PluginError::new(format!("`{key}` is missing: {why}")));
        }
        text
    }

    /// The text, made into something. What is wrong is told with `wanted`, without repeating a text that may be secret.
    pub(crate) fn parse<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(self.text(key)?) {
            Ok(value) => Some(value),
            Err(wanted) => {
                self.wrong(key, PluginError::new(format!("`{key}`: {wanted}")));
                None
            }
        }
    }

    /// One of some words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        let text = self.text(key)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let names = words.iter().map(|(word, _)| *word);
            let hint = match nearest(text, names.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known ones are {}", names.collect::<Vec<_>>().join(", ")),
            };
            let error = PluginError::new(format!("`{text}` is no `{key}` that this host knows"));
            self.wrong(key, error.hint(hint));
        }
        found.map(|(_, value)| *value)
    }

    /// A whole number.
    pub(crate) fn number(&mut self, key: &'static str, within: RangeInclusive<u64>) -> Option<u64> {
        self.parse(key, |text| {
            let number = text.parse().ok().filter(|number| within.contains(number));
            number.ok_or_else(|| {
                format!(
                    "found `{text}`, wanted a number from {} to {}",
                    within.start(),
                    within.end()
                )
            })
        })
    }

    /// A size in bytes, such as `64KiB`.
    pub(crate) fn size(&mut self, key: &'static str) -> Option<u64> {
        self.parse(key, workload::size)
    }

    /// The items of a list with commas between them, without empty ones.
    pub(crate) fn list(&mut self, key: &'static str) -> Vec<&'a str> {
        let items = self.text(key).into_iter().flat_map(|text| text.split(','));
        items
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .collect()
    }

    /// Notes what is wrong with a setting.
    pub(crate) fn wrong(&mut self, key: &str, error: PluginError) {
        self.errors.push(error.at(format!("{}.{key}", self.path)));
    }

    /// Everything that is wrong, with the settings that nobody has asked for.
    pub(crate) fn finish(mut self) -> Vec<PluginError> {
        let known = std::mem::take(&mut self.known);
        let entry = self.entry;
        let unknown = entry
            .config
            .keys()
            .filter(|key| !known.contains(&key.as_str()));
        for key in unknown {
            let hint = match nearest(key, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known settings are {}", known.join(", ")),
            };
            let package = format!("{}:{}", entry.namespace, entry.package);
            let error = PluginError::new(format!(
                "`{key}` is not a setting of {package}, or has no meaning beside the others"
            ));
            self.wrong(key, error.hint(hint));
        }
        self.errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(config: &[(&str, &str)]) -> HostInterface {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        HostInterface {
            name: None,
            namespace: "wasi".to_owned(),
            package: "keyvalue".to_owned(),
            interfaces: ["store".to_owned()].into(),
            version: None,
            config: config.iter().map(pair).collect(),
        }
    }

    fn told(errors: &[PluginError]) -> Vec<String> {
        let told = errors.iter().map(|error| {
            let path = error.path.as_deref().unwrap_or_default();
            format!(
                "{path}: {error}; {}",
                error.hint.as_deref().unwrap_or_default()
            )
        });
        told.collect()
    }

    #[test]
    fn settings_are_read() {
        let entry = entry(&[
            ("backend", "disk"),
            ("url", "redis://h"),
            ("most", "7"),
            ("list", "a, b,,c"),
        ]);
        let mut settings = Settings::of(&entry, 2);
        assert_eq!(
            settings.word("backend", &[("memory", 1), ("disk", 2)]),
            Some(2)
        );
        assert_eq!(settings.required("url", "where"), Some("redis://h"));
        assert_eq!(settings.number("most", 1..=7), Some(7));
        assert_eq!(settings.list("list"), ["a", "b", "c"]);
        assert!(settings.finish().is_empty());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_the_nearest() {
        let entry = entry(&[("backend", "disc"), ("most", "8"), ("urls", "secret")]);
        let mut settings = Settings::of(&entry, 2);
        assert_eq!(
            settings.word("backend", &[("memory", 1), ("disk", 2)]),
            None
        );
        assert_eq!(settings.number("most", 1..=7), None);
        assert_eq!(settings.required("url", "it says where the store is"), None);
        let told = told(&settings.finish());
        insta::assert_snapshot!(told.join("\n"), @"
        spec.hostInterfaces.2.config.backend: `disc` is no `backend` that this host knows; did you mean `disk`?
        spec.hostInterfaces.2.config.most: `most`: found `8`, wanted a number from 1 to 7; 
        spec.hostInterfaces.2.config.url: `url` is missing: it says where the store is; 
        spec.hostInterfaces.2.config.urls: `urls` is not a setting of wasi:keyvalue, or has no meaning beside the others; did you mean `url`?
        ");
        assert!(!told.concat().contains("secret"));
    }
}
