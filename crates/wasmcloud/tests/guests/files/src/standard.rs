//! The same through the standard library, as ordinary programs do it: paths are whole.

use std::fs;
use std::io::{self, Write as _};

/// Runs a script of the standard library's operations.
pub fn with_std(script: &str) -> String {
    let mut lines = String::new();
    for command in script.split(';').filter(|command| !command.is_empty()) {
        let arguments: Vec<&str> = command.split(',').collect();
        let line = command_of(&arguments).unwrap_or_else(|error| told(&error));
        lines.push_str(&line);
        lines.push('\n');
    }
    lines
}

/// The kind of an error; its text where the library knows no kind for it.
fn told(error: &io::Error) -> String {
    match format!("{:?}", error.kind()).as_str() {
        "Uncategorized" => error.to_string(),
        kind => kind.to_owned(),
    }
}

fn command_of(arguments: &[&str]) -> io::Result<String> {
    let done = |()| "ok".to_owned();
    match *arguments {
        ["write", path, text] => fs::write(path, text).map(done),
        ["append", path, text] => {
            let mut file = fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)?;
            file.write_all(text.as_bytes()).map(done)
        }
        ["read", path] => fs::read_to_string(path),
        ["mkdir", path] => fs::create_dir_all(path).map(done),
        ["rename", path, to] => fs::rename(path, to).map(done),
        ["remove", path] => fs::remove_dir_all(path).map(done),
        ["size", path] => Ok(fs::metadata(path)?.len().to_string()),
        ["list", path] => {
            let entries = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name()));
            let names: io::Result<Vec<_>> = entries.collect();
            let names = names?.into_iter().map(|name| name.into_string());
            let mut names: Vec<String> = names.map(Result::unwrap_or_default).collect();
            names.sort();
            Ok(names.join(","))
        }
        ["big", path, mib] => {
            let mib: usize = mib.parse().map_err(io::Error::other)?;
            fs::write(path, vec![b'x'; mib << 20]).map(done)
        }
        _ => Ok(format!("no such command: {arguments:?}")),
    }
}
