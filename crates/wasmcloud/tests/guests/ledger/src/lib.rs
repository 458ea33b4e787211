//! A plugin that is a component: notes what it is told, and by whom.

use std::cell::RefCell;

wit_bindgen::generate!({ path: "../wit", world: "ledger", generate_all });

thread_local! {
    static PAGE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Ledger;

impl exports::test::ledger::book::Guest for Ledger {
    fn note(text: String) -> Result<String, String> {
        match text.as_str() {
            "refuse" => return Err("not in this book".to_owned()),
            "trap" => panic!("told to trap"),
            _ => {}
        }
        let by = wasmcloud::plugin::caller::current();
        let by = by.map_or_else(
            || "nobody".to_owned(),
            |by| format!("{}/{}/{}", by.namespace, by.workload, by.name),
        );
        let title = wasi::config::store::get("title").ok().flatten();
        println!("{by} notes {text}");
        let count = PAGE.with_borrow_mut(|page| {
            page.push(text.clone());
            page.len()
        });
        Ok(format!(
            "{} {count}: {by}: {text}",
            title.unwrap_or_default()
        ))
    }

    fn length(lines: Vec<String>) -> u32 {
        assert!(lines.iter().all(|line| !line.is_empty()), "an empty line");
        lines.iter().map(|line| line.len() as u32).sum()
    }
}

export!(Ledger);
