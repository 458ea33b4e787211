//! The section `log`: what is logged, and how.

use serde::Deserialize;

use super::reader::{Reader, Text};

/// What is logged, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSection {
    /// Which lines, such as `warn,guest=info`.
    pub filter: Option<String>,
    /// How a line is written.
    pub format: Option<LogFormat>,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// As a JSON object.
    Json,
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Raw {
    filter: Text,
    format: Text,
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

pub(super) fn read(reader: &mut Reader, raw: Raw) -> LogSection {
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    LogSection {
        filter: reader.text(raw.filter, filter),
        format: reader.choice(raw.format, &formats),
    }
}

/// A comma between `LEVEL` and `TARGET=LEVEL`. The log's own words for what is wrong would name neither.
fn filter(text: &str) -> Result<String, String> {
    let is_directive = |directive: &str| match directive.split_once('=') {
        Some((target, level)) => !target.trim().is_empty() && is_level(level),
        None => is_level(directive),
    };
    if text.split(',').all(is_directive) {
        return Ok(text.to_owned());
    }
    let levels = LEVELS.join(", ");
    Err(format!(
        "wanted levels ({levels}) and `target=level`, with commas between, such as `warn,guest=info`"
    ))
}

fn is_level(text: &str) -> bool {
    LEVELS.contains(&text.trim().to_ascii_lowercase().as_str())
}
