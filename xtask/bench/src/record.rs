//! One figure and what it is compared with; the table people read and the file tools read.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::wrk::Load;

/// A case, measured and compared with one baseline.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Record {
    /// The group, by which it is asked for.
    pub(crate) bench: &'static str,
    /// The case within it.
    pub(crate) case: String,
    /// The median of all rounds, in `unit`.
    pub(crate) value: f64,
    /// `ns`, `µs`, `ms`, `requests/s`, `calls/s`, `messages/s`, `MiB/s`, `MiB`, `bytes`, `KiB`, `artifacts`, `% of a core`.
    pub(crate) unit: &'static str,
    /// What it is compared with, measured in alternation.
    pub(crate) baseline: Option<&'static str>,
    /// `value` over the baseline's value.
    pub(crate) ratio: Option<f64>,
    /// Half of the requests took at most this long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50_ms: Option<f64>,
    /// 99 of 100 requests took at most this long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99_ms: Option<f64>,
    /// 99 of 100 requests to the baseline took at most this long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) baseline_p99_ms: Option<f64>,
    /// What `ratio` or `value` should be, in words, where the aim is part of the case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aim: Option<&'static str>,
    /// The part of the invocations that found a warm instance, where instances are pooled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pool_hits: Option<f64>,
}

impl Record {
    /// A figure on its own.
    pub(crate) fn new(
        bench: &'static str,
        case: impl Into<String>,
        value: f64,
        unit: &'static str,
    ) -> Self {
        Self {
            bench,
            case: case.into(),
            value,
            unit,
            baseline: None,
            ratio: None,
            p50_ms: None,
            p99_ms: None,
            baseline_p99_ms: None,
            aim: None,
            pool_hits: None,
        }
    }

    /// The same figure with how long requests took.
    pub(crate) fn with(mut self, load: &Load) -> Self {
        self.p50_ms = Some(load.p50_ms);
        self.p99_ms = Some(load.p99_ms);
        self
    }

    /// The same figure with how long requests to the baseline took.
    pub(crate) fn with_baseline(mut self, load: &Load) -> Self {
        self.baseline_p99_ms = Some(load.p99_ms);
        self
    }

    /// The same figure with what it should be, if anything.
    pub(crate) fn aiming_at(mut self, aim: Option<&'static str>) -> Self {
        self.aim = aim;
        self
    }

    /// The same figure beside a baseline's, which has the same unit.
    pub(crate) fn against(mut self, baseline: &'static str, value: f64) -> Self {
        self.baseline = Some(baseline);
        self.ratio = (value > 0.0).then(|| self.value / value);
        self
    }
}

const HEADINGS: [&str; 9] = [
    "bench", "case", "value", "unit", "p50 ms", "p99 ms", "baseline", "ratio", "aim",
];

/// The records as columns.
pub(crate) fn table(records: &[Record]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(records.iter().map(row));
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn row(record: &Record) -> [String; 9] {
    let optional = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), digits);
    [
        record.bench.to_owned(),
        record.case.clone(),
        digits(record.value),
        record.unit.to_owned(),
        optional(record.p50_ms),
        p99(record),
        record.baseline.unwrap_or("-").to_owned(),
        optional(record.ratio),
        record.aim.unwrap_or("-").to_owned(),
    ]
}

/// That of the baseline is behind it.
fn p99(record: &Record) -> String {
    let ours = record.p99_ms.map_or_else(|| "-".to_owned(), digits);
    match record.baseline_p99_ms {
        Some(theirs) => format!("{ours} ({})", digits(theirs)),
        None => ours,
    }
}

/// As many digits as say something.
fn digits(value: f64) -> String {
    match value {
        1000.0.. => format!("{value:.0}"),
        0.0001..0.1 => format!("{value:.4}"),
        _ => format!("{value:.2}"),
    }
}

/// Writes `bench/results.json` into Cargo's target folder and says where that is.
pub(crate) fn write(records: &[Record]) -> anyhow::Result<PathBuf> {
    let file = target_dir()?.join("bench/results.json");
    let folder = file.parent().context("the results have no folder")?;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{} cannot be created", folder.display()))?;
    let mut text = serde_json::to_string_pretty(records)?;
    text.push('\n');
    std::fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(file)
}

/// Where Cargo builds, which the environment and Cargo's configuration may have moved.
pub(crate) fn target_dir() -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context("`cargo metadata` did not start")?;
    if !output.status.success() {
        bail!(
            "`cargo metadata` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let target = metadata
        .get("target_directory")
        .and_then(serde_json::Value::as_str);
    target
        .map(PathBuf::from)
        .context("`cargo metadata` names no target folder")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fused() -> Record {
        Record::new("call", "fused-u32", 4.4, "ns").against("bare-wasmtime", 4.0)
    }

    #[test]
    fn a_record_has_the_fields_that_tools_expect() {
        let json = serde_json::to_value(fused()).unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys.len(), 6);
        for key in ["bench", "case", "value", "unit", "baseline", "ratio"] {
            assert!(json.get(key).is_some(), "{key} is missing from {keys:?}");
        }
        assert!((json["ratio"].as_f64().unwrap() - 1.1).abs() < 1e-9);
    }

    #[test]
    fn a_record_without_a_baseline_says_null() {
        let json = serde_json::to_value(Record::new("start", "cold", 80.0, "ms")).unwrap();
        assert!(json["baseline"].is_null() && json["ratio"].is_null());
        let json =
            serde_json::to_value(Record::new("start", "cold", 80.0, "ms").against("none", 0.0))
                .unwrap();
        assert!(json["ratio"].is_null(), "nothing is a multiple of zero");
    }

    #[test]
    fn the_table_lines_up() {
        let mut http = Record::new("http", "p2-fresh", 30_123.4, "requests/s");
        (http.p50_ms, http.p99_ms) = (Some(0.0312), Some(2.5));
        assert_eq!(
            table(&[fused().aiming_at(Some("≤ 1.1 ×")), http]),
            "bench  case       value  unit        p50 ms  p99 ms  baseline       ratio  aim\n\
             call   fused-u32  4.40   ns          -       -       bare-wasmtime  1.10   ≤ 1.1 ×\n\
             http   p2-fresh   30123  requests/s  0.0312  2.50    -              -      -\n"
        );
    }
}
