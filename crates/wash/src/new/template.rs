//! The templates: the example projects, as they were when the program was built.

use std::borrow::Cow;

include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// A project to start from.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) name: &'static str,
    pub(super) files: &'static [File],
}

/// A file of a template.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: &'static str,
    pub(super) bytes: &'static [u8],
}

/// A file as it is written for a project.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) path: &'static str,
    pub(super) bytes: Cow<'static, [u8]>,
}

impl Template {
    /// The text of one of its files.
    pub(super) fn text(&self, path: &str) -> Option<&'static str> {
        let file = self.files.iter().find(|file| file.path == path)?;
        std::str::from_utf8(file.bytes).ok()
    }

    /// The first sentence of its README.
    pub(super) fn summary(&self) -> String {
        let lines = self.text("README.md").unwrap_or_default().lines();
        let paragraph = lines
            .skip_while(|line| line.is_empty() || line.starts_with('#'))
            .take_while(|line| !line.is_empty());
        let paragraph = paragraph.collect::<Vec<_>>().join(" ");
        let end = paragraph.find(". ").unwrap_or(paragraph.len());
        paragraph
            .get(..end)
            .unwrap_or_default()
            .trim_end_matches('.')
            .to_owned()
    }

    /// Its files for a project called `name`.
    pub(super) fn files_for(&self, name: &str) -> Vec<Written> {
        let files = self.files.iter();
        files
            .map(|file| Written {
                path: file.path,
                bytes: self.rename(file, name),
            })
            .collect()
    }

    /// The file with the project's own name in place of the template's, where it is the project that is named.
    fn rename(&self, file: &File, name: &str) -> Cow<'static, [u8]> {
        let old = self.name;
        let places: [(String, String); 2] = match file.path {
            "Cargo.toml" | "Cargo.lock" => [
                (
                    format!("name = \"{old}\"\n"),
                    format!("name = \"{name}\"\n"),
                ),
                Default::default(),
            ],
            "workload.yaml" => [
                (format!("  name: {old}\n"), format!("  name: {name}\n")),
                (
                    format!("./build/{old}.wasm\n"),
                    format!("./build/{name}.wasm\n"),
                ),
            ],
            "README.md" => [
                (format!("# {old}\n"), format!("# {name}\n")),
                Default::default(),
            ],
            _ => return file.bytes.into(),
        };
        let Ok(text) = std::str::from_utf8(file.bytes) else {
            return file.bytes.into();
        };
        let mut text = text.to_owned();
        for (from, to) in places.iter().filter(|(from, _)| !from.is_empty()) {
            text = text.replace(from, to);
        }
        text.into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(template: &str, path: &str, name: &str) -> String {
        let template = TEMPLATES.iter().find(|one| one.name == template).unwrap();
        let file = template
            .files_for(name)
            .into_iter()
            .find(|file| file.path == path)
            .unwrap();
        String::from_utf8(file.bytes.into_owned()).unwrap()
    }

    #[test]
    fn every_template_is_whole_and_says_what_it_is() {
        for template in TEMPLATES {
            assert!(!template.summary().is_empty(), "{}", template.name);
            for needed in [
                "Cargo.toml",
                "Cargo.lock",
                "README.md",
                "workload.yaml",
                ".gitignore",
            ] {
                assert!(
                    template.files.iter().any(|file| file.path == needed),
                    "{}: {needed}",
                    template.name
                );
            }
            let output = |file: &File| {
                file.path.starts_with("target/")
                    || file.path.starts_with("build/")
                    || file.path.starts_with(".wash")
            };
            assert!(!template.files.iter().any(output), "{}", template.name);
        }
    }

    #[test]
    fn the_project_gets_its_own_name_everywhere() {
        assert!(
            written("http-hello", "Cargo.toml", "shop").contains("[package]\nname = \"shop\"\n")
        );
        assert!(written("http-hello", "Cargo.lock", "shop").contains("name = \"shop\"\n"));
        assert!(written("http-hello", "README.md", "shop").starts_with("# shop\n"));
        let manifest = written("http-hello", "workload.yaml", "shop");
        assert!(
            manifest.contains("  name: shop\n") && manifest.contains("image: ./build/shop.wasm\n"),
            "{manifest}"
        );
    }

    #[test]
    fn a_project_of_several_packages_keeps_their_names() {
        let manifest = written("http-chain", "workload.yaml", "shop");
        assert!(
            manifest.contains("  name: shop\n") && manifest.contains("image: ./build/front.wasm\n"),
            "{manifest}"
        );
        assert!(written("http-chain", "front/Cargo.toml", "shop").contains("name = \"front\""));
    }
}
