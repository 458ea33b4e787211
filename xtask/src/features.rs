//! `cargo xtask features`: every crate compiles with no feature and with each feature alone, so
//! that an embedder who picks one capability does not need its neighbours.

use anyhow::Context as _;
use serde_json::Value;

use crate::shell::{self, cargo, output, say};

/// The command: asks Cargo for the features, then compiles crate by crate.
pub(crate) fn run() -> anyhow::Result<()> {
    let text = output(cargo()?.args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata = serde_json::from_str(&text)
        .context("`cargo metadata` printed something other than JSON")?;
    let checks = checks(&metadata);
    if checks.is_empty() {
        say("no crate has features: nothing to check");
    }
    for (package, feature) in checks {
        let mut command = cargo()?;
        command.args([
            "check",
            "--quiet",
            "--locked",
            "--package",
            &package,
            "--no-default-features",
        ]);
        if let Some(feature) = feature {
            command.args(["--features", &feature]);
        }
        shell::run(&mut command)?;
    }
    Ok(())
}

/// What to compile: a package, with one of its features or none.
fn checks(metadata: &Value) -> Vec<(String, Option<String>)> {
    let packages = metadata.get("packages").and_then(Value::as_array);
    let mut checks = Vec::new();
    for package in packages.into_iter().flatten() {
        let Some(name) = package.get("name").and_then(Value::as_str) else {
            continue;
        };
        let Some(features) = package.get("features").and_then(Value::as_object) else {
            continue;
        };
        if features.is_empty() {
            continue;
        }
        checks.push((name.to_owned(), None));
        let alone = features.keys().filter(|feature| *feature != "default");
        checks.extend(alone.map(|feature| (name.to_owned(), Some(feature.clone()))));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_feature_is_checked_alone_and_none_too() {
        let metadata = serde_json::json!({"packages": [
            {"name": "plain", "features": {}},
            {"name": "lib", "features": {"default": ["http"], "http": []}},
        ]});
        let expected = [
            ("lib".to_owned(), None),
            ("lib".to_owned(), Some("http".to_owned())),
        ];
        assert_eq!(checks(&metadata), expected);
    }
}
