//! What is in registries: copied, listed, looked at and verified, without more of it coming here than is needed.

use std::sync::Arc;

use serde_json::{Value, json};
use wasmcloud::artifact::By;
use wasmcloud::registry::verify::{Identity, Pattern, Subject};
use wasmcloud::registry::{Progress, Requirement, Resolved, SigningError};
use wasmcloud::workload::{Digest, Pull};

use super::args::{CopyArgs, RegistryArgs, TagsArgs, VerifyArgs};
use super::{Way, of_image, of_registry, options, reference, say, with_hint};
use crate::failure::Failure;
use crate::inspect::world_of_bytes;
use crate::ui::{Ui, count, printable, size};

pub(crate) async fn copy(args: CopyArgs, ui: &Ui) -> Result<(), Failure> {
    let (from, to) = (reference(&args.from)?, reference(&args.to)?);
    // A name and a password are for where it goes.
    let mut options = options(&to, &args.registry)?;
    let source = RegistryArgs {
        username: None,
        ..args.registry.clone()
    };
    say(&mut options, [from.registry()].into(), &source)?;
    let way = Way::with(&options)?;
    let bar = super::progress(ui, "copying");
    let access = way
        .access
        .clone()
        .telling(Arc::clone(&bar) as Arc<dyn Progress>);
    let registries = way.images.registries();
    let copied = registries.copy((&from, &access), (&to, &way.access)).await;
    let about = format!("cannot copy `{from}` to `{to}`");
    let copied = copied.map_err(|error| of_registry(&about, &error))?;
    let signatures = match args.signatures {
        true => {
            let copied = registries
                .copy_signatures((&from, &access), (&to, &way.access), copied.digest)
                .await;
            let failed = |error: SigningError| with_hint(format!("{about}: {error}"), error.hint());
            Some(copied.map_err(failed)?)
        }
        false => None,
    };
    drop(bar);
    let pinned = to.at(copied.digest).to_string();
    let value = || {
        json!({
            "reference": to.to_string(),
            "pinned": pinned,
            "digest": copied.digest.to_string(),
            "copied": !copied.was_there,
            "signatures": signatures,
        })
    };
    ui.result(value, || {
        let what = if copied.was_there {
            "was there already"
        } else {
            "copied"
        };
        let signatures = signatures.map(|number| format!(", with {}", count(number, "signature")));
        format!("{pinned}\n{what}{}", signatures.unwrap_or_default())
    })
}

pub(crate) async fn tags(args: TagsArgs, ui: &Ui) -> Result<(), Failure> {
    let reference = reference(&args.repository)?;
    let way = Way::to(&reference, &args.registry, None)?;
    let tags = way.images.registries().tags(&reference, &way.access).await;
    let repository = format!("{}/{}", reference.registry(), reference.repository());
    let about = format!("cannot list the tags of `{repository}`");
    let tags = tags.map_err(|error| of_registry(&about, &error))?;
    let value = || json!({"repository": repository, "tags": tags});
    ui.result(value, || {
        let shown: Vec<_> = tags.iter().map(|tag| printable(tag)).collect();
        shown.join("\n")
    })
}

/// `wash inspect` of a reference: its manifest and config, and not its bytes.
pub(crate) async fn inspect(text: &str, args: &RegistryArgs, ui: &Ui) -> Result<(), Failure> {
    let reference = reference(text)?;
    let way = Way::to(&reference, args, None)?;
    let registries = way.images.registries();
    let about = format!("cannot look at `{reference}`");
    let resolved = registries.resolve(&reference, &way.access).await;
    let resolved = resolved.map_err(|error| of_registry(&about, &error))?;
    let config = registries
        .small_blob(
            &reference,
            &resolved.artifact.config,
            LARGEST_CONFIG,
            &way.access,
        )
        .await;
    let config = config.map_err(|error| of_registry(&about, &error))?;
    let config: Value = serde_json::from_slice(&config).unwrap_or(Value::Null);
    ui.result(
        || to_json(&resolved, &config),
        || to_text(&resolved, &config),
    )
}

