//! All registries, as the settings have them, and who asks.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::blob::{Progress, Slots};
use super::body::Outgoing;
use super::door::{Actions, Door, Turn};
use super::doors::Doors;
use super::error::{RegistryError, RegistryErrorKind};
use super::place::Place;
use super::token::Tokens;
use crate::net::dial::{Dial, NamedBy};
use crate::net::resolve::Resolve;
use crate::net::trust::Authorities;
use crate::net::web::Web;
use crate::policy::EgressPolicy;
use crate::registry::access::{Credentials, Keychain};
use crate::registry::settings::{self, Mirror, RegistrySettings, Settings, SettingsError};
use crate::workload::Reference;

/// All registries. A clone is the same.
#[derive(Clone)]
pub struct Registries(Arc<Inner>);

pub(super) struct Inner {
    pub(super) settings: Settings,
    listed: BTreeMap<String, Listed>,
    other: Webs,
    pub(super) tokens: Tokens,
    pub(super) slots: Slots,
}

/// A registry of the settings.
struct Listed {
    itself: Gate,
    mirrors: Vec<Gate>,
}

/// Where something can be asked, and how.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) place: Place,
    pub(super) webs: Webs,
    pub(super) credentials: Option<Credentials>,
}

/// Clients with the same trust: one goes anywhere, one where the egress policy lets it.
#[derive(Clone)]
pub(super) struct Webs {
    host: Web<Outgoing>,
    workload: Web<Outgoing>,
}

impl Webs {
    fn new(dial: &Dial, settings: &Settings) -> Self {
        let web = |by| Web::new(dial.clone(), by, settings.silence);
        Self {
            host: web(NamedBy::Host),
            workload: web(NamedBy::Workload),
        }
    }

    pub(super) fn of(&self, by: NamedBy) -> &Web<Outgoing> {
        match by {
            NamedBy::Host => &self.host,
            NamedBy::Workload => &self.workload,
        }
    }
}

/// Who asks a registry, and with what.
#[derive(Clone)]
pub struct Access {
    pub(super) keychain: Keychain,
    pub(super) by: NamedBy,
    pub(super) progress: Option<Arc<dyn Progress>>,
}

impl Access {
    /// Whoever runs this program: what they name may be anywhere.
    #[must_use]
    pub fn of_host(keychain: Keychain) -> Self {
        Self {
            keychain,
            by: NamedBy::Host,
            progress: None,
        }
    }

    /// A workload: what it names must be where the egress policy allows it, except for registries of the settings.
    #[must_use]
    pub fn of_workload(keychain: Keychain) -> Self {
        Self {
            by: NamedBy::Workload,
            ..Self::of_host(keychain)
        }
    }

