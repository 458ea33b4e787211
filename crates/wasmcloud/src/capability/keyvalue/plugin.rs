//! The two plugins for keys and values, one for each package. They share all places, so a workload finds in one what it has put into
//! the other.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use wasmtime::component::LinkerInstance;

use super::limited::Traffic;
use super::opened::{Opened, Ways};
use super::stores::{Place, Stores};
use super::{KeyValueOptions, p2, p3};
use crate::capability::routes::{Routes, troubled};
use crate::capability::settings::Settings;
use crate::capability::tenant::Tenant;
#[cfg(feature = "servers")]
use crate::net::dial::Dial;
use crate::plugin::{
    BindRequest, Binding, Grant, Import, Offer, Plugin, PluginError, State, StoreData,
};
use crate::workload::{HostInterface, Interface, Workload};

/// A plugin for keys and values.
pub struct KeyValue {
    dialect: Dialect,
    stores: Arc<Stores>,
}

/// Which package it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Wasi,
    Wasmcloud,
}

impl Dialect {
    fn package(self) -> (&'static str, &'static [&'static str], &'static str) {
        match self {
            Self::Wasi => ("wasi", &["store", "atomics", "batch"], "0.2.0-draft"),
            Self::Wasmcloud => (
                "wasmcloud",
                &["types", "store", "atomics", "cas", "batch"],
                "0.2.0",
            ),
        }
    }
}

impl std::fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KeyValue").field(&self.dialect).finish()
    }
}

impl KeyValue {
    /// Both plugins. What they keep on disk is in a folder inside `data_dir`.
    pub(crate) fn both(
        options: KeyValueOptions,
        data_dir: Option<PathBuf>,
        #[cfg(feature = "servers")] dial: Dial,
    ) -> [Self; 2] {
        let stores = Arc::new(Stores::new(
            options,
            data_dir,
            #[cfg(feature = "servers")]
            dial,
        ));
        [Dialect::Wasi, Dialect::Wasmcloud].map(|dialect| Self {
            dialect,
            stores: Arc::clone(&stores),
        })
    }

    /// The entries that concern it, with what they say or what is wrong with that.
    fn wishes(&self, workload: &Workload) -> Vec<(usize, Result<Wish, Vec<PluginError>>)> {
        let offers = self.offers();
        let entries = workload.host_interfaces.iter().enumerate();
        entries
            .filter(|(_, entry)| offers.iter().any(|offer| entry.covers(&offer.interface)))
            .map(|(index, entry)| (index, self.wish(workload, entry, index)))
            .collect()
    }

    fn wish(
        &self,
        workload: &Workload,
        entry: &HostInterface,
        index: usize,
    ) -> Result<Wish, Vec<PluginError>> {
        let mut settings = Settings::of(entry, index);
        let place = place(&mut settings);
        let tenant = Tenant::configured(workload, &mut settings);
        let errors = settings.finish();
        match errors.is_empty() {
            true => Ok(Wish {
                label: entry.name.clone().filter(|name| name != self.id()),
                place,
                tenant,
            }),
            false => Err(errors),
        }
    }

    async fn open(&self, wish: &Wish, traffic: &Traffic) -> Result<Arc<Opened>, PluginError> {
        let store = self.stores.open(&wish.place, &wish.tenant).await?;
        Ok(Arc::new(Opened {
            store,
            tenant: wish.tenant.clone(),
            options: self.stores.options.clone(),
            traffic: traffic.clone(),
        }))
    }
}

/// What an entry asks for.
struct Wish {
    label: Option<String>,
    place: Place,
    tenant: Tenant,
}

#[derive(Clone, Copy)]
enum Backend {
    Memory,
    #[cfg(feature = "keyvalue-redb")]
    Redb,
    #[cfg(feature = "keyvalue-redis")]
    Redis,
    #[cfg(feature = "keyvalue-nats")]
    Nats,
}

/// Where an entry wants to keep things.
fn place(settings: &mut Settings<'_>) -> Place {
    const BACKEND: &str = "backend";
    if settings.text(BACKEND) == Some("filesystem") {
        let error = PluginError::new("`filesystem` is no `backend` that this host knows")
            .hint("leave `backend` and `root` out: it keeps data in its own folder by itself");
        settings.text("root");
        settings.wrong(BACKEND, error);
        return Place::Usual;
    }
    let backend = settings.word(
        BACKEND,
        &[
            ("in-memory", Backend::Memory),
            ("memory", Backend::Memory),
            #[cfg(feature = "keyvalue-redb")]
            ("redb", Backend::Redb),
            #[cfg(feature = "keyvalue-redis")]
            ("redis", Backend::Redis),
            #[cfg(feature = "keyvalue-nats")]
            ("nats", Backend::Nats),
        ],
    );
    match backend {
        None => Place::Usual,
        Some(Backend::Memory) => Place::Memory,
        #[cfg(feature = "keyvalue-redb")]
        Some(Backend::Redb) => Place::Disk,
        #[cfg(feature = "keyvalue-redis")]
        Some(Backend::Redis) => redis(settings),
        #[cfg(feature = "keyvalue-nats")]
        Some(Backend::Nats) => nats(settings),
    }
}

#[cfg(feature = "keyvalue-redis")]
fn redis(settings: &mut Settings<'_>) -> Place {
    settings.required("url", "it says where the server is");
    let url = settings.parse("url", str::parse::<super::redis::ServerUrl>);
    let prefix = settings.parse("prefix", redis_prefix);
    match url {
        Some(url) => Place::Redis {
            url,
            prefix: prefix.unwrap_or_default(),
        },
        None => Place::Usual,
    }
}

