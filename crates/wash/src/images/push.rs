//! `wash push`: a component on its way to a registry, with what is known about it, signed if that is wanted.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use wasmcloud::artifact::{Fetch as _, Files, Wanted};
use wasmcloud::engine::inspect::inspect;
use wasmcloud::registry::verify::SigningKey;
use wasmcloud::registry::{Progress, Pushed};
use wasmcloud::workload::{Image, Reference};
use zeroize::Zeroizing;

use super::args::PushArgs;
use super::facts::{annotations, facts};
use super::{Way, of_registry, reference};
use crate::failure::Failure;
use crate::ui::Ui;

/// Where the password of an encrypted key is, as cosign has it.
const PASSWORD: &str = "COSIGN_PASSWORD";

pub(crate) async fn run(args: PushArgs, ui: &Ui) -> Result<(), Failure> {
    let reference = reference(&args.reference)?;
    if reference.digest().is_some() {
        return Err(Failure::usage(
            "a push goes to a tag, and the digest follows from the content",
        )
        .hint("write `registry/repository:tag`"));
    }
    let key = args.sign.as_deref().map(key).transpose()?;
    let path = &args.component;
    let image = Image::File(path.clone());
    let fetched = Files::default().fetch(Wanted::by_host(&image)).await;
    let bytes = fetched
        .map_err(|error| Failure::new(format!("cannot read {}: {}", path.display(), error.kind)))?;
    let bytes = bytes.bytes;
    let inspected = inspect(&bytes);
    let inspected =
        inspected.map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
    if inspected.adapted {
        return Err(Failure::new(format!("{} is a core module, and registries hold components", path.display()))
            .hint("build it for `wasm32-wasip2`, or make a component of it with `wasm-tools component new`"));
    }
    let own: BTreeMap<String, String> = args
        .annotation
        .iter()
        .map(|text| pair(text))
        .collect::<Result<_, _>>()?;
    let mut said = annotations(path, &bytes);
    said.extend(own);
    let facts = facts(&inspected, &said);
    let way = Way::to(&reference, &args.registry, None)?;
    let bar = super::progress(ui, "pushing");
    let access = way
        .access
        .clone()
        .telling(Arc::clone(&bar) as Arc<dyn Progress>);
    let registries = way.images.registries();
    let pushed = registries
        .push(&reference, &bytes, &facts.config(&bytes), &said, &access)
        .await;
    drop(bar);
    let about = format!("cannot push to `{reference}`");
    let pushed = pushed.map_err(|error| of_registry(&about, &error))?;
    let signed = match key {
        Some(key) => Some(sign(&way, &reference, &pushed, &key).await?),
        None => None,
    };
    told(&reference, &pushed, signed, ui)
}

fn told(
    reference: &Reference,
    pushed: &Pushed,
    signed: Option<String>,
    ui: &Ui,
) -> Result<(), Failure> {
    let pinned = reference.at(pushed.digest).to_string();
    let value = || {
        json!({
            "reference": reference.to_string(),
            "pinned": pinned,
            "digest": pushed.digest.to_string(),
            "pushed": !pushed.was_there,
            "signature": signed.as_ref().map_or(Value::Null, |tag| json!(tag)),
        })
    };
    ui.result(value, || {
        let what = if pushed.was_there {
            "was there already"
        } else {
            "pushed"
        };
        let signed = signed.as_ref().map(|tag| format!("\nsigned, as {tag}"));
        format!("{pinned}\n{what}{}", signed.unwrap_or_default())
    })
}

/// Signs what was pushed, beside the signatures that are there.
async fn sign(
    way: &Way,
    reference: &Reference,
    pushed: &Pushed,
    key: &SigningKey,
) -> Result<String, Failure> {
    let signed = way
        .images
        .registries()
        .sign(reference, pushed.digest, key, &way.access)
        .await;
    let tag = signed.map_err(|error| {
        let failure = Failure::new(format!(
            "`{reference}` is pushed, but cannot be signed: {error}"
        ));
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })?;
    Ok(tag.to_string())
}

fn key(path: &Path) -> Result<SigningKey, Failure> {
    let cannot = |error: &dyn std::fmt::Display| {
        Failure::new(format!("cannot use the key {}: {error}", path.display()))
    };
    let image = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = image.map_err(|error| cannot(&error))?;
    let password = env::var(PASSWORD).ok().map(Zeroizing::new);
    let password = password.as_ref().map(|password| password.as_bytes());
    SigningKey::from_pem(&text, password).map_err(|error| {
        cannot(&error).hint(format!(
            "the password of a key that cosign has encrypted is taken from `{PASSWORD}`"
        ))
    })
}

fn pair(text: &str) -> Result<(String, String), Failure> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Failure::usage(format!("`{text}` is no annotation")).hint("write `KEY=VALUE`")),
    }
}
