//! Images in registries: push, pull, copy, list, verify, and the cache of what was pulled.

pub(crate) mod args;
mod cache;
mod compile;
mod facts;
mod local;
mod push;
mod remote;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::sync::Arc;

use wasmcloud::registry::{
    Access, AuthSource, Credentials, ImageError, ImageOptions, Images, ImagesError, Keychain,
    RegistryError, RegistrySettings,
};
use wasmcloud::workload::{Image, Reference};

use crate::failure::Failure;

use args::{CacheArgs, OciArgs, OciCommand, RegistryArgs};
pub(crate) use cache::run as cache;
pub(crate) use compile::run as compile;
pub(crate) use local::{pull, source, usual};
pub(crate) use push::run as push;
pub(crate) use remote::{copy, inspect, inspect_wit, tags, verify};

use crate::project::ToRun;
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
    /// To the registry of a reference, as the command line says.
    fn to(
        reference: &Reference,
        args: &RegistryArgs,
        cache: Option<&CacheArgs>,
    ) -> Result<Self, Failure> {
        let mut options = options(reference, args)?;
        options.cache = cache.and_then(local::folder);
        Self::with(&options)
    }

    /// As these options have it. Who one is comes with the registries.
    fn with(options: &ImageOptions) -> Result<Self, Failure> {
        let mut keychain = Keychain::anonymous();
        for (registry, settings) in &options.settings.registries {
            if let Some(credentials) = &settings.credentials {
                keychain = keychain.explicit(registry, credentials.clone());
            }
        }
        Ok(Self {
            images: open(options)?,
            access: Access::of_host(keychain.user_files()),
        })
    }
}

/// As the command line says of one registry.
fn options(reference: &Reference, args: &RegistryArgs) -> Result<ImageOptions, Failure> {
    let mut options = ImageOptions {
        auth: AuthSource::User,
        ..ImageOptions::default()
    };
    say(&mut options, [reference.registry()].into(), args)?;
    Ok(options)
}

/// Puts what the command line says of some registries over what is known of them.
pub(crate) fn say(
    options: &mut ImageOptions,
    named: BTreeSet<&str>,
    args: &RegistryArgs,
) -> Result<(), Failure> {
    log_in(options, &named, args)?;
    let registries = &mut options.settings.registries;
    for name in &args.plain_http {
        RegistrySettings::check_name(name).map_err(|error| Failure::usage(error.to_string()))?;
        let registry = Reference::canonical_registry(name);
        let registry = registry.map_err(|error| Failure::usage(error.to_string()))?;
        registries.entry(registry).or_default().plain_http = true;
    }
    if !args.ca_file.is_empty() {
        for registry in named {
            let listed = registries.entry(registry.to_owned()).or_default();
            listed.ca_files.clone_from(&args.ca_file);
        }
    }
    Ok(())
}

/// A name and a password are for one registry: no other is to see them.
fn log_in(
    options: &mut ImageOptions,
    named: &BTreeSet<&str>,
    args: &RegistryArgs,
) -> Result<(), Failure> {
    let Some(username) = &args.username else {
        return Ok(());
    };
    let mut named = named.iter();
    let (Some(registry), None) = (named.next(), named.next()) else {
        let message = "`--username` is for one registry, and there is none or more than one here";
        return Err(Failure::usage(message).hint(
            "log in with `docker login` or `podman login`, or name registries in the configuration",
        ));
    };
    let listed = options.settings.registries.entry((*registry).to_owned());
    listed.or_default().credentials = Some(Credentials::Basic {
        username: username.clone(),
        password: password()?.as_str().into(),
    });
    Ok(())
}

/// The registries that have some of these images.
pub(crate) fn registries_of<'a>(images: impl Iterator<Item = &'a Image>) -> BTreeSet<&'a str> {
    let named = images.filter_map(|image| match image {
        Image::Registry(reference) => Some(reference.registry()),
        Image::File(_) => None,
    });
    named.collect()
}

/// Where the components of workloads come from.
pub(crate) fn images_of(all: &[ToRun]) -> impl Iterator<Item = &Image> {
    let parts = all.iter().flat_map(|to_run| to_run.workload.parts());
    parts.map(|component| &component.image)
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

/// Whether a text is meant as a reference rather than as a path. A file that is not there is no wish to ask a registry for it.
pub(crate) fn is_reference(text: &str) -> bool {
    const FILES: [&str; 4] = ["wasm", "yaml", "yml", "json"];
    let path = std::path::Path::new(text);
    let ending = path.extension().and_then(|ending| ending.to_str());
    let is_file = ending.is_some_and(|ending| FILES.contains(&ending));
    let image = text.parse::<Image>();
    matches!(image, Ok(Image::Registry(_))) && !is_file && !path.exists()
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
