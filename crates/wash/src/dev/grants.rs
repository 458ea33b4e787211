//! Prints what a workload without a manifest was granted, the way a manifest says it.

use serde_json::Value;
use wasmcloud::workload::Workload;

/// The `hostInterfaces` of a workload, ready to paste; nothing, if it was granted nothing.
pub(super) fn to_paste(workload: &Workload) -> Option<String> {
    let manifest = workload.to_manifest();
    let entries = manifest
        .get("spec")?
        .get("hostInterfaces")?
        .as_array()
        .filter(|entries| !entries.is_empty())?;
    let mut text = "hostInterfaces:".to_owned();
    for entry in entries.iter().filter_map(Value::as_object) {
        let mut dash = "-";
        let fields = ["namespace", "package", "interfaces", "version", "config"];
        for (name, value) in fields
            .iter()
            .filter_map(|name| Some((name, entry.get(*name)?)))
        {
            text.push_str(&format!("\n  {dash} {name}: {}", inline(value)));
            dash = " ";
        }
    }
    Some(text)
}

/// A value on one line. JSON is YAML, but simple words need no quotes.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) if is_simple(text) => text.clone(),
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(inline).collect::<Vec<_>>().join(", ")
        ),
        other => other.to_string(),
    }
}

fn is_simple(text: &str) -> bool {
    let word = text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    word && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_printed_can_be_pasted() {
        let manifest = |grants: &str| {
            let head = "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {name: a}\nspec:\n  components: [{name: a, image: ./a.wasm}]\n";
            let text = format!("{head}{grants}");
            wasmcloud::workload::manifest::parse(&text, Path::new("w.yaml"))
                .unwrap()
                .remove(0)
                .workload
        };
        let workload = manifest(
            "  hostInterfaces:\n  - {namespace: wasi, package: http, interfaces: [incoming-handler, handler], version: 0.2.2, config: {path: /a}}\n",
        );
        let printed = to_paste(&workload).unwrap();
        let wanted = "hostInterfaces:\n  - namespace: wasi\n    package: http\n    interfaces: [handler, incoming-handler]\n    version: \"0.2.2\"\n    config: {\"path\":\"/a\"}";
        assert_eq!(printed, wanted);
        let indented: String = printed.lines().map(|line| format!("  {line}\n")).collect();
        assert_eq!(manifest(&indented), workload);
        assert_eq!(to_paste(&manifest("")), None);
    }
}
