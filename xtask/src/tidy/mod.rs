//! `cargo xtask tidy`: the house rules that a compiler does not know, each in a file of its own.
//! The same checks run as a test, so that `cargo test` fails on an untidy repository.

mod arrows;
mod budgets;
mod exceptions;
mod headers;
mod links;
mod majors;
mod map;
mod sleeps;
mod source;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::shell::{root, say};
use exceptions::{EXCEPTIONS, Exception};
use source::Source;

/// A house rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Modules use only what lies below them.
    Arrows,
    /// Files and functions stay small.
    Budgets,
    /// Every file says what it is for.
    Headers,
    /// Every module is on the map.
    Map,
    /// Tests wait for things, not for time.
    Sleeps,
    /// Links in the documents lead somewhere.
    Links,
    /// One major of each library we chose.
    Majors,
}

/// A place that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    rule: Rule,
    /// Relative to the repository.
    path: PathBuf,
    /// Counted from 1; 0 is the whole file.
    line: usize,
    /// What an entry in the table of exceptions calls this place.
    key: String,
    /// What was found, and what to do.
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(
            f,
            ": {} [{}]",
            self.message,
            format!("{:?}", self.rule).to_lowercase()
        )
    }
}

/// What tidy has to say about a repository.
struct Report {
    findings: Vec<Finding>,
    /// Not wrong yet, worth knowing.
    warnings: Vec<String>,
}

/// The command: prints warnings and findings, and fails when there is a finding.
pub(crate) fn run() -> anyhow::Result<()> {
    let report = check(&root()?)?;
    for warning in &report.warnings {
        say(&format!("warning: {warning}"));
    }
    for finding in &report.findings {
        say(&finding.to_string());
    }
    match report.findings.len() {
        0 => say("tidy"),
        1 => bail!("1 finding"),
        count => bail!("{count} findings"),
    }
    Ok(())
}

/// Applies every rule to the repository.
fn check(root: &Path) -> anyhow::Result<Report> {
    let files = files(root)?;
    let sources = sources(root, &files)?;
    let mut findings = Vec::new();
    for source in &sources {
        findings.extend(arrows::check(source));
        findings.extend(budgets::check(source));
        findings.extend(headers::check(source));
        findings.extend(sleeps::check(source));
    }
    for path in files
        .iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "md"))
    {
        findings.extend(links::check(path, &read(root, path)?, |target| {
            root.join(target).exists()
        }));
    }
    let architecture = read(root, Path::new(map::PAGE))?;
    findings.extend(map::check(&architecture, &files));
    let manifest = read(root, Path::new("Cargo.toml"))?;
    findings.extend(majors::check(
        &manifest,
        &read(root, Path::new("Cargo.lock"))?,
    ));
    let findings = apply(EXCEPTIONS, findings);
    Ok(Report {
        findings,
        warnings: budgets::warnings(&sources),
    })
}

/// Takes out what is excepted; an exception that excepts nothing is a finding itself.
fn apply(exceptions: &[Exception], findings: Vec<Finding>) -> Vec<Finding> {
    let covers = |exception: &Exception, finding: &Finding| {
        exception.rule == finding.rule && exception.at == finding.key
    };
    let stale = exceptions
        .iter()
        .filter(|exception| !findings.iter().any(|finding| covers(exception, finding)));
    let stale: Vec<_> = stale.map(Exception::is_stale).collect();
    let open = findings.into_iter().filter(|finding| {
        !exceptions
            .iter()
            .any(|exception| covers(exception, finding))
    });
    open.chain(stale).collect()
}

/// All files of the repository, relative to it and in order, without what tools put there.
fn files(root: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(root.join(&folder))
            .with_context(|| format!("{} cannot be read", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let path = folder.join(&name);
            let kind = entry.file_type()?;
            if kind.is_dir() && !is_output(&name.to_string_lossy()) {
                folders.push(path);
            } else if kind.is_file() {
                files.insert(path);
            }
        }
    }
    Ok(files)
}

/// Folders that tools fill.
fn is_output(name: &str) -> bool {
    name == "target" || name == "node_modules" || (name.starts_with('.') && name != ".ci")
}

/// Lexes every Rust file, and marks those that another file declares as a test module.
fn sources(root: &Path, files: &BTreeSet<PathBuf>) -> anyhow::Result<Vec<Source>> {
    let rust = files
        .iter()
        .filter(|path| path.extension().is_some_and(|ext| ext == "rs"));
    let sources = rust.map(|path| Source::new(path, &read(root, path)?));
    let mut sources = sources.collect::<anyhow::Result<Vec<_>>>()?;
    source::mark_test_modules(&mut sources);
    Ok(sources)
}

fn read(root: &Path, path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(root.join(path))
        .with_context(|| format!("{} cannot be read", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let report = check(&root().unwrap()).unwrap();
        let findings: Vec<_> = report.findings.iter().map(Finding::to_string).collect();
        assert!(
            findings.is_empty(),
            "run `cargo xtask tidy`:\n{}",
            findings.join("\n")
        );
    }

    fn finding(key: &str) -> Finding {
        let message = "too long".to_owned();
        Finding {
            rule: Rule::Budgets,
            path: "a.rs".into(),
            line: 3,
            key: key.to_owned(),
            message,
        }
    }

    #[test]
    fn an_exception_covers_its_own_place_only() {
        let exceptions = [Exception {
            rule: Rule::Budgets,
            at: "a.rs",
            reason: "a list",
        }];
        assert_eq!(
            apply(&exceptions, vec![finding("a.rs"), finding("b.rs")]),
            [finding("b.rs")]
        );
    }

    #[test]
    fn an_exception_without_a_use_is_a_finding() {
        let exceptions = [Exception {
            rule: Rule::Links,
            at: "a.rs",
            reason: "a list",
        }];
        let findings = apply(&exceptions, vec![finding("a.rs")]);
        assert_eq!(findings.len(), 2);
        assert!(
            findings[1].message.contains("no longer needed"),
            "{}",
            findings[1]
        );
    }

    #[test]
    fn a_finding_reads_like_a_compiler_message() {
        assert_eq!(finding("a.rs").to_string(), "a.rs:3: too long [budgets]");
    }

    #[test]
    fn build_output_and_hidden_folders_are_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            "src/a.rs",
            "target/debug/b.rs",
            ".git/c.rs",
            "examples/x/target/d.rs",
            ".ci/run",
        ] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = files(folder.path()).unwrap();
        assert_eq!(
            found,
            BTreeSet::from([PathBuf::from(".ci/run"), PathBuf::from("src/a.rs")])
        );
    }
}
