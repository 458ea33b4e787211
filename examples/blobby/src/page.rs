//! The page, and the names in addresses. None of it touches anything outside itself.

/// Where files are.
const FILES: &str = "/files/";

/// The page with all files.
pub(crate) fn index(files: &[(String, u64)]) -> String {
    let rows: String = files.iter().map(|(name, size)| row(name, *size)).collect();
    include_str!("index.html").replace("{{files}}", &rows)
}

fn row(name: &str, size: u64) -> String {
    let (at, name) = (format!("{FILES}{}", encoded(name)), escaped(name));
    format!(
        "<tr><td><a href=\"{at}\" download>{name}</a></td><td>{size} bytes</td>\
         <td><button data-delete=\"{at}\">Delete</button></td></tr>\n"
    )
}

/// Names are whatever somebody gave, so none is believed to be harmless.
fn escaped(text: &str) -> String {
    let escaped = text.chars().map(|c| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        c => c.to_string(),
    });
    escaped.collect()
}

fn encoded(name: &str) -> String {
    let encoded = name.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}

/// The name of the file that an address is for.
pub(crate) fn name_of(path: &str) -> Option<String> {
    let mut bytes = path.strip_prefix(FILES)?.bytes();
    let mut name = Vec::new();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                let digits = str::from_utf8(&digits).ok()?;
                name.push(u8::from_str_radix(digits, 16).ok()?);
            }
            _ => name.push(byte),
        }
    }
    String::from_utf8(name).ok().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_its_address() {
        for name in ["a.txt", "../a b", "Ä/%2f", "<script>"] {
            let path = format!("{FILES}{}", encoded(name));
            assert_eq!(name_of(&path).as_deref(), Some(name), "{path}");
        }
        for none in ["/", "/files/", "/files/%2", "/files/%ff", "/other/a"] {
            assert_eq!(name_of(none), None, "{none}");
        }
    }

    #[test]
    fn a_name_is_shown_and_not_run() {
        let page = index(&[("<script>\"".to_owned(), 7)]);
        assert!(page.contains("&lt;script&gt;&quot;</a></td><td>7 bytes"));
        assert!(page.contains("href=\"/files/%3Cscript%3E%22\""));
    }
}
