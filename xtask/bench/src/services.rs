//! What a call of a component by the service of its workload costs, beside bare Wasmtime with the same settings.

use anyhow::Context as _;

use crate::call::{Calls, Case, Composed, Instances, Kind, Unit, all_went_well, enough_hits};
use crate::guests::{self, Guests};
use crate::library::{self, turns::CallingService};
use crate::manifest::Link;
use crate::record::Record;

const FUSED: Case = Case {
    bench: "services",
    name: "fused",
    kind: Kind::Add,
    calls: 20_000_000,
    unit: Unit::Nanoseconds,
};

const POOLED: Case = Case {
    bench: "services",
    name: "isolated-pooled",
    kind: Kind::Add,
    calls: 100_000,
    unit: Unit::Microseconds,
};

const FRESH: Case = Case {
    bench: "services",
    name: "isolated-fresh",
    kind: Kind::Add,
    calls: 10_000,
    unit: Unit::Microseconds,
};

/// All cases of this bench. One that fails does not take the figures of the others with it.
pub(crate) async fn run(records: &mut Vec<Record>) -> anyhow::Result<()> {
    let (service, pair) = (guests::calc_service(), guests::calc());
    let parts = [
        (FUSED.name, fused(&service, &pair, records).await),
        (POOLED.name, pooled(&service, records).await),
        (FRESH.name, fresh(&service, records).await),
    ];
    all_went_well(parts)
}

/// Beside the two components of the `call` bench, composed by hand: what a service calls is the same.
async fn fused(service: &Guests, pair: &Guests, records: &mut Vec<Record>) -> anyhow::Result<()> {
    let bare = Composed::new(&library::engine_config(), pair).await;
    let mut bare = bare.context("the baseline")?;
    let mut ours = CallingService::new(service, Link::Fused).await?;
    records.push(FUSED.measure(&mut ours, &mut bare).await?);
    Ok(())
}

/// Beside calls of an instance that is there, from the host.
async fn pooled(service: &Guests, records: &mut Vec<Record>) -> anyhow::Result<()> {
    let bare = Calls::new(&library::engine_config(), service).await;
    let mut bare = bare.context("the baseline")?;
    let mut ours = CallingService::new(service, Link::IsolatedPooled).await?;
    let mut record = POOLED.measure(&mut ours, &mut bare).await?;
    record.pool_hits = Some(enough_hits(ours.hit_rate().await?)?);
    records.push(record);
    Ok(())
}

/// Beside making an instance, without a call.
async fn fresh(service: &Guests, records: &mut Vec<Record>) -> anyhow::Result<()> {
    let bare = Instances::new(&library::engine_config(), service);
    let mut bare = bare.context("the baseline")?;
    let mut ours = CallingService::new(service, Link::IsolatedFresh).await?;
    records.push(FRESH.measure(&mut ours, &mut bare).await?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Caller as _;

    #[tokio::test]
    async fn a_service_calls_over_every_link() {
        for link in [Link::Fused, Link::IsolatedFresh, Link::IsolatedPooled] {
            let mut service = CallingService::new(&guests::calc_service(), link)
                .await
                .unwrap();
            for _ in 0..2 {
                assert_eq!(
                    service.run(Kind::Add, 5).await.unwrap(),
                    Some(10),
                    "{link:?}"
                );
            }
        }
    }
}
