//! `wasmcloud run --check`: everything that can be wrong before anything runs.

use wasmcloud::assembly::{check_config, clashes, validate};
use wasmcloud::supervisor::{FileWorkload, Sources};
use wasmcloud::workload::{Diagnostics, WorkloadId};

use super::report::Reporter;
use super::settings::Settings;
use super::{Ended, cannot_assemble, plain};

/// Looks at manifests, components, plans and settings, and prints all that is wrong. Whoever is here has read the configuration.
pub(super) async fn check(settings: Settings, reporter: &Reporter) -> Result<Ended, Diagnostics> {
    let unfit = check_config(&settings.host)
        .await
        .map_err(cannot_assemble)
        .err();
    let mut sources = Sources::new(settings.paths);
    let looked = tokio::task::spawn_blocking(move || {
        let look = sources.look();
        (look.problems(), look)
    });
    let (Diagnostics(mut problems), look) = looked.await.map_err(plain)?;
    let (chosen, twins) = {
        let desired = look.desired();
        let (chosen, twins) = desired.chosen(&std::collections::BTreeMap::new());
        let found = chosen.iter().filter_map(|it| look.find(&it.id, &it.file));
        (
            found.map(|it| it.workload.clone()).collect::<Vec<_>>(),
            twins,
        )
    };
    problems.extend(unfit.into_iter().flat_map(|Diagnostics(unfit)| unfit));
    problems.extend(twins.iter().map(|twin| look.explain(twin)));
    let mut good: Vec<WorkloadId> = Vec::new();
    for workload in &chosen {
        match validate(&workload.request, &settings.host).await {
            Ok(_) => good.push(workload.request.id.clone()),
            Err(errors) => {
                let explained = errors.iter().flat_map(|error| workload.explain(error));
                problems.extend(explained);
            }
        }
    }
    problems.extend(clashing(&chosen, &mut good));
    let count = problems.len();
    if count > 0 {
        reporter.errors(&Diagnostics(problems));
    }
    reporter.checked(&good, count);
    Ok(if count == 0 {
        Ended::Well
    } else {
        Ended::Unfit
    })
}

/// What is wrong only because of the others.
fn clashing(
    chosen: &[FileWorkload],
    good: &mut Vec<WorkloadId>,
) -> Vec<wasmcloud::workload::Diagnostic> {
    let workloads: Vec<_> = chosen.iter().map(|it| &it.request.workload).collect();
    let mut problems = Vec::new();
    for (index, error) in clashes(&workloads) {
        if let Some(workload) = chosen.get(index) {
            good.retain(|id| *id != workload.request.id);
            problems.extend(workload.explain(&error));
        }
    }
    problems
}
