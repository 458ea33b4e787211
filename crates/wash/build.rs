//! Puts the example projects into the program, so that `wash new` works without a network.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The examples that are templates, the one to start from first.
const TEMPLATES: [&str; 8] = [
    "http-hello",
    "http-hello-p3",
    "http-chain",
    "http-middleware",
    "tcp-echo",
    "tcp-leet",
    "connection-pool",
    "cron",
];
/// What tools put into a project.
const OUTPUT: [&str; 3] = ["target", "build", ".wash"];

fn main() -> Result<(), Box<dyn Error>> {
    let here =
        PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?);
    let examples = here.join("../../examples");
    let mut table = String::from("pub(super) const TEMPLATES: &[Template] = &[\n");
    for name in TEMPLATES {
        let folder = examples.join(name);
        if !folder.join("Cargo.toml").is_file() {
            let folder = folder.display();
            return Err(format!("the templates of `wash new` are missing: {folder} is no project; build wash inside its repository").into());
        }
        let folder = folder.canonicalize()?;
        writeln!(table, "    Template {{ name: {name:?}, files: &[")?;
        let mut files = Vec::new();
        collect(&folder, &folder, &mut files)?;
        files.sort();
        for file in files {
            let path = folder.join(&file);
            let file = file
                .to_str()
                .ok_or("a template has a file name that is not UTF-8")?;
            writeln!(
                table,
                "        File {{ path: {file:?}, bytes: include_bytes!({path:?}) }},"
            )?;
        }
        table.push_str("    ] },\n");
    }
    table.push_str("];\n");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    fs::write(out.join("templates.rs"), table)?;
    Ok(())
}

/// All files of a project, relative to it. Cargo is told to look at them again, and at the folders inside the project; not at the
/// project's own folder, in which builds leave their output.
fn collect(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    if folder != root {
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_file() {
            println!("cargo::rerun-if-changed={}", path.display());
            files.push(path.strip_prefix(root)?.to_owned());
        } else if !OUTPUT.iter().any(|name| entry.file_name() == *name) {
            collect(root, &path, files)?;
        }
    }
    Ok(())
}
