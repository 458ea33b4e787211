//! What holds for any workload, however odd.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// A few interfaces, so that chance makes matches, ambiguities and circles.
const POOL: [&str; 11] = [
    "demo:x/a@1.0.0",
    "demo:x/a@1.2.0",
    "demo:x/a@2.0.0",
    "demo:x/b@1.0.0",
    "demo:x/c@0.1.0",
    "types demo:x/t@1.0.0",
    "label=demo:x/b@1.0.0",
    "confined demo:x/s@1.0.0",
    HANDLER_0_2,
    CLOCK,
    CLIENT,
];

fn some_of_the_pool(most: usize) -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(POOL.to_vec(), 0..=most)
}

fn component() -> impl Strategy<Value = (Vec<&'static str>, Vec<&'static str>, bool)> {
    (some_of_the_pool(3), some_of_the_pool(2), any::<bool>())
}

/// Links as numbers: whose, which import, to whom; and whether isolated.
fn link() -> impl Strategy<Value = (usize, usize, usize, bool)> {
    (0..10usize, 0..POOL.len(), 0..10usize, any::<bool>())
}

fn scenes() -> impl Strategy<Value = Scene> {
    let components = proptest::collection::vec(component(), 0..=8);
    let links = proptest::collection::vec(link(), 0..=3);
    (components, links, any::<bool>()).prop_map(|(components, links, granted)| {
        let count = components.len();
        let sketches =
            components
                .into_iter()
                .enumerate()
                .map(|(n, (imports, exports, concurrent))| {
                    let mut sketch = world(&format!("c{n}"));
                    sketch.1.imports = imports.into_iter().map(external).collect();
                    sketch.1.exports = exports.into_iter().map(external).collect();
                    sketch.1.concurrent = concurrent;
                    sketch
                });
        let mut scene = scene(sketches).served();
        if granted {
            scene = scene.grant("wasi:http/outgoing-handler");
        }
        for (from, import, to, isolated) in links {
            let pick = |n: usize| (n < count).then(|| format!("c{n}"));
            let import = external(POOL[import]).interface().unwrap().to_string();
            let import = import.split('@').next().unwrap();
            let to = pick(to).unwrap_or_else(|| "host".to_owned());
            scene = match pick(from) {
                Some(from) if isolated => scene.isolate(&from, import, &to),
                from => scene.link(from.as_deref(), import, &to),
            };
        }
        scene
    })
}

/// Layered, so that most of them have a plan: each component may import what later ones export.
fn sound_scenes() -> impl Strategy<Value = Scene> {
    let wires = proptest::collection::vec((0..8usize, 1..8usize, any::<bool>()), 0..16);
    (2..=8usize, wires, any::<u8>()).prop_map(|(count, wires, concurrent)| {
        let mut sketches: Vec<Sketch> = (0..count).map(|n| world(&format!("c{n}"))).collect();
        sketches[0] = sketches[0].clone().exports([HANDLER_0_2]).imports([STDOUT]);
        for (n, sketch) in sketches.iter_mut().enumerate() {
            sketch.1.concurrent = concurrent & (1 << n) != 0;
            let export = format!("demo:layer/l{n}@1.0.0");
            sketch.1.exports.push(external(&export));
        }
        let mut seen = BTreeSet::new();
        let mut isolated = Vec::new();
        for (from, ahead, apart) in wires {
            let to = from + ahead;
            if to < count && seen.insert((from, to)) {
                let import = format!("demo:layer/l{to}@1.0.0");
                sketches[from].1.imports.push(external(&import));
                isolated.extend(apart.then_some((from, to, import)));
            }
        }
        let links = isolated.into_iter();
        links.fold(scene(sketches).served(), |scene, (from, to, import)| {
            scene.isolate(&format!("c{from}"), &import, &format!("c{to}"))
        })
    })
}

/// What each member imports of others, fused and isolated, and keeps apart.
type Wiring = Vec<(Vec<FusedImport>, Vec<IsolatedImport>, Vec<String>)>;

fn wiring(members: &[Member]) -> Wiring {
    let wires = members
        .iter()
        .map(|it| (it.fused.clone(), it.isolated.clone(), it.apart.clone()));
    wires.collect()
}

/// What a plan says, by positions: names left out.
fn structure(plan: &LinkPlan) -> Vec<(String, Flavour, Wiring)> {
    let entries = plan.entries.iter().map(|entry| {
        let export = entry.export.to_string();
        (export, entry.flavour, wiring(&entry.members))
    });
    let callees = plan
        .callees
        .iter()
        .map(|callee| (String::new(), callee.flavour, wiring(&callee.members)));
    entries.chain(callees).collect()
}