/// `wash inspect --wit` of a reference: what its world is, its bytes say.
pub(crate) async fn inspect_wit(text: &str, args: &RegistryArgs, ui: &Ui) -> Result<(), Failure> {
    let reference = reference(text)?;
    let way = Way::to(&reference, args, Some(&Default::default()))?;
    let pulled = way
        .images
        .pull(&reference, &Pull::default(), By::Host, None)
        .await;
    let pulled = pulled.map_err(|error| of_image(&reference, &error))?;
    let text = world_of_bytes(&reference.to_string(), &pulled.bytes)?;
    ui.result(|| json!({"wit": text}), || text.trim_end().to_owned())
}

/// The largest config that is shown, in bytes.
const LARGEST_CONFIG: u64 = 1 << 20;

fn to_json(resolved: &Resolved, config: &Value) -> Value {
    let artifact = &resolved.artifact;
    json!({
        "reference": resolved.reference.to_string(),
        "digest": resolved.digest.to_string(),
        "layer": artifact.layer.digest.to_string(),
        "bytes": artifact.layer.size,
        "annotations": artifact.annotations,
        "config": config,
    })
}

fn to_text(resolved: &Resolved, config: &Value) -> String {
    let artifact = &resolved.artifact;
    let mut lines = vec![
        format!("{}: a component", resolved.reference),
        format!(
            "size     {}",
            size(usize::try_from(artifact.layer.size).unwrap_or(usize::MAX))
        ),
        format!("digest   {}", artifact.layer.digest),
    ];
    for (what, key) in [("created", "created"), ("author", "author"), ("os", "os")] {
        if let Some(text) = config.get(key).and_then(Value::as_str) {
            lines.push(format!("{what:<8} {}", printable(text)));
        }
    }
    for (what, key) in [("import", "imports"), ("export", "exports")] {
        let items = config
            .pointer(&format!("/component/{key}"))
            .and_then(Value::as_array);
        let Some(items) = items else { continue };
        lines.push(count(items.len(), what));
        let names = items.iter().filter_map(Value::as_str);
        lines.extend(names.map(|name| format!("  {}", printable(name))));
    }
    if !artifact.annotations.is_empty() {
        lines.push(count(artifact.annotations.len(), "annotation"));
        let said = artifact.annotations.iter();
        lines
            .extend(said.map(|(key, value)| format!("  {}: {}", printable(key), printable(value))));
    }
    lines.join("\n")
}

pub(crate) async fn verify(args: VerifyArgs, ui: &Ui) -> Result<(), Failure> {
    let reference = reference(&args.reference)?;
    let mut options = options(&reference, &args.registry)?;
    options.verify = vec![(every()?, requirement(&args)?)];
    let way = Way::with(&options)?;
    let about = format!("cannot verify `{reference}`");
    let verified = way.images.verify_remote(&reference, &way.access).await;
    let verified =
        verified.map_err(|error| with_hint(format!("{about}: {error}"), error.hint()))?;
    let value = || {
        json!({
            "reference": reference.to_string(),
            "digest": verified.manifest.to_string(),
            "by": verified.by.to_string(),
        })
    };
    ui.result(value, || {
        format!("{}\n{}", reference.at(verified.manifest), verified.by)
    })
}

fn every() -> Result<Pattern, Failure> {
    "*".parse()
        .map_err(|error| Failure::new(format!("{error}")))
}

fn requirement(args: &VerifyArgs) -> Result<Requirement, Failure> {
    if let Some(trust_root) = &args.trust_root {
        let subject = args.subject.as_deref().unwrap_or_default();
        let subject = match subject.contains('*') {
            true => Subject::pattern(subject).map_err(|error| Failure::usage(error.to_string()))?,
            false => Subject::exact(subject),
        };
        return Ok(Requirement::Identities {
            trust_root: trust_root.clone(),
            identities: vec![Identity {
                issuer: args.issuer.clone().unwrap_or_default(),
                subject,
            }],
        });
    }
    if !args.digest.is_empty() {
        let digests = args.digest.iter().map(|text| text.parse::<Digest>());
        let digests = digests.collect::<Result<_, _>>();
        return Ok(Requirement::Digests(
            digests.map_err(|error| Failure::usage(error.to_string()))?,
        ));
    }
    Ok(Requirement::Keys(args.key.clone()))
}
