//! Reads files of a bounded size and writes files so that readers see all of one or nothing.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use wasmcloud::workload::Diagnostic;

/// Reads a file that has at most so many bytes.
pub(super) fn read(file: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(file)?;
    read.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= most) {
        return Ok(bytes);
    }
    let message = format!("it has more than {most} bytes, which are the most that are read");
    Err(io::Error::new(io::ErrorKind::InvalidData, message))
}

/// Reads a text that has at most so many bytes.
pub(super) fn read_text(file: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read(file, most)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8 text"))
}

/// Writes a file, whole or not at all. Its folder is made if it is missing.
pub(super) fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut temporary = builder.prefix(".new-").tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.persist(file).map_err(|error| error.error)?;
    Ok(())
}

/// What is wrong with a text of TOML, and where.
pub(super) fn toml_problem(error: &toml::de::Error, text: &str, file: &Path) -> Diagnostic {
    let message = error.message().trim().replace('\n', ", ");
    let problem = Diagnostic::new(message)
        .in_file(Arc::<Path>::from(file))
        .with_source(text);
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return problem;
    };
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |it| it.chars().count())
        + 1;
    problem.at(number(line), number(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("below/it");
        replace(&file, b"12345").unwrap();
        assert_eq!(read(&file, 5).unwrap(), b"12345");
        assert!(
            read(&file, 4)
                .unwrap_err()
                .to_string()
                .contains("more than 4 bytes")
        );
        assert_eq!(file.parent().unwrap().read_dir().unwrap().count(), 1);
    }
}
