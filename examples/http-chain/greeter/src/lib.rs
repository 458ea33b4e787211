//! In the middle: words the greeting, and leaves the language to the translator.

wit_bindgen::generate!({ path: "../wit", world: "greeter", generate_all });

use demo::translate::translator;
use exports::demo::greet::greeter::Guest;

struct Greeter;

impl Guest for Greeter {
    fn greet(name: String, lang: String) -> Result<String, Vec<String>> {
        match translator::hello(&lang) {
            Some(hello) => Ok(greeting(&hello, &name)),
            None => Err(translator::languages()),
        }
    }
}

export!(Greeter);

fn greeting(hello: &str, name: &str) -> String {
    format!("{hello}, {name}!")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_comes_before_the_name() {
        assert_eq!(greeting("Hallo", "Ada"), "Hallo, Ada!");
    }
}
