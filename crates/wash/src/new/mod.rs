//! `wash new`: a project from a template that is part of the program.

mod names;
mod template;

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};
use wasmcloud::workload::nearest;

use crate::cli::NewArgs;
use crate::failure::Failure;
use crate::ui::{Ui, count, table};
use template::{TEMPLATES, Template};

pub(crate) fn run(args: &NewArgs, ui: &Ui) -> Result<(), Failure> {
    match &args.name {
        Some(name) => create(name, &args.template, ui),
        None => list(ui),
    }
}

fn list(ui: &Ui) -> Result<(), Failure> {
    let value = || {
        let templates = TEMPLATES
            .iter()
            .map(|template| json!({"name": template.name, "summary": template.summary()}));
        json!({"templates": templates.collect::<Vec<Value>>()})
    };
    let text = || {
        let rows = TEMPLATES
            .iter()
            .map(|template| vec![template.name.to_owned(), template.summary()]);
        table(&rows.collect::<Vec<_>>())
    };
    ui.result(value, text)
}

fn create(name: &str, template: &str, ui: &Ui) -> Result<(), Failure> {
    let template = find(template)?;
    names::check(name, template)?;
    let folder = Path::new(name);
    let files = template.files_for(name);
    write(folder, &files).map_err(|error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists => {
            Failure::new(format!("the folder `{name}` exists and is not empty"))
                .hint("choose another name, or move what is in it away")
        }
        io::ErrorKind::NotADirectory => {
            Failure::new(format!("`{name}` exists and is not a folder"))
                .hint("choose another name, or move it away")
        }
        _ => Failure::io("cannot make the project", format_args!("`{name}`"), &error),
    })?;
    let paths = || files.iter().map(|file| file.path).collect::<Vec<_>>();
    ui.result(
        || json!({"name": name, "template": template.name, "path": name, "files": paths()}),
        || {
            format!(
                "created {name} from {} ({})",
                template.name,
                count(files.len(), "file")
            )
        },
    )?;
    if !ui.is_json() {
        ui.say(format_args!("\nnext:\n  wash dev {name}          build it, serve it, reload it when you save\n  cat {name}/README.md     what is in it"));
    }
    Ok(())
}

fn find(name: &str) -> Result<&'static Template, Failure> {
    let known = || TEMPLATES.iter().map(|template| template.name);
    TEMPLATES
        .iter()
        .find(|template| template.name == name)
        .ok_or_else(|| {
            let list = known()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ");
            let hint = match nearest(name, known()) {
                Some(near) => format!("did you mean `{near}`? there are {list}"),
                None => format!("there are {list}"),
            };
            Failure::usage(format!("there is no template `{name}`")).hint(hint)
        })
}

/// Makes the folder with all files or, on an error, leaves everything as it was.
fn write(folder: &Path, files: &[template::Written]) -> io::Result<()> {
    if folder
        .symlink_metadata()
        .is_ok_and(|metadata| !metadata.is_dir())
    {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    if folder
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some())
    {
        return Err(io::ErrorKind::DirectoryNotEmpty.into());
    }
    let parent = folder
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let temporary = tempfile::Builder::new()
        .prefix(".wash-new-")
        .tempdir_in(parent)?;
    let project = temporary.path().join("project");
    for file in files {
        let path = project.join(file.path);
        fs::create_dir_all(path.parent().unwrap_or(&project))?;
        fs::write(&path, &file.bytes)?;
    }
    // Takes the place of an empty folder and fails where somebody has just put something into it.
    fs::rename(&project, folder)
}
