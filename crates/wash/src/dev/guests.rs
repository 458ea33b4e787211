//! What comes out of the host while it serves: a line for each request, and the lines that guests write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmcloud::capability::http::{AccessLog, AccessRecord};
use wasmcloud::plugin::{GuestLine, GuestOutput, Source};
use wasmcloud::workload::WorkloadId;

use super::events::{Event, Reporter};
use crate::ui::duration;

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
        let event = Event::Log {
            workload: line.workload.to_string(),
            component: line.component.to_string(),
            source: line.source.to_string(),
            context: line.context.to_owned(),
            text: line.text.to_owned(),
        };
        self.reporter
            .frequent(&event, || text(&line, self.several.load(Ordering::Relaxed)));
    }
}

/// A line of a guest for people: labelled with the component, and with the workload where there are several.
fn text(line: &GuestLine<'_>, several: bool) -> String {
    let mut text = match several {
        true => format!("[{}/{}] ", line.workload, line.component),
        false => format!("[{}] ", line.component),
    };
    if let Source::Log(_) = line.source {
        text.push_str(&format!("{} ", line.source));
    }
    if !line.context.is_empty() {
        text.push_str(&format!("{}: ", line.context));
    }
    text + line.text
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
        self.reporter.frequent(&event, || {
            format!(
                "{} {} {} {}",
                record.method,
                record.path,
                record.status.as_u16(),
                duration(record.elapsed)
            )
        });
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

    #[test]
    fn lines_are_labelled_with_who_wrote_them() {
        let (namespace, workload, component) = (
            "default".parse().unwrap(),
            "shop".parse().unwrap(),
            "cart".parse().unwrap(),
        );
        let line = |source, context: &'static str| GuestLine {
            namespace: &namespace,
            workload: &workload,
            component: &component,
            source,
            context,
            text: "sold",
        };
        assert_eq!(text(&line(Source::Stdout, ""), false), "[cart] sold");
        assert_eq!(
            text(&line(Source::Log(LogLevel::Warn), "stock"), true),
            "[shop/cart] warn stock: sold"
        );
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
