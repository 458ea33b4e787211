//! `wasmcloud:plugin/caller@0.1.0`: tells a component whose call it answers.

use wasmtime::component::{HasSelf, LinkerInstance};

use crate::plugin::{Import, Offer, Plugin, StoreData};
use crate::workload::Interface;

mod generated {
    wasmtime::component::bindgen!({
        path: "wit/plugin",
        world: "wasmcloud:plugin/imports",
        imports: { default: trappable },
    });
}

use generated::wasmcloud::plugin::caller;

/// The plugin that tells who calls. What it tells is known to whoever is called over an isolated link, and to plugins that are
/// components.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller;

impl Plugin for Caller {
    fn id(&self) -> &'static str {
        "wasmcloud-caller"
    }

    fn offers(&self) -> Vec<Offer> {
        vec![Offer::shared(Interface {
            namespace: "wasmcloud".to_owned(),
            package: "plugin".to_owned(),
            name: "caller".to_owned(),
            version: Some(semver::Version::new(0, 1, 0)),
        })]
    }

    fn link(
        &self,
        _: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        caller::add_to_linker_instance::<StoreData, HasSelf<StoreData>>(linker, |s| s)
    }
}

impl caller::Host for StoreData {
    fn current(&mut self) -> wasmtime::Result<Option<caller::Component>> {
        let by = self.called_by();
        Ok(by.map(|by| caller::Component {
            namespace: by.workload.namespace.to_string(),
            workload: by.workload.name.to_string(),
            name: by.component.name.to_string(),
        }))
    }
}
