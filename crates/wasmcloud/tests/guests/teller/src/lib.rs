//! Calls the plugin that is a component.

wit_bindgen::generate!({ path: "../wit", world: "teller", generate_all });

use test::ledger::book;

struct Teller;

impl exports::test::ledger::desk::Guest for Teller {
    fn tell(text: String) -> Result<String, String> {
        book::note(&text)
    }

    fn count(lines: Vec<String>) -> u32 {
        book::length(&lines)
    }

    fn caller() -> String {
        let by = wasmcloud::plugin::caller::current();
        by.map_or_else(|| "nobody".to_owned(), |by| by.name)
    }
}

export!(Teller);
