//! The link plan of workloads: who answers each import, and what is called from outside.

use std::sync::Arc;

use serde_json::{Value, json};
use wasmcloud::artifact::{By, Fetch, FetchErrorKind, Wanted};
use wasmcloud::assembly::check;
use wasmcloud::engine::inspect::{World, inspect};
use wasmcloud::engine::plan::{
    LinkPlan, Member, Offers, PlannedCallee, PlannedEntry, PlannedKind, PlannedService, Worlds,
    plan,
};
use wasmcloud::workload::{Component, Diagnostic, Workload};

use crate::failure::Failure;
use crate::project::{MISSING, ToRun};
use crate::ui::{Ui, table};

pub(super) async fn run(
    workloads: &[ToRun],
    offers: &Offers,
    source: &dyn Fetch,
    ui: &Ui,
) -> Result<(), Failure> {
    let mut plans = Vec::new();
    let mut problems = Vec::new();
    for to_run in workloads {
        match plan_one(to_run, offers, source).await {
            Ok(plan) => plans.push((&to_run.workload, plan)),
            Err(found) => problems.extend(found),
        }
    }
    if !problems.is_empty() {
        return Err(problems.into());
    }
    let value = || {
        let mut values: Vec<Value> = plans
            .iter()
            .map(|(workload, plan)| plan_json(workload, plan))
            .collect();
        if values.len() == 1 {
            values.swap_remove(0)
        } else {
            Value::Array(values)
        }
    };
    let text = || {
        let texts = plans
            .iter()
            .map(|(workload, plan)| plan_text(workload, plan, true));
        texts.collect::<Vec<_>>().join("\n\n")
    };
    ui.result(value, text)
}

async fn plan_one(
    to_run: &ToRun,
    offers: &Offers,
    source: &dyn Fetch,
) -> Result<LinkPlan, Vec<Diagnostic>> {
    let mut worlds = Worlds::new();
    let mut problems = Vec::new();
    for component in to_run.workload.parts() {
        match world(to_run, component, source).await {
            Ok(world) => drop(worlds.insert(component.name.clone(), world)),
            Err(problem) => problems.push(problem),
        }
    }
    // Without all worlds, a plan would only repeat in other words that some are missing.
    let planned = problems
        .is_empty()
        .then(|| plan(&to_run.workload, &worlds, offers));
    if let Err(wrong) = check(&to_run.workload) {
        problems.extend(to_run.start_problems(&wrong));
    }
    match planned {
        Some(Ok(plan)) if problems.is_empty() => Ok(plan),
        Some(Err(errors)) => {
            problems.extend(to_run.plan_problems(&errors));
            Err(problems)
        }
        _ => Err(problems),
    }
}

async fn world(
    to_run: &ToRun,
    component: &Component,
    source: &dyn Fetch,
) -> Result<Arc<World>, Diagnostic> {
    let place = format!("spec.components.{}.image", component.name);
    let image = component.image.resolve(&to_run.base);
    let wanted = Wanted {
        pull: &component.pull,
        by: By::Workload(&to_run.workload.namespace),
        ..Wanted::by_host(&image)
    };
    let fetched = source.fetch(wanted).await;
    let fetched = fetched.map_err(|error| {
        let hint = match &error.kind {
            FetchErrorKind::NotFound => Some(MISSING.to_owned()),
            FetchErrorKind::Registry { hint, .. } => hint.clone(),
            _ => None,
        };
        to_run.problem(
            &place,
            format!("component `{}`: {error}", component.name),
            hint,
        )
    })?;
    let inspected = inspect(&fetched.bytes);
    let inspected = inspected.map_err(|error| {
        to_run.problem(
            &place,
            format!(
                "component `{}` ({}): {error}",
                component.name, component.image
            ),
            None,
        )
    })?;
    Ok(inspected.world)
}

/// A plan for tools.
pub(crate) fn plan_json(workload: &Workload, plan: &LinkPlan) -> Value {
    let mut value = json!(plan);
    if let Some(fields) = value.as_object_mut() {
        fields.insert(
            "workload".to_owned(),
            json!({"namespace": workload.namespace, "name": workload.name}),
        );
    }
    value
}

