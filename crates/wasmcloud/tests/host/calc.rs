//! A plugin of an embedder's own that calls exports of its own: everything it needs is public.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::json;
use wasmcloud::plugin::{
    BindRequest, Binding, Entry, Import, Offer, Opening, Plugin, PluginError, StoreData,
};
use wasmcloud::workload::Interface;
use wasmtime::component::{ComponentNamedList, Lift, LinkerInstance, Lower};

use crate::support::{TestHost, component, spec, within};

/// Calls one interface, on request.
#[derive(Clone)]
struct Calculator {
    export: Interface,
    open: Arc<Mutex<Option<Entry>>>,
}

impl Calculator {
    fn of(export: &str) -> Self {
        Self {
            export: export.parse().unwrap(),
            open: Arc::default(),
        }
    }

    /// Calls a function of the export in a fresh instance.
    async fn call<P, R>(&self, function: &str, params: P) -> R
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let entry = self
            .open
            .lock()
            .unwrap()
            .clone()
            .expect("a workload is open");
        within(entry.call(function, params))
            .await
            .expect("the call returns")
    }
}

#[async_trait]
impl Plugin for Calculator {
    fn id(&self) -> &'static str {
        "calculator"
    }

    fn offers(&self) -> Vec<Offer> {
        Vec::new()
    }

    fn handles(&self) -> Vec<Interface> {
        vec![self.export.clone()]
    }

    async fn bind(&self, _: BindRequest<'_>) -> Result<Box<dyn Binding>, PluginError> {
        Ok(Box::new(Opened(self.clone())))
    }

    fn link(&self, _: &Import<'_>, _: &mut LinkerInstance<'_, StoreData>) -> wasmtime::Result<()> {
        unreachable!("it offers nothing")
    }
}

struct Opened(Calculator);

#[async_trait]
impl Binding for Opened {
    async fn open(&mut self, opening: Opening) -> Result<(), PluginError> {
        *self.0.open.lock().unwrap() = opening.entries.into_iter().next();
        Ok(())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        *self.0.open.lock().unwrap() = None;
    }
}

async fn host_with(calculator: &Calculator) -> TestHost {
    let plugin = Arc::new(calculator.clone());
    TestHost::with(|config| config.plugins.push(plugin)).await
}

fn granted(interface: &str) -> serde_json::Value {
    json!({ "namespace": "bench", "package": "calc", "interfaces": [interface] })
}

/// The callee by itself is called through what it exports.
#[tokio::test]
pub(crate) async fn calc_callee() {
    let calculator = Calculator::of("bench:calc/math@0.1.0");
    let host = host_with(&calculator).await;
    let callee = component("math", test_guests::CALC_CALLEE);
    host.run("math", &spec([callee], [granted("math")])).await;
    assert_eq!(
        calculator.call::<_, (u32,)>("add", (40_u32, 2_u32)).await,
        (42,)
    );
    assert_eq!(
        calculator.call::<_, (String,)>("greet", ("you",)).await,
        ("hello you".to_owned(),)
    );
    host.stop_finds_nothing_running("math").await;
    assert!(calculator.open.lock().unwrap().is_none());
}

/// The caller is called, and its calls of its sibling stay inside what they were fused into.
#[tokio::test]
pub(crate) async fn calc_caller() {
    let calculator = Calculator::of("bench:calc/drive@0.1.0");
    let host = host_with(&calculator).await;
    let components = [
        component("math", test_guests::CALC_CALLEE),
        component("drive", test_guests::CALC_CALLER),
    ];
    let status = host
        .run("calc", &spec(components, [granted("drive")]))
        .await;
    assert_eq!(status.plan.expect("a plan").entries[0].members.len(), 2);
    assert_eq!(
        calculator.call::<_, (String,)>("who", ()).await,
        ("hello caller".to_owned(),)
    );
    assert_eq!(
        calculator.call::<_, (u32,)>("run-add", (10_u32,)).await,
        (45,)
    );
    assert_eq!(
        calculator.call::<_, (u32,)>("run-greet", (3_u32,)).await,
        (33,)
    );
}
