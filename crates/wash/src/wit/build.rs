//! `wash wit build`: the WIT of a project becomes a package in one file.

use std::path::{Path, PathBuf};

use serde_json::json;
use wasm_metadata::{AddMetadata, AddMetadataField};
use wasmcloud::workload::Digest;
use wit_parser::Resolve;

use super::fetch::fetch;
use super::files;
use super::session::Session;
use crate::failure::Failure;
use crate::ui::{Ui, size};

pub(super) async fn run(session: &Session, output: Option<&Path>, ui: &Ui) -> Result<(), Failure> {
    let bytes = build(session, ui).await?;
    let name = &session.own.name;
    let usual = || {
        session
            .lock
            .file()
            .with_file_name(format!("{}.wasm", name.folder()))
    };
    let file: PathBuf = output.map_or_else(usual, Path::to_owned);
    files::replace(&file, &bytes)
        .map_err(|error| Failure::io("cannot write", file.display(), &error))?;
    ui.result(
        || {
            json!({
                "package": name.package.to_string(),
                "version": name.version.as_ref().map(ToString::to_string),
                "path": file,
                "bytes": bytes.len(),
                "digest": Digest::of(&bytes).to_string(),
            })
        },
        || {
            format!(
                "{name}  {}  {}  {}",
                file.display(),
                size(bytes.len()),
                Digest::of(&bytes)
            )
        },
    )
}

/// The package, always the same for the same files.
pub(super) async fn build(session: &Session, ui: &Ui) -> Result<Vec<u8>, Failure> {
    fetch(session, ui).await?;
    let path = &session.own.path;
    let mut resolve = Resolve {
        all_features: true,
        ..Resolve::default()
    };
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(format!("{} is no package: {error:#}", path.display()))
    };
    let (id, _) = resolve.push_dir(path).map_err(|error| wrong(&error))?;
    let bytes = wit_component::encode(&resolve, id).map_err(|error| wrong(&error))?;
    metadata(session)
        .map_err(|(key, error)| {
            Failure::new(format!("wkg.toml: `metadata.{key}`: {error:#}"))
                .hint("write it as the tools for WebAssembly read it")
        })?
        .to_wasm(&bytes)
        .map_err(|error| wrong(&error))
}

/// What `wkg.toml` tells about the package.
fn metadata(session: &Session) -> Result<AddMetadata, (&'static str, String)> {
    let told = session.manifest.metadata.clone();
    let name = &session.own.name;
    let mut add = AddMetadata::default();
    add.name = AddMetadataField::Set(name.package.to_string());
    add.processed_by = vec![("wash".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
    add.authors = field("authors", told.authors)?;
    add.description = field("description", told.description)?;
    add.licenses = field("licenses", told.licenses)?;
    add.source = field("source", told.source)?;
    add.homepage = field("homepage", told.homepage)?;
    add.revision = field("revision", told.revision)?;
    add.version = field("version", name.version.as_ref().map(ToString::to_string))?;
    Ok(add)
}

fn field<T>(
    key: &'static str,
    text: Option<String>,
) -> Result<AddMetadataField<T>, (&'static str, String)>
where
    T: std::str::FromStr<Err: std::fmt::Display> + std::fmt::Debug + Clone,
{
    match text {
        None => Ok(AddMetadataField::Keep),
        Some(text) => match text.parse() {
            Ok(value) => Ok(AddMetadataField::Set(value)),
            Err(error) => Err((key, format!("`{text}`: {error:#}"))),
        },
    }
}