/// The same scene with other names, in another order.
fn renamed(scene: &Scene, names: &[usize]) -> Scene {
    let new: BTreeMap<ComponentName, ComponentName> = scene
        .worlds
        .keys()
        .zip(names)
        .map(|(old, n)| (old.clone(), name(&format!("n{n}"))))
        .collect();
    let mut renamed = scene.clone();
    for component in &mut renamed.workload.components {
        component.name = new[&component.name].clone();
    }
    for link in &mut renamed.workload.links {
        link.from = link.from.as_ref().map(|from| new[from].clone());
        if let LinkTarget::Component(to) = &mut link.to {
            *to = new[to].clone();
        }
    }
    renamed.worlds = scene
        .worlds
        .iter()
        .map(|(old, world)| (new[old].clone(), Arc::clone(world)))
        .collect();
    renamed
}

fn check(scene: &Scene, plan: &LinkPlan) {
    let answered: Vec<(&ComponentName, &str)> = plan
        .links
        .iter()
        .map(|link| (&link.from, link.import.as_str()))
        .collect();
    let once: BTreeSet<_> = answered.iter().collect();
    assert_eq!(once.len(), answered.len(), "an import is answered twice");
    for (component, world) in &scene.worlds {
        for import in &world.imports {
            let plain_types = matches!(
                import.kind,
                ExternKind::Interface {
                    types_only: true,
                    ..
                }
            );
            assert!(
                plain_types || once.contains(&&(component, import.name.as_str())),
                "`{}` of {component} is not answered",
                import.name
            );
        }
    }
    for entry in &plan.entries {
        check_members(scene, plan, &entry.members);
    }
    let mut roots = BTreeSet::new();
    for (place, callee) in plan.callees.iter().enumerate() {
        check_members(scene, plan, &callee.members);
        let mut calls = callee.members.iter().flat_map(|it| &it.isolated);
        assert!(calls.all(|link| link.callee < place));
        assert!(roots.insert(callee.root()), "a callee is there twice");
    }
}

fn check_members(scene: &Scene, plan: &LinkPlan, members: &[Member]) {
    let once: BTreeSet<&ComponentName> = members.iter().map(|it| &it.component).collect();
    assert_eq!(once.len(), members.len(), "a member is there twice");
    let exports = |component: &ComponentName, name: &String| {
        let mut exports = scene.worlds[component].exports.iter();
        exports.any(|export| export.name == *name)
    };
    for (position, member) in members.iter().enumerate() {
        for link in &member.fused {
            assert_ne!(link.to, position, "a member answers itself");
            assert!(exports(&members[link.to].component, &link.export));
        }
        for link in &member.isolated {
            assert!(exports(
                plan.callees[link.callee].root().unwrap(),
                &link.export
            ));
        }
        let links = |kind| {
            let links = plan.links.iter().filter(move |link| link.kind == kind);
            links.filter(|link| link.from == member.component).count()
        };
        assert_eq!(links(PlannedKind::Fused), member.fused.len());
        assert_eq!(links(PlannedKind::Isolated), member.isolated.len());
    }
}

proptest! {
    #[test]
    fn a_plan_answers_everything_once_or_is_an_error(scene in scenes()) {
        match scene.plan() {
            Ok(plan) => check(&scene, &plan),
            Err(errors) => {
                prop_assert!(!errors.0.is_empty());
                prop_assert!(!errors.to_string().is_empty());
                errors.0.iter().for_each(|problem| assert!(problem.path().starts_with("spec")));
            }
        }
    }

    #[test]
    fn a_layered_workload_has_a_plan(scene in sound_scenes()) {
        check(&scene, &scene.plan().unwrap());
    }

    #[test]
    fn the_order_of_the_manifest_does_not_matter(
        (scene, shuffled) in scenes().prop_flat_map(|scene| {
            let order = Just(scene.workload.components.clone()).prop_shuffle();
            (Just(scene), order)
        })
    ) {
        let mut other = scene.clone();
        other.workload.components = shuffled;
        prop_assert_eq!(scene.plan(), other.plan());
    }

    #[test]
    fn names_play_no_part(
        (scene, names) in prop_oneof![scenes(), sound_scenes()].prop_flat_map(|scene| {
            let names = Just((0..scene.worlds.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(scene), names)
        })
    ) {
        match (scene.plan(), renamed(&scene, &names).plan()) {
            (Ok(one), Ok(other)) => prop_assert_eq!(structure(&one), structure(&other)),
            (Err(one), Err(other)) => {
                // Of several circles that share a component, which ones are found depends on where the search begins.
                let count = |errors: &PlanErrors| {
                    let circle = |it: &&Problem| matches!(it, Problem::Cycle { .. });
                    let circles = errors.0.iter().filter(circle).count();
                    (errors.0.len() - circles, circles > 0)
                };
                prop_assert_eq!(count(&one), count(&other));
            }
            (one, other) => prop_assert!(false, "{:?} but renamed {:?}", one, other),
        }
    }
}
