//! Finds the packages that a text of WIT names, and changes those places without touching the rest.
//!
//! This reads words, not the language: what it changed is parsed before it is written.

use std::ops::Range;

use wasm_pkg_common::package::{PackageRef, Version};

/// A package that is named somewhere in a text.
#[derive(Clone, Debug)]
pub(super) struct Mention {
    pub(super) package: PackageRef,
    pub(super) version: Option<Version>,
    /// Where the version stands, without `@`.
    version_at: Range<usize>,
    /// The whole statement, if it is one of a world that can be taken out.
    statement: Option<Range<usize>>,
}

/// A world of a text.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) name: String,
    /// Behind its `{`.
    open: usize,
    /// Behind the last `import` or `include` of it.
    after: Option<usize>,
    /// Its `}`.
    close: usize,
    /// How its first line is indented.
    indent: String,
}

/// What a text names.
#[derive(Clone, Debug, Default)]
pub(super) struct Scan {
    pub(super) mentions: Vec<Mention>,
    pub(super) worlds: Vec<World>,
}

/// Looks through a text.
pub(super) fn scan(text: &str) -> Scan {
    let mut scanner = Scanner {
        text,
        scan: Scan::default(),
        open: Vec::new(),
        words: Vec::new(),
    };
    for token in tokens(text) {
        scanner.take(token);
    }
    scanner.scan
}

/// Whether a world has a statement of two words, such as `import a:b/c@1.0.0`.
pub(super) fn has(text: &str, world: &str, statement: &str) -> bool {
    let found = scan(text).worlds.into_iter().find(|it| it.name == world);
    let Some((keyword, name)) = statement.split_once(' ').filter(|_| found.is_some()) else {
        return false;
    };
    let within = found.map_or(0..0, |it| it.open..it.close);
    let inside = tokens(text)
        .into_iter()
        .filter(|it| within.contains(&it.at));
    let words: Vec<&str> = inside.map(|it| it.text).collect();
    words.windows(2).any(|pair| pair == [keyword, name])
}

/// Puts a statement such as `import a:b/c@1.0.0;` into a world.
pub(super) fn insert(text: &str, world: &World, statement: &str) -> String {
    let inner = format!("{}  ", world.indent);
    let at = world.after.unwrap_or(world.open);
    let (before, after) = (slice(text, 0..at), slice(text, at..text.len()));
    // A world on one line gets its end on a line of its own.
    let closing = if slice(text, at..world.close).contains('\n') {
        String::new()
    } else {
        format!("\n{}", world.indent)
    };
    let after = if closing.is_empty() {
        after
    } else {
        after.trim_start()
    };
    format!("{before}\n{inner}{statement}{closing}{after}")
}

/// Takes the statements out that name a package in worlds; how many there were.
pub(super) fn remove(
    text: &str,
    package: &PackageRef,
    version: Option<&Version>,
) -> (String, usize) {
    let mut statements: Vec<Range<usize>> = scan(text)
        .mentions
        .into_iter()
        .filter(|it| {
            it.package == *package && (version.is_none() || it.version.as_ref() == version)
        })
        .filter_map(|it| it.statement)
        .collect();
    statements.dedup();
    let count = statements.len();
    let mut changed = text.to_owned();
    for statement in statements.into_iter().rev() {
        changed.replace_range(with_line(text, statement), "");
    }
    (changed, count)
}

/// Writes another version wherever a package is named with this one.
pub(super) fn reversion(text: &str, package: &PackageRef, from: &Version, to: &Version) -> String {
    let mentions = scan(text).mentions.into_iter().rev();
    let mut changed = text.to_owned();
    for mention in mentions.filter(|it| it.package == *package && it.version.as_ref() == Some(from))
    {
        changed.replace_range(mention.version_at, &to.to_string());
    }
    changed
}

/// The statement with the documentation and gates above it, and the rest of its line if nothing else is on it.
fn with_line(text: &str, statement: Range<usize>) -> Range<usize> {
    let line_of = |at: usize| slice(text, 0..at).rfind('\n').map_or(0, |it| it + 1);
    let mut start = line_of(statement.start);
    let end = slice(text, statement.end..text.len());
    let rest = end.find('\n').map_or(end, |it| slice(end, 0..it));
    let alone = rest.trim().is_empty() || rest.trim().starts_with("//");
    if !alone || !slice(text, start..statement.start).trim().is_empty() {
        return statement;
    }
    while start > 0 {
        let above = line_of(start - 1);
        let line = slice(text, above..start).trim();
        if !(line.starts_with("///") || line.starts_with('@')) {
            break;
        }
        start = above;
    }
    start..(statement.end + rest.len() + 1).min(text.len())
}

fn slice(text: &str, range: Range<usize>) -> &str {
    text.get(range).unwrap_or_default()
}

/// A word, or one of `{`, `}` and `;`.
struct Token<'a> {
    text: &'a str,
    at: usize,
}

