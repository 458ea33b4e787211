//! The plugin: a pool of connections for each entry of a workload.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use wasmtime::component::LinkerInstance;

use super::limited::Limited;
use super::server::{OnServer, Pool, Room, Share, Target};
use super::settings::{self, Wish};
use super::tls::Tls;
use super::url::{Mode, ServerUrl};
use super::whole::Whole;
use super::{Database, Fault, PostgresOptions, p2, p3};
use crate::capability::routes::{Routes, troubled};
use crate::net::dial::{Dial, DialError, NamedBy};
use crate::plugin::{
    Asker, BindRequest, Binding, Grant, Import, Offer, Plugin, PluginError, State, StoreData,
};
use crate::workload::{Interface, Workload};

const ID: &str = "wasmcloud-postgres";
/// The versions that are answered: the functions of the second are async.
const VERSIONS: [&str; 2] = ["0.1.1-draft", "0.2.0"];

/// The plugin for `wasmcloud:postgres`.
#[derive(Default)]
pub struct Postgres {
    /// None: of no host in particular.
    host: Option<Side>,
}

/// What a host has.
struct Side {
    options: PostgresOptions,
    dial: Dial,
    tls: OnceLock<Arc<Tls>>,
    room: Arc<Room>,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let options = self.host.as_ref().map(|host| &host.options);
        f.debug_struct("Postgres")
            .field("options", &options)
            .finish()
    }
}

impl Postgres {
    /// That of a host.
    pub(crate) fn new(options: PostgresOptions, dial: Dial) -> Self {
        let room = Arc::new(Room::new(options.max_connections, options.max_row));
        Self {
            host: Some(Side {
                options,
                dial,
                tls: OnceLock::new(),
                room,
            }),
        }
    }

    /// The entries that concern it, with what they say or what is wrong with that.
    fn wishes(&self, workload: &Workload) -> Vec<(usize, Result<Wish, Vec<PluginError>>)> {
        let offers = self.offers();
        let host = self.host.as_ref().map(|host| &host.options);
        let entries = workload.host_interfaces.iter().enumerate();
        entries
            .filter(|(_, entry)| offers.iter().any(|offer| entry.covers(&offer.interface)))
            .map(|(index, entry)| (index, settings::read(workload, entry, index, ID, host)))
            .collect()
    }
}

impl Side {
    async fn tls(&self) -> Arc<Tls> {
        if let Some(tls) = self.tls.get() {
            return Arc::clone(tls);
        }
        let authorities = Arc::clone(self.dial.authorities());
        let loaded = tokio::task::spawn_blocking(move || Tls::load(&authorities)).await;
        let loaded = loaded.unwrap_or_else(|_| Tls::none());
        Arc::clone(self.tls.get_or_init(|| Arc::new(loaded)))
    }

    /// The database of an entry. A server that is merely not there now is no error.
    async fn open(
        &self,
        wish: &Wish,
        url: &ServerUrl,
        share: &Arc<Share>,
        about: &str,
    ) -> Result<Way, PluginError> {
        let tls = self.tls().await;
        if matches!(url.mode, Mode::Authority | Mode::Full) {
            tls.of(url.mode, false).map_err(PluginError::new)?;
        }
        let dial = self.dial.for_workload();
        may_connect(&dial, url, wish.by).await?;
        let target = Target {
            url: url.clone(),
            by: wish.by,
            dial,
            tls,
            statement: wish.statement,
            longest: self.options.max_row,
        };
        let pool = Pool::new(target, wish.size, &self.room, share, about.to_owned());
        // Where it may not go was found out before.
        let _ = pool.reach().begin().await;
        let database = Limited::new(OnServer::new(pool), &self.options, wish.size.wait);
        Ok(Way {
            database: Arc::new(database),
            whole: Arc::new(Whole::new(self.options.max_answer, wish.size.wait)),
        })
    }
}