/// The tenant follows it, and is parted by `/`; so none can be written into the prefix, nor a part of one.
#[cfg(feature = "keyvalue-redis")]
fn redis_prefix(text: &str) -> Result<String, &'static str> {
    match text {
        _ if text.contains('/') => Err("wanted a text that has no `/`, such as `app`"),
        _ if text.is_empty() || text.ends_with(':') => Ok(text.to_owned()),
        _ => Ok(format!("{text}:")),
    }
}

#[cfg(feature = "keyvalue-nats")]
fn nats(settings: &mut Settings<'_>) -> Place {
    /// What the bucket on the server is called first, without a `prefix`.
    const USUAL: &str = "wasmcloud";
    /// How long a prefix may be.
    const LONGEST: usize = 32;
    settings.required("url", "it says where the server is");
    let url = settings.parse("url", str::parse);
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let prefix = settings.parse("prefix", |text| {
        match (1..=LONGEST).contains(&text.len()) && text.bytes().all(letters) {
            true => Ok(text.to_owned()),
            false => Err(format!("wanted 1 to {LONGEST} letters, digits and `-`")),
        }
    });
    let replicas = settings.number("replicas", 1..=5);
    let wish = super::nats::Wish {
        replicas: replicas.and_then(|replicas| usize::try_from(replicas).ok()),
        size: settings.size("size"),
    };
    match url {
        Some(url) => Place::Nats {
            url,
            prefix: prefix.unwrap_or_else(|| USUAL.to_owned()),
            wish,
        },
        None => Place::Usual,
    }
}

enum Bound {
    Wasi(Arc<p2::Wasi>),
    Wasmcloud(Arc<p3::Wasmcloud>),
}

impl Binding for Bound {
    fn state(&self) -> Option<State> {
        Some(match self {
            Self::Wasi(ways) => State::new(Arc::clone(ways)),
            Self::Wasmcloud(ways) => State::new(Arc::clone(ways)),
        })
    }

    fn troubles(&self) -> Vec<String> {
        let ways = match self {
            Self::Wasi(ways) => &ways.0,
            Self::Wasmcloud(ways) => &ways.0,
        };
        let troubles = ways.all().filter_map(|(label, opened)| {
            let why = opened.as_ref()?.store.trouble()?;
            Some(troubled("keyvalue", label, &why))
        });
        troubles.collect()
    }
}

#[async_trait]
impl Plugin for KeyValue {
    fn id(&self) -> &'static str {
        match self.dialect {
            Dialect::Wasi => "wasi-keyvalue",
            Dialect::Wasmcloud => "wasmcloud-keyvalue",
        }
    }

    fn offers(&self) -> Vec<Offer> {
        let (namespace, names, version) = self.dialect.package();
        let offer = |name: &&str| {
            let interface = Interface {
                namespace: namespace.to_owned(),
                package: "keyvalue".to_owned(),
                name: (*name).to_owned(),
                version: semver::Version::parse(version).ok(),
            };
            Offer {
                // Nobody has a bucket who has not opened one.
                grant: match *name {
                    "types" => Grant::Free,
                    _ => Grant::Listed,
                },
                configurable: true,
                ..Offer::shared(interface)
            }
        };
        names.iter().map(offer).collect()
    }

    fn check(&self, workload: &Workload) -> Vec<PluginError> {
        let wishes = self.wishes(workload).into_iter();
        wishes
            .filter_map(|(_, wish)| wish.err())
            .flatten()
            .collect()
    }

    async fn bind(&self, request: BindRequest<'_>) -> Result<Box<dyn Binding>, PluginError> {
        let (mut opened, traffic) = (HashMap::new(), Traffic::default());
        for (index, wish) in self.wishes(request.workload) {
            let wish = match wish {
                Ok(wish) => wish,
                Err(errors) => return Err(first(errors)),
            };
            let place = format!("spec.hostInterfaces.{index}");
            let store = self.open(&wish, &traffic).await;
            let store = store.map_err(|error| error.at(place))?;
            opened.insert(wish.label, store);
        }
        let ways: Ways = Routes::of(request.interfaces, |entry| opened.get(&entry.name).cloned());
        Ok(Box::new(match self.dialect {
            Dialect::Wasi => Bound::Wasi(Arc::new(p2::Wasi(ways))),
            Dialect::Wasmcloud => Bound::Wasmcloud(Arc::new(p3::Wasmcloud(ways))),
        }))
    }

    fn link(
        &self,
        import: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        match self.dialect {
            Dialect::Wasi => p2::link(import, linker),
            Dialect::Wasmcloud => p3::link(import, linker),
        }
    }
}

/// `check` has told all of them already.
fn first(errors: Vec<PluginError>) -> PluginError {
    let first = errors.into_iter().next();
    first.unwrap_or_else(|| PluginError::new("the settings are wrong"))
}

#[cfg(all(test, feature = "keyvalue-redis"))]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_leads_into_no_other_namespace() {
        // `a` before the namespace `b` would have been the namespace `ab`.
        assert_eq!(redis_prefix("a").as_deref(), Ok("a:"));
        assert_eq!(redis_prefix("a:").as_deref(), Ok("a:"));
        assert_eq!(redis_prefix("").as_deref(), Ok(""));
        assert!(redis_prefix("default/workload/other/:").is_err());
    }
}
