//! Walks along links between components. Without recursion: a chain may be as long as a workload has components.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Problem;
use super::resolve::{Over, Resolution, Resolved};
use crate::workload::ComponentName;

/// The component and everything it reaches through fused links, depth first in the order of import names. Names of components
/// play no part in the order.
pub(super) fn reach<'a>(root: &'a ComponentName, resolved: &'a Resolved) -> Vec<&'a ComponentName> {
    let mut order = Vec::new();
    let mut seen = HashSet::new();
    let mut open = vec![root];
    while let Some(component) = open.pop() {
        if seen.insert(component) {
            order.push(component);
            let fused = callees(component, resolved, |over| over == Over::Fused);
            open.extend(fused.into_iter().rev());
        }
    }
    order
}

/// Cycles of links, at least one wherever there is any and none twice, each beginning at its first component by name.
/// An isolated link in a circle does not break it: the calls could still go round without end, an instance each time.
pub(super) fn cycles(resolved: &Resolved) -> Vec<Problem> {
    let mut search = CycleSearch {
        resolved,
        done: HashSet::new(),
        path: Vec::new(),
        place: HashMap::new(),
        found: Vec::new(),
    };
    for component in resolved.keys() {
        search.enter(component);
        while search.step() {}
    }
    search.found
}

/// The siblings that answer a component's imports over such links, each once, in the order of import names.
fn callees<'a>(
    component: &ComponentName,
    resolved: &'a Resolved,
    wanted: impl Fn(Over) -> bool,
) -> Vec<&'a ComponentName> {
    let mut seen = HashSet::new();
    let answers = resolved.get(component).into_iter();
    answers
        .flat_map(BTreeMap::values)
        .filter_map(|resolution| match resolution {
            Resolution::Sibling { to, over, .. } if wanted(*over) => Some(to),
            Resolution::Sibling { .. } | Resolution::Host { .. } => None,
        })
        .filter(|to| seen.insert(*to))
        .collect()
}

struct CycleSearch<'a> {
    resolved: &'a Resolved,
    /// Components whose every way on was followed.
    done: HashSet<&'a ComponentName>,
    /// The components between the start and here, with the ways that are still to be followed.
    path: Vec<(&'a ComponentName, std::vec::IntoIter<&'a ComponentName>)>,
    /// Where in `path` a component is.
    place: HashMap<&'a ComponentName, usize>,
    found: Vec<Problem>,
}

impl<'a> CycleSearch<'a> {
    fn enter(&mut self, component: &'a ComponentName) {
        if self.done.contains(component) {
            return;
        }
        if let Some(start) = self.place.get(component) {
            self.found.push(cycle(self.path.iter().skip(*start)));
            return;
        }
        self.place.insert(component, self.path.len());
        let ways = callees(component, self.resolved, |_| true).into_iter();
        self.path.push((component, ways));
    }

    /// Follows one way on, or goes one back. False when it is back where it began.
    fn step(&mut self) -> bool {
        let Some((component, ways)) = self.path.last_mut() else {
            return false;
        };
        let component = *component;
        if let Some(next) = ways.next() {
            self.enter(next);
        } else {
            self.path.pop();
            self.place.remove(component);
            self.done.insert(component);
        }
        true
    }
}

fn cycle<'a, T: 'a>(round: impl Iterator<Item = &'a (&'a ComponentName, T)>) -> Problem {
    let mut components: Vec<ComponentName> = round.map(|(name, _)| (*name).clone()).collect();
    let first = components.iter().enumerate().min_by_key(|(_, name)| *name);
    let first = first.map_or(0, |(index, _)| index);
    components.rotate_left(first);
    Problem::Cycle { components }
}
