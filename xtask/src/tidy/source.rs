//! A Rust file as the rules see it: a flat list of tokens that know their line, whether they are
//! test code, and how many inline modules they are in.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A lexed file.
pub(super) struct Source {
    /// Relative to the repository.
    pub(super) path: PathBuf,
    /// The first line, for the rule about headers.
    pub(super) first_line: String,
    /// How many lines the file has.
    pub(super) lines: usize,
    /// Every token, delimiters included. Comments are gone; doc comments are attributes.
    pub(super) tokens: Vec<Token>,
    /// The whole file is test code.
    pub(super) is_test: bool,
    /// Modules this file declares for tests and keeps in files of their own.
    test_modules: Vec<String>,
    /// Lines that belong to test items.
    test_lines: BTreeSet<usize>,
}

/// One token.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// As written.
    pub(super) text: String,
    /// Counted from 1.
    pub(super) line: usize,
    /// Inside an item that only tests compile.
    pub(super) test: bool,
    /// How many `mod name { … }` of this file are around it.
    pub(super) depth: usize,
}

/// Where the lexer is: what it hands to the tokens it finds.
#[derive(Clone, Copy)]
struct Place {
    test: bool,
    depth: usize,
}

impl Source {
    /// Lexes a file.
    pub(super) fn new(path: &Path, text: &str) -> anyhow::Result<Self> {
        let stream: TokenStream = text.parse().map_err(|error: proc_macro2::LexError| {
            let at = error.span().start();
            anyhow!("{}:{}:{}: {error}", path.display(), at.line, at.column + 1)
        })?;
        let mut source = Self {
            path: path.to_owned(),
            first_line: text.lines().next().unwrap_or_default().to_owned(),
            lines: text.lines().count(),
            tokens: Vec::new(),
            is_test: is_test_path(path),
            test_modules: Vec::new(),
            test_lines: BTreeSet::new(),
        };
        source.flatten(
            stream,
            Place {
                test: false,
                depth: 0,
            },
        );
        Ok(source)
    }

    /// Whether the token is test code, by its item or by its file.
    pub(super) fn is_test(&self, token: &Token) -> bool {
        self.is_test || token.test
    }

    /// Lines outside test items.
    pub(super) fn lines_without_tests(&self) -> usize {
        if self.is_test {
            0
        } else {
            self.lines.saturating_sub(self.test_lines.len())
        }
    }

    /// The texts of the tokens from `index` on, for matching against a pattern.
    pub(super) fn starts_with(&self, index: usize, pattern: &[&str]) -> bool {
        let rest = self.tokens.get(index..).unwrap_or_default();
        rest.len() >= pattern.len()
            && rest
                .iter()
                .zip(pattern)
                .all(|(token, text)| token.text == *text)
    }

    fn flatten(&mut self, stream: TokenStream, place: Place) {
        let mut trees = stream.into_iter().peekable();
        // Set while inside an item that carries a test attribute; the line it began on.
        let mut test_from: Option<usize> = None;
        while let Some(tree) = trees.next() {
            let line = tree.span().start().line;
            if let Some(TokenTree::Group(attribute)) = attribute_after(&tree, &mut trees)
                && is_test_attribute(attribute.stream())
            {
                test_from = test_from.or(Some(line));
            }
            if is_word(&tree, "mod") {
                self.note_module(trees.peek(), test_from.is_some());
            }
            let here = Place {
                test: place.test || test_from.is_some(),
                ..place
            };
            let end = tree.span().end().line;
            let ends_item = ends_item(&tree);
            self.push(tree, here);
            if ends_item && let Some(from) = test_from.take() {
                self.test_lines.extend(from..=end);
            }
        }
    }

    fn push(&mut self, tree: TokenTree, place: Place) {
        match tree {
            TokenTree::Group(group) => self.push_group(&group, place),
            other => {
                let line = other.span().start().line;
                self.push_text(other.to_string(), line, place);
            }
        }
    }

