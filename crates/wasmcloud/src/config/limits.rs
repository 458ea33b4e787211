//! The section `limits`: what guests may use.

use std::time::Duration;

use serde::Deserialize;

use super::reader::{Number, Reader, Text, size, span};
use crate::policy::{Allowance, GuestLimits};
use crate::workload::Limit;

/// What guests may use. What is left out stays at its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `GuestLimits`")]
pub struct LimitsSection {
    pub memory: AllowanceSection<u64>,
    pub cpu: AllowanceSection<Duration>,
    pub time: AllowanceSection<Duration>,
    pub workload_memory: Option<u64>,
    pub host_memory: Option<u64>,
    pub handles: Option<u32>,
    pub call_bytes: Option<u64>,
    pub wait: Option<Duration>,
    pub waiting: Option<u32>,
    pub log_rate: Option<u64>,
    pub log_burst: Option<u64>,
}

/// An amount that is given by default, and the most that a manifest may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllowanceSection<T> {
    /// For components that do not ask.
    pub default: Limit<T>,
    /// The most that a component may ask for.
    pub most: Limit<T>,
}

/// The section as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Raw {
    memory: Option<RawAllowance>,
    cpu: Option<RawAllowance>,
    time: Option<RawAllowance>,
    workload_memory: Text,
    host_memory: Text,
    handles: Number,
    call_bytes: Text,
    wait: Text,
    waiting: Number,
    log_rate: Text,
    log_burst: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAllowance {
    default: Text,
    most: Text,
}

/// Larger ones are mistakes.
const MOST: u32 = 10_000_000;

pub(super) fn read(reader: &mut Reader, raw: Raw) -> LimitsSection {
    LimitsSection {
        memory: allowance(reader, raw.memory, size),
        cpu: allowance(reader, raw.cpu, span),
        time: allowance(reader, raw.time, span),
        workload_memory: reader.size(raw.workload_memory),
        host_memory: reader.size(raw.host_memory),
        handles: reader.number(raw.handles, 1..=MOST),
        call_bytes: reader.size(raw.call_bytes),
        wait: reader.duration(raw.wait),
        waiting: reader.number(raw.waiting, 0..=MOST),
        log_rate: reader.size(raw.log_rate),
        log_burst: reader.size(raw.log_burst),
    }
}

fn allowance<T: Copy + Ord>(
    reader: &mut Reader,
    raw: Option<RawAllowance>,
    amount: fn(&str) -> Result<T, String>,
) -> AllowanceSection<T> {
    let Some(raw) = raw else {
        return AllowanceSection {
            default: Limit::Default,
            most: Limit::Default,
        };
    };
    let at = raw.default.as_ref().map(|text| text.referenced);
    let default = reader.limit(raw.default, amount);
    let most = reader.limit(raw.most, amount);
    let beyond = match (default, most) {
        (Limit::Of(default), Limit::Of(most)) => default > most,
        (Limit::Unlimited, Limit::Of(_)) => true,
        _ => false,
    };
    if let Some(at) = at.filter(|_| beyond) {
        let hint = "lower it, or raise `most`";
        reader.error(at, "`default` is more than `most` allows", Some(hint));
    }
    AllowanceSection { default, most }
}

impl LimitsSection {
    pub(super) fn apply(&self, limits: &mut GuestLimits) {
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        self.memory.apply(&mut limits.memory);
        self.cpu.apply(&mut limits.cpu);
        self.time.apply(&mut limits.time);
        limits.workload_memory = self.workload_memory.or(limits.workload_memory);
        limits.host_memory = self.host_memory.or(limits.host_memory);
        limits.handles = self.handles.map_or(limits.handles, |it| bytes(it.into()));
        limits.call_bytes = self.call_bytes.map_or(limits.call_bytes, bytes);
        limits.wait = self.wait.unwrap_or(limits.wait);
        limits.waiting = self.waiting.map_or(limits.waiting, |it| bytes(it.into()));
        limits.log_rate = self.log_rate.unwrap_or(limits.log_rate);
        limits.log_burst = self.log_burst.unwrap_or(limits.log_burst);
    }
}

impl<T: Copy> AllowanceSection<T> {
    fn apply(&self, allowance: &mut Allowance<T>) {
        allowance.default = over(self.default, allowance.default);
        allowance.most = over(self.most, allowance.most);
    }
}

/// What is written, over what was there.
pub(super) fn over<T>(written: Limit<T>, before: Option<T>) -> Option<T> {
    match written {
        Limit::Default => before,
        Limit::Of(amount) => Some(amount),
        Limit::Unlimited => None,
    }
}
