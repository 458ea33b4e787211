//! Modules of the library use only what stands before them in one list, so that each can be read,
//! tested and moved without those that come after it.

use super::source::{Source, Token};
use super::{Finding, Rule};

/// The order, lowest first. `ARCHITECTURE.md` draws it.
const ORDER: &[&str] = &[
    "workload",
    "policy",
    "net",
    "instance",
    "plugin",
    "artifact",
    "registry",
    "engine",
    "capability",
    "host",
    "supervisor",
    "control",
    "assembly",
    "config",
    "run",
    "main",
];

/// Neighbours in the list that do not see each other either.
const BLIND: (&str, &str) = ("capability", "engine");

const SRC: &str = "crates/wasmcloud/src";

/// Upward edges, and paths that hide where they lead.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let Ok(inside) = source.path.strip_prefix(SRC) else {
        return Vec::new();
    };
    let Some(first) = inside.iter().next().and_then(|part| part.to_str()) else {
        return Vec::new();
    };
    let module = first.strip_suffix(".rs").unwrap_or(first);
    if source.is_test || module == "lib" {
        return Vec::new();
    }
    let Some(rank) = rank(module) else {
        let message = format!(
            "the module `{module}` has no place in the order of modules: give it one in {}",
            file!()
        );
        return vec![finding(source, 0, module, message)];
    };
    let is_menu = inside.file_name().is_some_and(|name| name == "mod.rs");
    let depth = inside.iter().count() - usize::from(is_menu);
    edges(source, depth)
        .into_iter()
        .filter_map(|edge| {
            let message = objection(module, rank, &edge)?;
            Some(finding(source, edge.line, module, message))
        })
        .collect()
}

/// A path that starts at the root of the crate.
struct Edge {
    /// What follows `crate::`.
    to: String,
    line: usize,
    /// A macro, which lives at the root wherever it was written.
    is_macro: bool,
}

fn rank(module: &str) -> Option<usize> {
    ORDER.iter().position(|name| *name == module)
}

/// Why the edge is not allowed, if it is not.
fn objection(module: &str, from: usize, edge: &Edge) -> Option<String> {
    let to = edge.to.as_str();
    if to == module || to == "self" || edge.is_macro {
        return None;
    }
    let Some(target) = rank(to) else {
        return Some(format!(
            "`crate::{to}` hides where it comes from: name the module it lives in"
        ));
    };
    if target > from {
        return Some(format!(
            "`{module}` uses `{to}`, which stands above it: turn the arrow round, or move the code"
        ));
    }
    let blind = [(module, to), (to, module)].contains(&BLIND);
    blind.then(|| {
        format!("`{module}` and `{to}` do not know each other: put what both need into `plugin`")
    })
}

fn finding(source: &Source, line: usize, module: &str, message: String) -> Finding {
    let key = format!("{}::{module}", source.path.display());
    Finding {
        rule: Rule::Arrows,
        path: source.path.clone(),
        line,
        key,
        message,
    }
}

/// Every `crate::x` of the code that ships, also inside groups, and written as `super::super::x`.
fn edges(source: &Source, depth: usize) -> Vec<Edge> {
    let mut edges = Vec::new();
    for (index, token) in source.tokens.iter().enumerate() {
        if source.is_test(token) {
            continue;
        }
        let rest = source.tokens.get(index..).unwrap_or_default();
        if token.text == "crate" && source.starts_with(index + 1, &[":", ":"]) {
            edges.extend(targets(rest.get(3..).unwrap_or_default()));
        } else if token.text == "super" && !continues_a_path(source, index) {
            let supers = rest
                .chunks(3)
                .take_while(|part| part.first().is_some_and(|token| token.text == "super"))
                .count();
            if supers >= depth + token.depth {
                edges.extend(targets(rest.get(3 * supers..).unwrap_or_default()));
            }
        }
    }
    edges
}

fn continues_a_path(source: &Source, index: usize) -> bool {
    index >= 2 && source.starts_with(index - 2, &[":", ":"])
}

/// The names right after `crate::`: one, or the first of each path in braces.
fn targets(rest: &[Token]) -> Vec<Edge> {
    let edge = |token: &Token, next: Option<&Token>| Edge {
        to: token.text.clone(),
        line: token.line,
        is_macro: next.is_some_and(|next| next.text == "!"),
    };
    let Some(first) = rest.first() else {
        return Vec::new();
    };
    if first.text != "{" {
        return vec![edge(first, rest.get(1))];
    }
    let mut found = Vec::new();
    let mut nesting = 0_usize;
    for pair in rest.windows(2) {
        let [token, next] = pair else { break };
        match token.text.as_str() {
            "{" => nesting += 1,
            "}" => nesting = nesting.saturating_sub(1),
            _ => {}
        }
        if nesting == 0 {
            break;
        }
        let starts_a_path = nesting == 1 && (token.text == "{" || token.text == ",");
        if starts_a_path && next.text != "}" {
            found.push(edge(next, None));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::source::sample;
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        check(&sample(&format!("{SRC}/{path}"), text))
            .into_iter()
            .map(|finding| finding.message)
            .collect()
    }

    #[test]
    fn an_upward_edge_is_found_in_every_spelling() {
        for bad in [
            "use crate::host::Host;",
            "use crate::{workload::Names, host::{Host, Slot}};",
            "fn f() -> crate::host::Host { todo!() }",
            "use super::super::host::Host;",
            "mod inner { use super::super::super::host::Host; }",
            "macro_rules! m { () => { $crate::host::start() } }",
        ] {
            let found = messages("engine/plan.rs", bad);
            assert_eq!(found.len(), 1, "{bad}: {found:?}");
            assert!(found[0].contains("`engine` uses `host`"), "{found:?}");
        }
    }

    #[test]
    fn downward_and_inner_edges_are_fine() {
        let good = "use crate::workload::Names;\nuse crate::engine::plan::Plan;\nuse super::fuse;\nuse super::super::plugin::Plugin;\npub(crate) fn f() { crate::say!(); }";
        assert_eq!(messages("engine/plan.rs", good), Vec::<String>::new());
        assert_eq!(
            messages(
                "assembly.rs",
                "use crate::{capability::http, engine, host::Host};"
            ),
            Vec::<String>::new()
        );
    }

    #[test]
    fn engine_and_capability_do_not_see_each_other() {
        assert!(
            messages("capability/http/mod.rs", "use crate::engine::Store;")[0]
                .contains("do not know each other")
        );
        assert_eq!(
            messages("engine/mod.rs", "use crate::capability::http;").len(),
            1
        );
    }

    #[test]
    fn tests_may_look_anywhere() {
        assert!(
            messages(
                "engine/mod.rs",
                "#[cfg(test)]\nmod tests { use crate::host::Host; }"
            )
            .is_empty()
        );
        assert!(messages("engine/tests.rs", "use crate::host::Host;").is_empty());
    }

    #[test]
    fn the_root_is_not_a_way_round() {
        assert!(messages("engine/mod.rs", "use crate::Host;")[0].contains("name the module"));
        assert!(messages("engine/mod.rs", "use crate::*;")[0].contains("name the module"));
    }

    #[test]
    fn a_new_module_needs_a_place() {
        assert!(messages("util.rs", "")[0].contains("no place"));
        assert!(messages("lib.rs", "pub use crate::host::Host;").is_empty());
    }
}
