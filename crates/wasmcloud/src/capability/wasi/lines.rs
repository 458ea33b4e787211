//! Cuts what a guest writes into lines and labels them.

use std::sync::Arc;

use crate::plugin::{ComponentContext, GuestLine, Source, WorkloadContext};

/// A line is passed on when it ends, or when it has this many bytes.
const LONGEST_LINE: usize = 8 << 10;

/// One stream of one component, cut into lines. What is left when it is dropped is the last line.
pub(super) struct Lines {
    workload: Arc<WorkloadContext>,
    component: Arc<ComponentContext>,
    source: Source,
    pending: Vec<u8>,
}

impl Lines {
    pub(super) fn new(
        workload: Arc<WorkloadContext>,
        component: Arc<ComponentContext>,
        source: Source,
    ) -> Self {
        Self {
            workload,
            component,
            source,
            pending: Vec::new(),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for part in piece.chunks(LONGEST_LINE) {
                if self.pending.len() + part.len() > LONGEST_LINE {
                    self.emit();
                }
                self.pending.extend_from_slice(part);
            }
            if self.pending.last() == Some(&b'\n') {
                self.emit();
            }
        }
    }

    fn emit(&mut self) {
        let line = self.pending.strip_suffix(b"\n").unwrap_or(&self.pending);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.workload.log.line(GuestLine {
            namespace: &self.workload.namespace,
            workload: &self.workload.name,
            component: &self.component.name,
            source: self.source,
            context: "",
            text: &String::from_utf8_lossy(line),
        });
        self.pending.clear();
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !self.pending.is_empty() {
            self.emit();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::sync::Mutex;

    use super::*;
    use crate::instance::{MemoryAccount, WorkloadLog};
    use crate::plugin::{GuestOutput, States};

    #[derive(Default)]
    struct Collected(Mutex<Vec<String>>);

    impl GuestOutput for Collected {
        fn line(&self, line: GuestLine<'_>) {
            self.0.lock().unwrap().push(line.text.to_owned());
        }
    }

    fn cut(writes: &[&[u8]]) -> Vec<String> {
        let output = Arc::new(Collected::default());
        let workload = WorkloadContext {
            id: "id".parse().unwrap(),
            namespace: "default".parse().unwrap(),
            name: "app".parse().unwrap(),
            states: States::default(),
            log: Arc::new(WorkloadLog::new(output.clone(), 0, u64::MAX)),
            memory: Arc::new(MemoryAccount::of_host(0)),
            farewell: Default::default(),
            crossing: WorkloadContext::room_to_cross(),
        };
        let component = ComponentContext {
            name: "main".parse().unwrap(),
            environment: Vec::new(),
            role: Default::default(),
            allowed_hosts: Vec::new(),
            allowed_names: Vec::new(),
            host_ports: Vec::new(),
            told: Default::default(),
        };
        let mut lines = Lines::new(Arc::new(workload), Arc::new(component), Source::Stdout);
        writes.iter().for_each(|bytes| lines.write(bytes));
        drop(lines);
        output.0.lock().unwrap().clone()
    }

    #[test]
    fn lines_are_whole_however_they_are_written() {
        assert_eq!(
            cut(&[b"one\ntw", b"o\r\n", b"\nthree"]),
            ["one", "two", "", "three"]
        );
        assert!(cut(&[]).is_empty());
    }

    #[test]
    fn an_endless_line_is_cut_rather_than_kept() {
        let long = vec![b'x'; LONGEST_LINE * 2 + 1];
        assert_eq!(
            cut(&[&long]).iter().map(String::len).collect::<Vec<_>>(),
            [LONGEST_LINE, LONGEST_LINE, 1]
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        assert_eq!(cut(&[b"a\xffb\n"]), ["a\u{fffd}b"]);
    }
}
