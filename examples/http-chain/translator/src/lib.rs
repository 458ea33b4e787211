//! At the end of the chain: a word list.

wit_bindgen::generate!({ path: "../wit", world: "translator", generate_all });

use exports::demo::translate::translator::Guest;

/// A language's code, and "hello" in that language, in the order of the codes.
const WORDS: [(&str, &str); 4] = [
    ("de", "Hallo"),
    ("en", "Hello"),
    ("es", "Hola"),
    ("fr", "Bonjour"),
];

struct Translator;

impl Guest for Translator {
    fn hello(lang: String) -> Option<String> {
        WORDS
            .iter()
            .find(|(code, _)| *code == lang)
            .map(|(_, word)| (*word).to_owned())
    }

    fn languages() -> Vec<String> {
        WORDS.iter().map(|(code, _)| (*code).to_owned()).collect()
    }
}

export!(Translator);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_languages_have_a_word() {
        assert!(
            Translator::languages()
                .into_iter()
                .all(|lang| Translator::hello(lang).is_some())
        );
    }

    #[test]
    fn unknown_languages_have_none() {
        assert_eq!(Translator::hello("tlh".to_owned()), None);
    }
}
