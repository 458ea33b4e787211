//! `wasi:config/store@0.2.0-rc.1`: the configuration of the component that asks.
//!
//! Three sources, later ones win: the `config` of the workload's `hostInterfaces` entry, the component's `localResources.config`,
//! and its environment. An import by a label sees the entry with that `name` instead of the one without.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use wasmtime::component::{HasSelf, LinkerInstance};

use crate::capability::routes::Routes;
use crate::plugin::{
    Asker, BindRequest, Binding, Import, Offer, Plugin, PluginError, State, StoreData,
};
use crate::workload::{ComponentName, Interface};

mod generated {
    wasmtime::component::bindgen!({
        path: "wit/config",
        world: "wasi:config/imports",
        imports: { default: trappable },
        named_imports: { "wasi:config/store": crate::plugin::Asker },
    });
}

use generated::named_imports::wasi::config::store;
use generated::wasi::config::store::Error;

/// The plugin for configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Config;

type Values = BTreeMap<String, String>;

/// The merged configuration of each component, by label. Values may be secret, so it has no `Debug`.
struct Merged(HashMap<ComponentName, Routes<Values>>);

struct Bound(Arc<Merged>);

impl Binding for Bound {
    fn state(&self) -> Option<State> {
        Some(State::new(Arc::clone(&self.0)))
    }
}

#[async_trait]
impl Plugin for Config {
    fn id(&self) -> &'static str {
        "wasi-config"
    }

    fn offers(&self) -> Vec<Offer> {
        let version = semver::Version::parse("0.2.0-rc.1").ok();
        let interface = Interface {
            namespace: "wasi".to_owned(),
            package: "config".to_owned(),
            name: "store".to_owned(),
            version,
        };
        vec![Offer {
            configurable: true,
            ..Offer::identity(interface)
        }]
    }

    async fn bind(&self, request: BindRequest<'_>) -> Result<Box<dyn Binding>, PluginError> {
        let shared = Routes::of(request.interfaces, |entry| entry.config.clone());
        let merged = request.workload.parts().map(|component| {
            let own = &component.local_resources;
            let values = shared.map(|shared: &Values| {
                let mut values = shared.clone();
                values.extend(own.config.clone());
                values.extend(own.environment.clone());
                values
            });
            (component.name.clone(), values)
        });
        Ok(Box::new(Bound(Arc::new(Merged(merged.collect())))))
    }

    fn link(
        &self,
        import: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        store::add_to_linker_instance::<StoreData, HasSelf<StoreData>>(
            linker,
            import.asker(),
            |s| s,
        )
    }
}

impl store::Host for StoreData {
    fn get(
        &mut self,
        asker: Asker,
        key: String,
    ) -> wasmtime::Result<Result<Option<String>, Error>> {
        Ok(Ok(
            values(self, &asker)?.and_then(|values| values.get(&key).cloned())
        ))
    }

    fn get_all(&mut self, asker: Asker) -> wasmtime::Result<Result<Vec<(String, String)>, Error>> {
        let values = values(self, &asker)?.into_iter().flatten();
        Ok(Ok(values
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()))
    }
}

fn values<'a>(store: &'a StoreData, asker: &Asker) -> wasmtime::Result<Option<&'a Values>> {
    let component = store.caller(asker.position)?;
    let merged = store.workload().states.get::<Merged>();
    let routes = merged.and_then(|merged| merged.0.get(&component.name));
    Ok(routes.map(|routes| routes.to(asker.label.as_deref())))
}
