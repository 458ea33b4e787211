//! Images in registries: push, pull, copy, list, verify, and the cache of what was pulled.

pub(crate) mod args;
mod cache;
mod compile;
mod facts;
mod local;
mod push;
mod remote;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use wasmcloud::registry::{
    Access, AuthSource, Credentials, ImageError, ImageOptions, Images, ImagesError, Keychain,
    RegistryError, RegistrySettings,
};
use wasmcloud::workload::Reference;

use crate::failure::Failure;

use args::{CacheArgs, OciArgs, OciCommand, RegistryArgs};
pub(crate) use cache::run as cache;
pub(crate) use compile::run as compile;
pub(crate) use local::{pull, source, usual};
pub(crate) use push::run as push;
pub(crate) use remote::{copy, inspect, inspect_wit, tags, verify};

use crate::ui::Ui;

pub(crate) async fn oci(args: OciArgs, ui: &Ui) -> Result<(), Failure> {
    match args.command {
        OciCommand::Push(args) => push(args, ui).await,
        OciCommand::Pull(args) => pull(args, ui).await,
        OciCommand::Copy(args) => copy(args, ui).await,
        OciCommand::Tags(args) => tags(args, ui).await,
    }
}

/// The password that is longer than this is none.
const LONGEST_PASSWORD: u64 = 64 << 10;

/// The way to the registries of a command.
struct Way {
    images: Images,
    access: Access,
}

impl Way {
    /// To the registries of these references, as the command line says.
    fn to(
        references: &[&Reference],
        args: &RegistryArgs,
        cache: Option<&CacheArgs>,
    ) -> Result<Self, Failure> {
        let mut options = options(references, args)?;
        options.cache = cache.and_then(local::folder);
        let mut keychain = Keychain::anonymous();
        if let Some(username) = &args.username {
            let password = password()?;
            for reference in references {
                let credentials = Credentials::Basic {
                    username: username.clone(),
                    password: password.as_str().into(),
                };
                keychain = keychain.explicit(reference.registry(), credentials.clone());
                let listed = options
                    .settings
                    .registries
                    .entry(reference.registry().to_owned());
                listed.or_default().credentials = Some(credentials);
            }
        }
        Ok(Self {
            images: open(&options)?,
            access: Access::of_host(keychain.user_files()),
        })
    }
}

fn options<R: std::borrow::Borrow<Reference>>(
    references: &[R],
    args: &RegistryArgs,
) -> Result<ImageOptions, Failure> {
    let mut registries: BTreeMap<String, RegistrySettings> = BTreeMap::new();
    for name in &args.plain_http {
        RegistrySettings::check_name(name).map_err(|error| Failure::usage(error.to_string()))?;
        registries
            .entry(name.to_ascii_lowercase())
            .or_default()
            .plain_http = true;
    }
    if !args.ca_file.is_empty() {
        for reference in references {
            let listed = registries
                .entry(reference.borrow().registry().to_owned())
                .or_default();
            listed.ca_files.clone_from(&args.ca_file);
        }
    }
    let mut options = ImageOptions {
        auth: AuthSource::User,
        ..ImageOptions::default()
    };
    options.settings.registries = registries;
    Ok(options)
}

fn password() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin()
        .lock()
        .take(LONGEST_PASSWORD)
        .read_to_string(&mut text);
    read.map_err(|error| Failure::new(format!("cannot read the password: {error}")))?;
    let password = text.trim_end_matches(['\n', '\r']);
    match password.is_empty() {
        true => Err(Failure::new("standard input holds no password")),
        false => Ok(password.to_owned()),
    }
}

fn open(options: &ImageOptions) -> Result<Images, Failure> {
    options.open_for_user().map_err(|error| of_images(&error))
}

fn of_images(error: &ImagesError) -> Failure {
    let failure = Failure::new(error.to_string());
    match error {
        ImagesError::Store(error) => match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        },
        _ => failure,
    }
}

/// A reference as it was typed.
fn reference(text: &str) -> Result<Reference, Failure> {
    text.parse()
        .map_err(|error| Failure::usage(format!("{error}")))
}

/// Whether a text is meant as a reference rather than as a path.
pub(crate) fn is_reference(text: &str) -> bool {
    let image = text.parse::<wasmcloud::workload::Image>();
    matches!(image, Ok(wasmcloud::workload::Image::Registry(_)))
        && !std::path::Path::new(text).exists()
}

fn of_registry(about: &str, error: &RegistryError) -> Failure {
    with_hint(format!("{about}: {error}"), error.hint())
}

fn of_image(reference: &Reference, error: &ImageError) -> Failure {
    with_hint(format!("cannot pull `{reference}`: {error}"), error.hint())
}

fn with_hint(message: String, hint: Option<String>) -> Failure {
    let failure = Failure::new(message);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// A bar for what comes or goes.
fn progress(ui: &Ui, what: &str) -> Arc<crate::ui::Transfer> {
    Arc::new(ui.transfer(what))
}
