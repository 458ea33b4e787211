//! A program with a host inside: it starts a workload, answers one import of its component by itself, and calls it.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmcloud::assembly::{HostConfig, assemble};
use wasmcloud::capability::direct::Direct;
use wasmcloud::host::Host as _;
use wasmcloud::plugin::{Import, Offer, Plugin, StoreData};
use wasmcloud::supervisor::load;
use wasmtime::{StoreContextMut, component::LinkerInstance};

/// What things cost: a capability that only this program has.
struct Prices(Arc<BTreeMap<String, u32>>);

impl Plugin for Prices {
    fn id(&self) -> &'static str {
        "shop-prices"
    }

    fn offers(&self) -> Vec<Offer> {
        let interface = "demo:shop/prices@0.1.0".parse();
        interface.map(Offer::shared).into_iter().collect()
    }

    fn link(
        &self,
        _: &Import<'_>,
        linker: &mut LinkerInstance<'_, StoreData>,
    ) -> wasmtime::Result<()> {
        let prices = Arc::clone(&self.0);
        let price = move |_: StoreContextMut<'_, StoreData>, (item,): (String,)| {
            Ok((prices.get(&item).copied(),))
        };
        linker.func_wrap("price", price)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manifest = std::env::args().nth(1);
    let manifest = manifest.unwrap_or("guest/workload.yaml".into());
    let prices = BTreeMap::from([("apple".to_owned(), 30), ("pear".to_owned(), 45)]);
    let orders = Direct::new("demo:shop/orders@0.1.0".parse()?);
    let config = HostConfig {
        plugins: vec![Arc::new(Prices(Arc::new(prices))), Arc::new(orders.clone())],
        ..HostConfig::default()
    };
    let host = assemble(config).await?.host;
    for workload in load(&[manifest.into()])? {
        let started = host.start(workload.request.clone()).await;
        let id = started.map_err(|error| workload.explain(&error))?.id;
        let order = ("pear".to_owned(), 3_u32);
        let (total,): (Result<u32, String>,) = orders.call(&id, "total", order).await?;
        println!("three pears: {} cents", total?);
    }
    host.shutdown().await;
    Ok(())
}