/// A plan for people. Without `whole`, links that the host answers are only counted: there are many, and they say little.
pub(crate) fn plan_text(workload: &Workload, plan: &LinkPlan, whole: bool) -> String {
    let mut text = format!("workload {}/{}", workload.namespace, workload.name);
    let shown = plan
        .links
        .iter()
        .filter(|link| whole || link.kind != PlannedKind::Host);
    let mut rows = vec![["FROM", "IMPORT", "TO", "KIND"].map(str::to_owned).to_vec()];
    rows.extend(shown.map(|link| {
        vec![
            link.from.to_string(),
            link.import.clone(),
            link.to.clone(),
            kind(link.kind).to_owned(),
        ]
    }));
    if rows.len() > 1 {
        text.push_str(&format!("\n\n{}\n", table(&rows)));
    }
    let reasons = plan.links.iter().filter_map(|link| {
        let because = link.because.as_ref()?;
        let (from, import, kind) = (&link.from, &link.import, kind(link.kind));
        Some(format!(
            "\n{from} is {kind} with {} over {import}: {because}",
            link.to
        ))
    });
    text.extend(reasons);
    if let Some(service) = &plan.service {
        text.push_str(&format!("\n{}", service_text(service)));
    }
    let service = workload.service.iter();
    for port in service.flat_map(|service| &service.ports) {
        let (addr, inside) = (port.addr(), port.container_port);
        text.push_str(&format!(
            "\nport {inside} of service is published at {addr}"
        ));
    }
    for entry in &plan.entries {
        text.push_str(&format!("\n{}", entry_text(entry)));
    }
    for callee in &plan.callees {
        text.push_str(&format!("\n{}", callee_text(callee)));
    }
    for name in &plan.unreached {
        text.push_str(&format!("\nnothing calls {name}"));
    }
    text
}

fn kind(kind: PlannedKind) -> &'static str {
    match kind {
        PlannedKind::Fused => "fused",
        PlannedKind::Isolated => "isolated",
        PlannedKind::Host => "host",
    }
}

fn service_text(service: &PlannedService) -> String {
    let fused = fused_with(&service.members);
    let flavour = service.flavour.as_str();
    match &service.run {
        Some(run) => format!("the host runs service ({run}){fused}; {flavour} engine"),
        None => format!("service answers on one instance{fused}; {flavour} engine"),
    }
}

fn entry_text(entry: &PlannedEntry) -> String {
    let root = entry.root().map(ToString::to_string).unwrap_or_default();
    let schedule = entry.schedule.as_ref();
    let schedule = schedule.map_or_else(String::new, |name| format!(" `{name}`"));
    format!(
        "{}{schedule} calls {root} ({}){}; {} engine",
        entry.plugin,
        entry.export,
        fused_with(&entry.members),
        entry.flavour.as_str()
    )
}

fn callee_text(callee: &PlannedCallee) -> String {
    let root = callee.root().map(ToString::to_string).unwrap_or_default();
    format!(
        "{root} has instances of its own{}; {} engine",
        fused_with(&callee.members),
        callee.flavour.as_str()
    )
}