    /// Tells how far things are.
    #[must_use]
    pub fn telling(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = Some(progress);
        self
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("keychain", &self.keychain)
            .field("by", &self.by)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Registries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registries")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

impl Registries {
    /// Registries with these settings, reached as the policy allows.
    ///
    /// # Errors
    /// When the settings cannot be, or a file of certificates cannot be read.
    pub fn new(
        settings: Settings,
        policy: EgressPolicy,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, SettingsError> {
        Self::over(settings, &Dial::new(policy, resolver))
    }

    /// The same over a way out that is there already.
    pub(crate) fn over(settings: Settings, dial: &Dial) -> Result<Self, SettingsError> {
        settings.check()?;
        let mut listed = BTreeMap::new();
        for (name, registry) in &settings.registries {
            let host = settings::host(name)?;
            let gates = Listed::new(&host, registry, dial, &settings)?;
            listed.insert(host, gates);
        }
        Ok(Self(Arc::new(Inner {
            other: Webs::new(dial, &settings),
            listed,
            tokens: Tokens::default(),
            slots: Slots::new(settings.parallel),
            settings,
        })))
    }

    pub(in crate::registry) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    /// The registry itself.
    pub(in crate::registry) fn home(
        &self,
        reference: &Reference,
        access: &Access,
        actions: Actions,
    ) -> Result<Door, RegistryError> {
        let (gate, by) = self.gate(reference.registry(), access.by)?;
        let inner = Arc::clone(&self.0);
        Ok(Door::new(inner, gate, by, reference, access, actions))
    }

    /// The way to a registry, and who counts as having named it.
    pub(super) fn gate(
        &self,
        registry: &str,
        by: NamedBy,
    ) -> Result<(Gate, NamedBy), RegistryError> {
        if let Some(listed) = self.0.listed.get(registry) {
            return Ok((listed.itself.clone(), NamedBy::Host));
        }
        let place = Place::new(registry, None, false);
        let gate = place.map(|place| Gate {
            place,
            webs: self.0.other.clone(),
            credentials: None,
        });
        Ok((gate.ok_or_else(|| nowhere(registry))?, by))
    }

    /// Where something can be fetched: the mirrors, and then the registry itself.
    pub(in crate::registry) fn doors(
        &self,
        reference: &Reference,
        access: &Access,
    ) -> Result<Doors, RegistryError> {
        self.doors_within(reference, access, self.settings().longest)
    }

    /// The same where there is only so much time, which the mirrors and the registry share.
    pub(super) fn doors_within(
        &self,
        reference: &Reference,
        access: &Access,
        time: Duration,
    ) -> Result<Doors, RegistryError> {
        let listed = self.0.listed.get(reference.registry());
        let mirrors = listed.map_or(&[][..], |listed| &listed.mirrors);
        let mirror = |(gate, turn): (&Gate, Turn)| {
            let (inner, gate) = (Arc::clone(&self.0), gate.clone());
            let by = NamedBy::Host;
            Door::new(inner, gate, by, reference, access, Actions::Pull).for_turn(turn)
        };
        let turns = Turn::shares(time, mirrors.len());
        Ok(Doors {
            mirrors: mirrors.iter().zip(turns).map(mirror).collect(),
            itself: self.home(reference, access, Actions::Pull)?,
        })
    }
}

fn nowhere(registry: &str) -> RegistryError {
    RegistryError {
        place: registry.to_owned(),
        kind: RegistryErrorKind::Protocol("its name is none of a host".to_owned()),
    }
}

impl Listed {
    fn new(
        host: &str,
        registry: &RegistrySettings,
        dial: &Dial,
        settings: &Settings,
    ) -> Result<Self, SettingsError> {
        let gate = |host: &str, path, plain_http, ca_files: &[PathBuf], credentials| {
            let trust = |source| SettingsError::Trust {
                registry: host.to_owned(),
                source,
            };
            let place = Place::new(host, path, plain_http);
            Ok(Gate {
                place: place.ok_or_else(|| SettingsError::Registry(host.to_owned()))?,
                webs: Webs::new(&trusting(dial, ca_files).map_err(trust)?, settings),
                credentials,
            })
        };
        let mirror = |mirror: &Mirror| {
            let (host, path) = settings::location(&mirror.location)?;
            let own = settings.registries.get(&host);
            let own = own.and_then(|own| own.credentials.clone());
            let credentials = mirror.credentials.clone().or(own);
            gate(
                &host,
                path,
                mirror.plain_http,
                &mirror.ca_files,
                credentials,
            )
        };
        let itself = gate(
            host,
            None,
            registry.plain_http,
            &registry.ca_files,
            registry.credentials.clone(),
        );
        Ok(Self {
            itself: itself?,
            mirrors: registry
                .mirrors
                .iter()
                .map(mirror)
                .collect::<Result<_, _>>()?,
        })
    }
}

fn trusting(dial: &Dial, files: &[PathBuf]) -> Result<Dial, crate::net::trust::TrustError> {
    match files {
        [] => Ok(dial.clone()),
        files => Ok(dial.clone().trusting(Authorities::load(files)?)),
    }
}
