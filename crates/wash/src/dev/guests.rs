//! What comes out of the host while it serves: a line for each request, and the lines that guests write.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmcloud::capability::http::{AccessLog, AccessRecord};
use wasmcloud::plugin::{GuestLine, GuestOutput, Source};
use wasmcloud::workload::WorkloadId;

use super::events::{Event, Reporter};
use crate::ui::{duration, printable};

/// A text of a guest that has more bytes is cut off.
const LONGEST_TEXT: usize = 8 << 10;

/// Hands what the host tells to the reporter.
#[derive(Clone)]
pub(super) struct Guests {
    reporter: Reporter,
    several: Arc<AtomicBool>,
}

impl Guests {
    pub(super) fn new(reporter: Reporter) -> Self {
        Self {
            reporter,
            several: Arc::default(),
        }
    }

    /// Whether lines must name the workload because there are several.
    pub(super) fn name_workloads(&self, several: bool) {
        self.several.store(several, Ordering::Relaxed);
    }
}

impl GuestOutput for Guests {
    fn line(&self, line: GuestLine<'_>) {
        let (context, words) = (cut(line.context), cut(line.text));
        let event = Event::Log {
            workload: line.workload.to_string(),
            component: line.component.to_string(),
            source: line.source.to_string(),
            context: context.clone().into_owned(),
            text: words.clone().into_owned(),
        };
        let line = GuestLine {
            context: &context,
            text: &words,
            ..line
        };
        self.reporter
            .frequent(&event, || text(&line, self.several.load(Ordering::Relaxed)));
    }
}

/// A text that is not too long.
fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST_TEXT {
        return Cow::Borrowed(text);
    }
    let (kept, _) = text.split_at(text.floor_char_boundary(LONGEST_TEXT));
    Cow::Owned(format!("{kept}…"))
}

/// What a guest wrote, for people: labelled with the component, and with the workload where there are several. So is each further
/// line of a message, or it could pass for what another component wrote.
fn text(line: &GuestLine<'_>, several: bool) -> String {
    let mut label = match several {
        true => format!("[{}/{}] ", line.workload, line.component),
        false => format!("[{}] ", line.component),
    };
    if let Source::Log(_) = line.source {
        label.push_str(&format!("{} ", line.source));
    }
    let mut text = label.clone();
    if !line.context.is_empty() {
        text.push_str(&format!("{}: ", printable(line.context)));
    }
    for (number, one) in line.text.lines().enumerate() {
        if number > 0 {
            text.push('\n');
            text.push_str(&label);
        }
        text.push_str(&printable(one));
    }
    text
}

/// A request for people.
fn request_text(record: &AccessRecord<'_>) -> String {
    format!(
        "{} {} {} {}",
        printable(record.method.as_str()),
        printable(record.path),
        record.status.as_u16(),
        duration(record.elapsed)
    )
}

impl AccessLog for Guests {
    fn request(&self, record: &AccessRecord<'_>) {
        let event = Event::Request {
            method: record.method.to_string(),
            host: record.host.to_owned(),
            path: record.path.to_owned(),
            status: record.status.as_u16(),
            workload: record.workload.map(name_of),
            component: record.component.map(ToString::to_string),
            millis: (record.elapsed.as_secs_f64() * 1e6).round() / 1e3,
        };
        self.reporter.frequent(&event, || request_text(record));
    }
}

/// The id under which a workload runs for the n-th time.
pub(super) fn id_of(number: u64, name: &str) -> String {
    let id = format!("dev-{number}-{name}");
    // Names may be longer than ids; the number alone makes the id one of a kind.
    id.chars().take(128).collect()
}

/// The name of the workload behind such an id.
fn name_of(id: &WorkloadId) -> String {
    let id = id.as_str();
    let name = id
        .strip_prefix("dev-")
        .and_then(|rest| rest.split_once('-'))
        .map(|(_, name)| name);
    name.unwrap_or(id).to_owned()
}

#[cfg(test)]
mod tests {
    use wasmcloud::plugin::LogLevel;

    use super::*;

    /// What people see of a line of the component `cart`.
    fn shown(source: Source, context: &str, words: &str, several: bool) -> String {
        let line = GuestLine {
            namespace: &"default".parse().unwrap(),
            workload: &"shop".parse().unwrap(),
            component: &"cart".parse().unwrap(),
            source,
            context,
            text: words,
        };
        text(&line, several)
    }

    #[test]
    fn lines_are_labelled_with_who_wrote_them() {
        assert_eq!(shown(Source::Stdout, "", "sold", false), "[cart] sold");
        assert_eq!(shown(Source::Stdout, "", "", false), "[cart] ");
        assert_eq!(
            shown(Source::Log(LogLevel::Warn), "stock", "sold", true),
            "[shop/cart] warn stock: sold"
        );
    }

    #[test]
    fn a_message_cannot_pass_for_that_of_another_component() {
        let level = Source::Log(LogLevel::Info);
        assert_eq!(
            shown(level, "a\nb", "one\r\n[till] two\n\n\rthree\n", false),
            "[cart] info a\\nb: one\n[cart] info [till] two\n[cart] info \n[cart] info \\rthree"
        );
        assert_eq!(
            shown(Source::Stdout, "", "\u{1b}[1A[till] x", false),
            "[cart] \\u{1b}[1A[till] x"
        );
    }

    #[test]
    fn a_request_cannot_steer_the_terminal() {
        let record = AccessRecord {
            method: &http::Method::GET,
            host: "shop.example",
            path: "/\u{9b}2J\u{202e}x",
            status: http::StatusCode::OK,
            workload: None,
            component: None,
            elapsed: std::time::Duration::from_millis(1),
        };
        assert_eq!(request_text(&record), "GET /\\u{9b}2J\\u{202e}x 200 1.0 ms");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let fits = "x".repeat(LONGEST_TEXT);
        assert_eq!(cut(&fits), fits.as_str());
        let cut_off = cut(&"漢".repeat(LONGEST_TEXT)).into_owned();
        assert_eq!(cut_off, "漢".repeat(LONGEST_TEXT / 3) + "…");
    }

    #[test]
    fn ids_hold_the_name_of_the_workload() {
        let id: WorkloadId = id_of(12, "my-shop").parse().unwrap();
        assert_eq!(
            (id.as_str(), name_of(&id).as_str()),
            ("dev-12-my-shop", "my-shop")
        );
        assert!(id_of(1, &"a".repeat(253)).parse::<WorkloadId>().is_ok());
    }
}