async fn may_connect(dial: &Dial, url: &ServerUrl, by: NamedBy) -> Result<(), PluginError> {
    let found = dial.addresses(url.host(), url.port(), by);
    match tokio::time::timeout(url.connect_timeout(), found).await {
        Ok(Err(DialError::Denied { denial, hint })) => {
            let told = format!("the server of `url` may not be reached: {denial}");
            Err(PluginError::new(told).hint(hint))
        }
        _ => Ok(()),
    }
}

/// A database, and what of it may be given as a whole.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) database: Arc<dyn Database>,
    pub(super) whole: Arc<Whole>,
}

/// Where the imports of a workload lead.
pub(super) struct Ways(Routes<Option<Way>>);

impl Ways {
    /// The database of whoever asks.
    pub(super) fn of(store: &StoreData, asker: &Asker) -> Result<Way, Fault> {
        let ways = store.workload().states.get::<Self>();
        let way = ways.and_then(|ways| ways.0.to(asker.label.as_deref()).clone());
        way.ok_or(Fault::Denied)
    }
}

struct Bound(Arc<Ways>);

impl Binding for Bound {
    fn state(&self) -> Option<State> {
        Some(State::new(Arc::clone(&self.0)))
    }

    fn troubles(&self) -> Vec<String> {
        let troubles = self.0.0.all().filter_map(|(label, way)| {
            let why = way.as_ref()?.database.trouble()?;
            Some(troubled("postgres", label, &why))
        });
        troubles.collect()
    }
}

#[async_trait]
impl Plugin for Postgres {
    fn id(&self) -> &'static str {
        ID
    }

    fn offers(&self) -> Vec<Offer> {
        let both = VERSIONS.iter().flat_map(|version| {
            ["types", "query", "prepared"].map(|name| Offer {
                grant: match name {
                    "types" => Grant::Free,
                    _ => Grant::Listed,
                },
                configurable: true,
                ..Offer::shared(Interface {
                    namespace: "wasmcloud".to_owned(),
                    package: "postgres".to_owned(),
                    name: name.to_owned(),
                    version: semver::Version::parse(version).ok(),
                })
            })
        });
        both.collect()
    }

    fn check(&self, workload: &Workload) -> Vec<PluginError> {
        let wishes = self.wishes(workload).into_iter();
        wishes
            .filter_map(|(_, wish)| wish.err())
            .flatten()
            .collect()
    }

    async fn bind(&self, request: BindRequest<'_>) -> Result<Box<dyn Binding>, PluginError> {
        let Some(host) = &self.host else {
            return Err(PluginError::new("this host has no way out"));
        };
        let workload = request.workload;
        let about = format!("{}/{}", workload.namespace, workload.name);
        let share = host.room.share(workload);
        let mut opened = HashMap::new();
        for (index, wish) in self.wishes(workload) {
            let wish = wish.map_err(first)?;
            let Some(url) = &wish.url else {
                return Err(PluginError::new("this host has no server of its own"));
            };
            let place = format!("spec.hostInterfaces.{index}");
            let way = host
                .open(&wish, url, &share, &about)
                .await
                .map_err(|error| error.at(place))?;
            opened.insert(wish.label, way);
        }
        let ways = Routes::of(request.interfaces, |entry| {
            let label = entry.name.clone().filter(|name| name != ID);
            opened.get(&label).cloned()
        });
        Ok(Box::new(Bound(Arc::new(Ways(ways)))))
    }

    fn link(
        &self,
        import: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        let version = import.interface.version.as_ref();
        match version.map(|version| (version.major, version.minor)) {
            Some((0, 1)) => p2::link(import, linker),
            _ => p3::link(import, linker),
        }
    }
}

/// `check` has told all of them already.
fn first(errors: Vec<PluginError>) -> PluginError {
    let first = errors.into_iter().next();
    first.unwrap_or_else(|| PluginError::new("the settings are wrong"))
}