/// The words of a text without comments. A name of a package with version and all is one word.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = slice(text, at..text.len()).chars().next() {
        let rest = slice(text, at..text.len());
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment(rest)
        } else if word(c) {
            let length = rest.find(|c| !word(c)).unwrap_or(rest.len());
            // A comment may follow a word without a space.
            let length = rest.find("//").map_or(length, |it| it.min(length));
            let length = rest.find("/*").map_or(length, |it| it.min(length)).max(1);
            found.push(Token {
                text: slice(rest, 0..length),
                at,
            });
            length
        } else {
            if "{};".contains(c) {
                found.push(Token {
                    text: slice(rest, 0..1),
                    at,
                });
            }
            c.len_utf8()
        };
        at += length;
    }
    found
}

fn word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_:/@.+%".contains(c)
}

/// How long a comment is that begins here. They may be nested.
fn comment(text: &str) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while at < text.len() {
        let rest = slice(text, at..text.len());
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth = depth.saturating_sub(1);
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// What a `{` has opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    World,
    /// The names of a `use` or `include` of a world, which belong to its statement.
    Names,
    Other,
}

struct Scanner<'a> {
    text: &'a str,
    scan: Scan,
    open: Vec<Block>,
    /// Those of the statement that is being read, with their places.
    words: Vec<(&'a str, usize)>,
}

impl<'a> Scanner<'a> {
    fn take(&mut self, token: Token<'a>) {
        match token.text {
            "{" => self.opened(token.at),
            "}" => self.closed(token.at),
            ";" => self.ended(token.at + 1),
            text => self.words.push((text, token.at)),
        }
    }

    fn in_world(&self) -> bool {
        self.open == [Block::World]
    }

    /// Whether the statement that is being read has this word.
    fn says(&self, keyword: &str) -> bool {
        self.words.iter().any(|(word, _)| *word == keyword)
    }

    fn opened(&mut self, at: usize) {
        if self.in_world() && (self.says("use") || self.says("include")) {
            self.open.push(Block::Names);
            return;
        }
        let block = self.world(at).map_or(Block::Other, |world| {
            self.scan.worlds.push(world);
            Block::World
        });
        self.mention(None);
        self.words.clear();
        self.open.push(block);
    }

    /// The world that is opened here, if one is.
    fn world(&self, at: usize) -> Option<World> {
        let [.., ("world", start), (name, _)] = self.words.as_slice() else {
            return None;
        };
        let line = slice(self.text, 0..*start).rsplit('\n').next()?;
        self.open.is_empty().then(|| World {
            name: name.trim_start_matches('%').to_owned(),
            open: at + 1,
            after: None,
            close: self.text.len(),
            indent: line.chars().take_while(|c| c.is_whitespace()).collect(),
        })
    }

    fn closed(&mut self, at: usize) {
        match self.open.pop() {
            // An `include … with { … }` ends without a semicolon.
            Some(Block::Names) if self.says("include") => self.ended(at + 1),
            Some(Block::Names) => {}
            Some(Block::World) => {
                if let Some(world) = self.scan.worlds.last_mut() {
                    world.close = at;
                }
                self.words.clear();
            }
            Some(Block::Other) | None => self.words.clear(),
        }
    }

    fn ended(&mut self, end: usize) {
        let keyword = self
            .words
            .iter()
            .position(|(word, _)| KEYWORDS.contains(word));
        let start = keyword.and_then(|it| self.words.get(it)).copied();
        let statement = start.filter(|_| self.in_world()).map(|(_, at)| at..end);
        let import = start.is_some_and(|(word, _)| word != "export");
        if let (true, Some(_), Some(world)) = (import, &statement, self.scan.worlds.last_mut()) {
            world.after = Some(end);
        }
        self.mention(statement);
        self.words.clear();
    }

    fn mention(&mut self, statement: Option<Range<usize>>) {
        for (word, at) in &self.words {
            if let Some(mut mention) = read(word, *at) {
                mention.statement.clone_from(&statement);
                self.scan.mentions.push(mention);
            }
        }
    }
}

/// What begins a statement of a world that may name a package.
const KEYWORDS: [&str; 3] = ["import", "export", "include"];

/// Reads `namespace:package/item[@version]`; the dot before the braces of a `use` may follow.
fn read(word: &str, at: usize) -> Option<Mention> {
    let (name, version) = match word.split_once('@') {
        Some((name, version)) => (name, Some(version.trim_end_matches('.'))),
        None => (word, None),
    };
    let (package, _) = name.split_once('/')?;
    let start = at + name.len() + 1;
    Some(Mention {
        package: package.replace('%', "").parse().ok()?,
        version_at: start..start + version.map_or(0, str::len),
        version: match version {
            Some(version) => Some(version.parse().ok()?),
            None => None,
        },
        statement: None,
    })
}

#[cfg(test)]
mod tests;