    fn push_group(&mut self, group: &Group, place: Place) {
        let (open, close) = match group.delimiter() {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Brace => ("{", "}"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::None => ("", ""),
        };
        let is_module = group.delimiter() == Delimiter::Brace && self.last_words_are_a_module();
        let inside = Place {
            depth: place.depth + usize::from(is_module),
            ..place
        };
        self.push_text(open.to_owned(), group.span_open().start().line, place);
        self.flatten(group.stream(), inside);
        self.push_text(close.to_owned(), group.span_close().start().line, place);
    }

    fn push_text(&mut self, text: String, line: usize, place: Place) {
        self.tokens.push(Token {
            text,
            line,
            test: place.test,
            depth: place.depth,
        });
    }

    fn last_words_are_a_module(&self) -> bool {
        matches!(self.tokens.as_slice(), [.., word, _name] if word.text == "mod")
    }

    fn note_module(&mut self, name: Option<&TokenTree>, test: bool) {
        if let Some(TokenTree::Ident(name)) = name
            && test
        {
            self.test_modules.push(name.to_string());
        }
    }

    /// The folder in which this file's modules live.
    fn module_folder(&self) -> PathBuf {
        let stem = self.path.file_stem().unwrap_or_default();
        let parent = self.path.parent().unwrap_or(Path::new(""));
        let is_menu = stem == "mod" || stem == "lib" || stem == "main";
        if is_menu {
            parent.to_owned()
        } else {
            parent.join(stem)
        }
    }
}

/// Marks the files that some other file declares under `#[cfg(test)]`.
pub(super) fn mark_test_modules(sources: &mut [Source]) {
    let declared: Vec<PathBuf> = sources
        .iter()
        .flat_map(|source| {
            source
                .test_modules
                .iter()
                .map(|name| source.module_folder().join(name))
        })
        .collect();
    for source in sources {
        source.is_test |= declared.iter().any(|module| {
            source.path == module.with_extension("rs") || source.path.starts_with(module)
        });
    }
}

/// Files that are tests by where they are: `tests/`, `foo/tests.rs`.
fn is_test_path(path: &Path) -> bool {
    let in_guests = path.components().any(|part| part.as_os_str() == "guests");
    let in_tests = path.components().any(|part| part.as_os_str() == "tests");
    (in_tests && !in_guests) || path.file_name().is_some_and(|name| name == "tests.rs")
}

/// The bracket group of `#[…]`, when `tree` is its `#`.
fn attribute_after<I: Iterator<Item = TokenTree>>(
    tree: &TokenTree,
    rest: &mut Peekable<I>,
) -> Option<TokenTree> {
    let is_hash = matches!(tree, TokenTree::Punct(punct) if punct.as_char() == '#');
    let next = rest.peek().filter(|_| is_hash)?;
    matches!(next, TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket)
        .then(|| next.clone())
}

/// `#[cfg(test)]`, `#[cfg(all(test, …))]`, `#[test]`, `#[tokio::test]`; not `#[cfg(not(test))]`.
fn is_test_attribute(attribute: TokenStream) -> bool {
    let text = attribute.to_string().replace(' ', "");
    let is_cfg = text.starts_with("cfg(") && !text.contains("not(test") && !text.contains('"');
    let names_test = text
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|word| word == "test");
    let path = text.split('(').next().unwrap_or_default();
    (is_cfg && names_test) || path == "test" || path.ends_with("::test")
}

/// A brace group or a semicolon closes the item before it.
fn ends_item(tree: &TokenTree) -> bool {
    match tree {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        _ => false,
    }
}

fn is_word(tree: &TokenTree, word: &str) -> bool {
    matches!(tree, TokenTree::Ident(ident) if ident == word)
}

/// A source from a text, for the tests of the rules.
#[cfg(test)]
pub(super) fn sample(path: &str, text: &str) -> Source {
    Source::new(Path::new(path), text).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_test(source: &Source, word: &str) -> bool {
        source.is_test(
            source
                .tokens
                .iter()
                .find(|token| token.text == word)
                .unwrap(),
        )
    }

    #[test]
    fn items_that_only_tests_compile_are_known() {
        let text = "fn real() {}\n#[cfg(test)]\nmod tests {\n    fn helper() {}\n}\nfn after() {}\n#[cfg(not(test))]\nfn shipped() {}\n";
        let source = sample("src/a.rs", text);
        assert!(
            !is_test(&source, "real") && !is_test(&source, "after") && !is_test(&source, "shipped")
        );
        assert!(is_test(&source, "helper"));
        assert_eq!(source.lines_without_tests(), 4);
    }

    #[test]
    fn a_test_use_does_not_make_the_next_item_a_test() {
        let source = sample("src/a.rs", "#[cfg(test)]\nuse a::{b, c};\nfn real() {}\n");
        assert!(is_test(&source, "b") && !is_test(&source, "real"));
    }

    #[test]
    fn strings_and_comments_are_not_code() {
        let source = sample(
            "src/a.rs",
            "// mod x { crate::y }\nconst A: &str = r#\"crate::z { \"#;\n",
        );
        assert!(!source.tokens.iter().any(|token| token.text == "crate"));
    }

    #[test]
    fn a_test_module_in_a_file_of_its_own_is_marked() {
        let parent = sample("src/store/mod.rs", "#[cfg(test)]\nmod conformance;\n");
        let mut sources = [
            parent,
            sample("src/store/conformance.rs", ""),
            sample("src/store/memory.rs", ""),
        ];
        mark_test_modules(&mut sources);
        assert_eq!(sources.map(|source| source.is_test), [false, true, false]);
    }

    #[test]
    fn test_folders_are_tests_but_guests_are_programs() {
        assert!(is_test_path(Path::new("crates/a/tests/http.rs")));
        assert!(is_test_path(Path::new("crates/a/src/plan/tests.rs")));
        assert!(!is_test_path(Path::new(
            "crates/a/tests/guests/hello/src/lib.rs"
        )));
    }

    #[test]
    fn inline_modules_are_counted() {
        let source = sample("src/a.rs", "mod a { mod b { fn deep() {} } }");
        let deep = source
            .tokens
            .iter()
            .find(|token| token.text == "deep")
            .unwrap();
        assert_eq!(deep.depth, 2);
    }
}