fn fused_with(members: &[Member]) -> String {
    let others = members.iter().skip(1);
    let others: Vec<&str> = others.map(|member| member.component.as_str()).collect();
    if others.is_empty() {
        String::new()
    } else {
        format!(", fused with {}", others.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use wasmcloud::engine::Flavour;
    use wasmcloud::engine::plan::{IsolatedImport, PlannedLink};
    use wasmcloud::workload::{Export, manifest};

    use super::*;

    fn workload() -> Workload {
        let text = "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {name: shop}\n\
                    spec: {components: [{name: front, image: ./front.wasm}]}\n";
        manifest::parse(text, std::path::Path::new("w.yaml"))
            .unwrap()
            .remove(0)
            .workload
    }

    fn sample() -> LinkPlan {
        let link = |import: &str, to: &str, kind| PlannedLink {
            from: "front".parse().unwrap(),
            import: import.to_owned(),
            to: to.to_owned(),
            kind,
            because: None,
        };
        let member = |name: &str| Member {
            component: name.parse().unwrap(),
            fused: Vec::new(),
            isolated: Vec::new(),
            apart: Vec::new(),
        };
        let mut front = member("front");
        front.isolated.push(IsolatedImport {
            import: "a:b/d".to_owned(),
            callee: 0,
            export: "a:b/d".to_owned(),
        });
        LinkPlan {
            service: None,
            links: vec![
                link("a:b/c", "back", PlannedKind::Fused),
                link("a:b/d", "guard", PlannedKind::Isolated),
                link("wasi:io/poll@0.2.6", "wasi", PlannedKind::Host),
            ],
            entries: vec![PlannedEntry {
                plugin: "wasi-http".to_owned(),
                export: Export::Interface("wasi:http/incoming-handler@0.2.6".parse().unwrap()),
                schedule: None,
                flavour: Flavour::Plain,
                members: vec![front, member("back")],
            }],
            callees: vec![PlannedCallee {
                flavour: Flavour::Plain,
                members: vec![member("guard")],
            }],
            unreached: vec!["lonely".parse().unwrap()],
        }
    }

    #[test]
    fn people_see_links_entries_and_what_nothing_calls() {
        let text = plan_text(&workload(), &sample(), true);
        let wanted = "workload default/shop\n\n\
                      FROM   IMPORT              TO     KIND\n\
                      front  a:b/c               back   fused\n\
                      front  a:b/d               guard  isolated\n\
                      front  wasi:io/poll@0.2.6  wasi   host\n\n\
                      wasi-http calls front (wasi:http/incoming-handler@0.2.6), fused with back; plain engine\n\
                      guard has instances of its own; plain engine\n\
                      nothing calls lonely";
        assert_eq!(text, wanted);
        assert!(!plan_text(&workload(), &sample(), false).contains("wasi:io/poll"));
    }

    #[test]
    fn people_see_the_service_its_ports_and_why_a_link_is_unusual() {
        let text = "apiVersion: runtime.wasmcloud.dev/v1alpha1\nkind: Workload\nmetadata: {name: shop}\n\
                    spec: {service: {image: ./till.wasm, ports: [{name: till, containerPort: 70, hostPort: 7070}]}}\n";
        let workload = manifest::parse(text, std::path::Path::new("w.yaml"))
            .unwrap()
            .remove(0)
            .workload;
        let mut plan = sample();
        plan.links.truncate(1);
        plan.links[0].because = Some("it is so".to_owned());
        plan.entries.clear();
        plan.callees.clear();
        plan.unreached.clear();
        plan.service = Some(PlannedService {
            run: Some("wasi:cli/run@0.2.6".parse().unwrap()),
            flavour: Flavour::Plain,
            members: vec![Member {
                component: "service".parse().unwrap(),
                fused: Vec::new(),
                isolated: Vec::new(),
                apart: Vec::new(),
            }],
        });
        let wanted = "workload default/shop\n\n\
                      FROM   IMPORT  TO    KIND\n\
                      front  a:b/c   back  fused\n\n\
                      front is fused with back over a:b/c: it is so\n\
                      the host runs service (wasi:cli/run@0.2.6); plain engine\n\
                      port 70 of service is published at 127.0.0.1:7070";
        assert_eq!(plan_text(&workload, &plan, true), wanted);
    }

    #[test]
    fn tools_get_the_name_links_and_entries() {
        let value = plan_json(&workload(), &sample());
        assert_eq!(
            value["workload"],
            json!({"namespace": "default", "name": "shop"})
        );
        assert_eq!(
            value["links"][0],
            json!({"from": "front", "import": "a:b/c", "to": "back", "kind": "fused"})
        );
        let entry = &value["entries"][0];
        assert_eq!(entry["plugin"], "wasi-http");
        assert_eq!(
            entry["members"][0]["isolated"],
            json!([{"import": "a:b/d", "callee": 0, "export": "a:b/d"}])
        );
        assert_eq!(value["callees"][0]["members"][0]["component"], "guard");
    }
}
