//! A plugin of an embedder's own that calls exports of its own: everything it needs is public.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use wasmcloud::plugin::{
    BindRequest, Binding, Entry, Import, Offer, Opening, Plugin, PluginError, StoreData,
};
use wasmcloud::workload::Interface;
use wasmtime::StoreContextMut;
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

/// Where a service waits for its turn.
struct Gate {
    turns: Arc<AsyncMutex<mpsc::UnboundedReceiver<u32>>>,
    results: mpsc::UnboundedSender<u32>,
}

#[async_trait]
impl Plugin for Gate {
    fn id(&self) -> &'static str {
        "gate"
    }

    fn offers(&self) -> Vec<Offer> {
        vec![Offer::shared("bench:calc/gate@0.1.0".parse().unwrap())]
    }

    fn link(
        &self,
        _: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        let (turns, results) = (Arc::clone(&self.turns), self.results.clone());
        linker.func_wrap_async(
            "turn",
            move |_: StoreContextMut<'_, StoreData>, (last,): (u32,)| {
                let turns = Arc::clone(&turns);
                let told = results.send(last);
                Box::new(async move {
                    told?;
                    let turn = turns.lock().await.recv().await;
                    Ok((turn.unwrap_or_default(),))
                })
            },
        )
    }
}

/// A service calls its component whenever it is told to, whatever is between them.
#[tokio::test]
pub(crate) async fn calc_service() {
    for kind in ["fused", "isolated"] {
        let ((turn, turns), (results, mut told)) =
            (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let turns = Arc::new(AsyncMutex::new(turns));
        let gate = Arc::new(Gate { turns, results });
        let host = TestHost::with(|config| config.plugins.push(gate)).await;
        let mut spec = spec([component("math", test_guests::CALC_CALLEE)], []);
        spec["service"] = json!({ "image": test_guests::CALC_SERVICE });
        spec["links"] = json!([
            { "from": "service", "import": "bench:calc/math@0.1.0", "to": "math", "kind": kind },
        ]);
        host.run("calc", &spec).await;
        assert_eq!(within(told.recv()).await, Some(0), "before its first turn");
        for (calls, sum) in [(10, 45), (5, 10)] {
            turn.send(calls).unwrap();
            assert_eq!(within(told.recv()).await, Some(sum));
        }
        drop(turn);
        // Nothing of it is left, so it has come to its end.
        host.stop("calc").await;
    }
}
