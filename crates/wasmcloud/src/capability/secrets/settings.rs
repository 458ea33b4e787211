//! Reads the entries of a manifest: where secrets come from, for the plain import and for each label.

use std::collections::BTreeMap;

use super::{MOST_BYTES, Secret};
use crate::capability::settings::Settings;
use crate::capability::tenant::Tenant;
use crate::plugin::PluginError;
use crate::workload::{HostInterface, SecretName, Workload, quoted};

/// The setting that tells settings from values.
const BACKEND: &str = "backend";

/// What one entry says.
pub(super) struct Source {
    /// Its place in `hostInterfaces`.
    pub(super) index: usize,
    /// The label that it is for, and the name by which its secret is asked for; `None`: all but those with labels.
    pub(super) label: Option<(SecretName, SecretName)>,
    pub(super) backend: Backend,
}

/// Where secrets come from.
pub(super) enum Backend {
    /// The entry itself.
    Values(BTreeMap<SecretName, Secret>),
    /// Variables of the host that begin so.
    Environment { prefix: String },
    /// A folder or file.
    File { path: String },
    /// The encrypted store.
    Encrypted { tenant: Tenant },
}

#[derive(Clone, Copy)]
enum Kind {
    Environment,
    File,
    Encrypted,
}

/// Whether an entry is about secrets.
pub(super) fn concerns(entry: &HostInterface) -> bool {
    entry.namespace == "wasmcloud" && entry.package == "secrets"
}

/// What the entries say, and what is wrong with them. An entry that has the plugin's id for a name is for the plain import.
pub(super) fn sources(workload: &Workload, id: &str) -> (Vec<Source>, Vec<PluginError>) {
    let (mut sources, mut errors) = (Vec::new(), Vec::new());
    let entries = workload.host_interfaces.iter().enumerate();
    for (index, entry) in entries.filter(|(_, entry)| concerns(entry)) {
        let label = entry.name.as_deref().filter(|name| *name != id);
        match source(workload, entry, index, label) {
            Ok(source) => sources.push(source),
            Err(wrong) => errors.extend(wrong),
        }
    }
    (sources, errors)
}

fn source(
    workload: &Workload,
    entry: &HostInterface,
    index: usize,
    label: Option<&str>,
) -> Result<Source, Vec<PluginError>> {
    let at = format!("spec.hostInterfaces.{index}");
    if let Some(label) = label
        && entry.interfaces.iter().any(|name| name != "secret")
    {
        let message = format!(
            "only `secret` is imported by a label such as {}",
            quoted(label)
        );
        let hint = "list `store` and `reveal` in an entry without `name`";
        return Err(vec![PluginError::new(message).hint(hint).at(at)]);
    }
    let label = label.map(str::parse::<SecretName>).transpose();
    let label = label
        .map_err(|error| vec![PluginError::new(error.to_string()).at(format!("{at}.name"))])?;
    if !entry.config.contains_key(BACKEND) {
        let values = values(entry, &at, label.as_ref())?;
        return Ok(Source {
            index,
            label: label.map(|label| (label.clone(), label)),
            backend: Backend::Values(values),
        });
    }
    let mut settings = Settings::of(entry, index);
    let backend = backend(workload, &mut settings);
    let key = match label {
        Some(_) => settings.parse("key", str::parse::<SecretName>),
        None => None,
    };
    let errors = settings.finish();
    match backend {
        Some(backend) if errors.is_empty() => Ok(Source {
            index,
            label: label.map(|label| (label.clone(), key.unwrap_or(label))),
            backend,
        }),
        _ => Err(errors),
    }
}

/// Nothing where something is wrong, which the settings know.
fn backend(workload: &Workload, settings: &mut Settings<'_>) -> Option<Backend> {
    let kinds = [
        ("environment", Kind::Environment),
        ("file", Kind::File),
        ("encrypted", Kind::Encrypted),
    ];
    Some(match settings.word(BACKEND, &kinds)? {
        Kind::Environment => Backend::Environment {
            prefix: settings.parse("prefix", prefix).unwrap_or_default(),
        },
        Kind::File => {
            let why =
                "it is the folder with a file for each secret, or a YAML or JSON file with all";
            let path = settings.required("path", why)?;
            Backend::File {
                path: path.to_owned(),
            }
        }
        Kind::Encrypted => Backend::Encrypted {
            tenant: Tenant::configured(workload, settings),
        },
    })
}

fn prefix(text: &str) -> Result<String, &'static str> {
    let inside = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    match text.len() <= 128 && text.bytes().all(inside) {
        true => Ok(text.to_owned()),
        false => Err("wanted at most 128 letters, digits and `_`"),
    }
}

/// Without `backend`, an entry holds the values themselves.
fn values(
    entry: &HostInterface,
    at: &str,
    label: Option<&SecretName>,
) -> Result<BTreeMap<SecretName, Secret>, Vec<PluginError>> {
    let (mut values, mut errors) = (BTreeMap::new(), Vec::new());
    let mut wrong = |key: &str, message: String, hint: &str| {
        let error = PluginError::new(message).hint(hint);
        errors.push(error.at(format!("{at}.config.{key}")));
    };
    for (key, value) in &entry.config {
        let hint = "without `backend`, what stands in `config` are the secrets themselves";
        match key.parse::<SecretName>() {
            Err(error) => wrong(key, error.to_string(), hint),
            Ok(name) if label.is_some_and(|label| *label != name) => {
                let message = format!("`{name}` is not the label that this entry is for");
                wrong(key, message, "name the secret as the label");
            }
            Ok(_) if value.len() > MOST_BYTES => {
                let message = format!("`{key}` has more than {MOST_BYTES} bytes");
                wrong(key, message, "give the component something smaller");
            }
            Ok(name) => drop(values.insert(name, Secret::new(value.clone().into_bytes()))),
        }
    }
    if errors.is_empty() {
        Ok(values)
    } else {
        Err(errors)
    }
}
