//! `wasi:config/store@0.2.0-rc.1`: the configuration of the component that asks.
//!
//! Three sources, later ones win: the `config` of the workload's `hostInterfaces` entry, the component's `localResources.config`,
//! and its environment.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use wasmtime::component::{HasSelf, LinkerInstance};

use crate::plugin::{
    BindRequest, Binding, Import, Offer, Plugin, PluginError, Position, State, StoreData,
};
use crate::workload::{ComponentName, Interface};

mod generated {
    wasmtime::component::bindgen!({
        path: "wit/config",
        world: "wasi:config/imports",
        imports: { default: trappable },
        named_imports: { "wasi:config/store": crate::plugin::Position },
    });
}

use generated::named_imports::wasi::config::store;
use generated::wasi::config::store::Error;

/// The plugin for configuration.
#[derive(Clone, Copy, Debug, Default)]
pub struct Config;

/// The merged configuration of each component. Values may be secret, so it has no `Debug`.
struct Merged(HashMap<ComponentName, BTreeMap<String, String>>);

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
        let shared: BTreeMap<String, String> = request
            .interfaces
            .iter()
            .flat_map(|entry| entry.config.clone())
            .collect();
        let merged = request.workload.parts().map(|component| {
            let mut values = shared.clone();
            values.extend(component.local_resources.config.clone());
            values.extend(component.local_resources.environment.clone());
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
            import.position,
            |s| s,
        )
    }
}

impl store::Host for StoreData {
    fn get(
        &mut self,
        position: Position,
        key: String,
    ) -> wasmtime::Result<Result<Option<String>, Error>> {
        Ok(Ok(
            values(self, position)?.and_then(|values| values.get(&key).cloned())
        ))
    }

    fn get_all(
        &mut self,
        position: Position,
    ) -> wasmtime::Result<Result<Vec<(String, String)>, Error>> {
        let values = values(self, position)?.into_iter().flatten();
        Ok(Ok(values
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()))
    }
}

fn values(
    store: &StoreData,
    position: Position,
) -> wasmtime::Result<Option<&BTreeMap<String, String>>> {
    let component = store.caller(position)?;
    Ok(store
        .workload()
        .states
        .get::<Merged>()
        .and_then(|merged| merged.0.get(&component.name)))
}
