//! `wasmcloud:secrets@2.1.0`: conversions only.

use std::sync::Arc;

use wasmtime::component::{Accessor, HasSelf, LinkerInstance, Resource};

use super::held::Held;
use super::plugin::Bound;
use super::{Secret, SecretStore as _, SecretsError};
use crate::plugin::{Asker, ComponentContext, Import, StoreData, Telling, WorkloadContext};
use crate::workload::SecretName;

mod generated {
    wasmtime::component::bindgen!({
        path: "wit/secrets",
        world: "wasmcloud:secrets/imports",
        imports: { default: trappable },
        named_imports: {
            "wasmcloud:secrets/reveal": crate::plugin::Asker,
            "wasmcloud:secrets/secret": crate::plugin::Asker,
        },
        with: { "wasmcloud:secrets/store.secret": super::Handle },
        require_store_data_send: true,
    });
}

use generated::named_imports::wasmcloud::secrets::{reveal, secret};
use generated::wasmcloud::secrets::store;
use store::{SecretValue, SecretsError as WitError};

type Own = HasSelf<StoreData>;
type Ask = Accessor<StoreData, Own>;

/// What a guest holds: a name, and the value as it was when it was asked for.
#[expect(unreachable_pub, reason = "the bindings make its name public")]
pub struct Handle {
    name: SecretName,
    secret: Secret,
}

pub(super) fn link(
    import: &Import<'_>,
    linker: &mut LinkerInstance<'_, StoreData>,
) -> wasmtime::Result<()> {
    type S = StoreData;
    match import.interface.name.as_str() {
        "store" => store::add_to_linker_instance::<S, Own>(linker, |s| s),
        "reveal" => reveal::add_to_linker_instance::<S, Own>(linker, import.asker(), |s| s),
        "secret" => secret::add_to_linker_instance::<S, Own>(linker, import.asker(), |s| s),
        _ => wasmtime::bail!("{} is not offered", import.interface),
    }
}

fn bound(store: &StoreData) -> wasmtime::Result<Arc<Bound>> {
    let bound = store.workload().states.get_arc::<Bound>();
    bound.ok_or_else(|| wasmtime::format_err!("the workload has no secrets"))
}

type Context = (Arc<Bound>, Arc<ComponentContext>, Arc<WorkloadContext>);

/// Who asks, and what there is to be had.
fn context(store: &StoreData, asker: &Asker) -> wasmtime::Result<Context> {
    let component = Arc::clone(store.caller(asker.position)?);
    Ok((bound(store)?, component, Arc::clone(store.workload())))
}

impl store::Host for StoreData {}

impl store::HostSecret for StoreData {
    fn drop(&mut self, handle: Resource<Handle>) -> wasmtime::Result<()> {
        self.table().delete(handle)?;
        Ok(())
    }
}

impl store::HostWithStore<StoreData> for Own {
    async fn get(store: &Ask, key: String) -> wasmtime::Result<Result<Resource<Handle>, WitError>> {
        let Ok(name) = key.parse::<SecretName>() else {
            return Ok(Err(WitError::NotFound));
        };
        let (bound, workload, may) = store.with(|mut store| may_ask(store.get(), &name))?;
        let Some(held) = bound.plain.as_ref().filter(|_| may) else {
            return Ok(Err(WitError::NotFound));
        };
        match held.get(&name).await {
            Ok(Some(secret)) => Ok(push(store, name, secret)),
            Ok(None) => Ok(Err(WitError::NotFound)),
            Err(error) => {
                tell(held, &workload, &name, &error);
                Ok(Err(WitError::Io(match error {
                    SecretsError::TooLarge => error.to_string(),
                    SecretsError::Source { .. } => {
                        "the secret cannot be read; the log of the host says why".to_owned()
                    }
                })))
            }
        }
    }
}

/// Whether anybody who may have asked was given the secret. Which of them it was shows when it is revealed.
fn may_ask(
    store: &StoreData,
    name: &SecretName,
) -> wasmtime::Result<(Arc<Bound>, Arc<WorkloadContext>, bool)> {
    let bound = bound(store)?;
    let members = store.instance().members.iter();
    let asking: Vec<_> = members
        .filter(|member| bound.asking.contains(&member.name))
        .collect();
    let may = asking.iter().any(|member| bound.may(&member.name, name));
    if !may {
        for component in asking {
            tell_not_given(store.workload(), component, name);
        }
    }
    Ok((bound, Arc::clone(store.workload()), may))
}

fn push(store: &Ask, name: SecretName, secret: Secret) -> Result<Resource<Handle>, WitError> {
    let pushed = store.with(|mut store| store.get().table().push(Handle { name, secret }));
    pushed.map_err(|_| WitError::Io("too many handles are open".to_owned()))
}

impl reveal::Host for StoreData {}

impl reveal::HostWithStore<StoreData> for Own {
    async fn reveal(
        store: &Ask,
        asker: Asker,
        handle: Resource<Handle>,
    ) -> wasmtime::Result<SecretValue> {
        store.with(|mut store| {
            let store = store.get();
            let (bound, component, workload) = context(store, &asker)?;
            let handle = store.table().get(&handle)?;
            if !bound.may(&component.name, &handle.name) {
                tell_not_given(&workload, &component, &handle.name);
                // The interface has no error for it.
                wasmtime::bail!(
                    "component `{}` was not given the secret `{}`",
                    component.name,
                    handle.name
                );
            }
            Ok(match handle.secret.text() {
                Some(text) => SecretValue::String(text.to_owned()),
                None => SecretValue::Bytes(handle.secret.bytes().to_vec()),
            })
        })
    }
}

impl secret::Host for StoreData {}

impl secret::HostWithStore<StoreData> for Own {
    async fn get(store: &Ask, asker: Asker) -> wasmtime::Result<Resource<Handle>> {
        let (bound, component, workload) = store.with(|mut store| context(store.get(), &asker))?;
        let label = asker.label.as_deref().map(str::parse::<SecretName>);
        let Some(Ok(label)) = label else {
            wasmtime::bail!(
                "`wasmcloud:secrets/secret` is imported by a label, which is the name of the secret"
            );
        };
        let found = bound.labelled.get(&label);
        let Some((key, held)) = found.filter(|_| bound.may(&component.name, &label)) else {
            tell_not_given(&workload, &component, &label);
            wasmtime::bail!(
                "component `{}` was not given the secret `{label}`",
                component.name
            );
        };
        let now = held.get(key).await.and_then(|now| {
            let gone = || SecretsError::source("the secret", "it is not there any more");
            now.ok_or_else(gone)
        });
        // It was there once, and the interface has no way to say that it is not now.
        let secret = now.or_else(|error| {
            tell(held, &workload, key, &error);
            held.last(key).ok_or(error)
        })?;
        push(store, label, secret).map_err(|_| wasmtime::format_err!("too many handles are open"))
    }
}

fn tell(held: &Held, workload: &WorkloadContext, name: &SecretName, error: &SecretsError) {
    if held.is_news() {
        tracing::warn!(%workload, "the secret `{name}` cannot be read: {error}");
    }
}

/// Once for each component and secret: guests seldom say why something fails.
fn tell_not_given(workload: &WorkloadContext, component: &ComponentContext, name: &SecretName) {
    let more = match component.told.tell(&format!("the secret {name}")) {
        Telling::Known => return,
        Telling::New => "",
        Telling::Last => "; no more of this component is told",
    };
    tracing::warn!(
        %workload,
        component = %component.name,
        "asks for the secret `{name}`, which it was not given; list it in its `localResources.secrets` if it may read it{more}"
    );
}
