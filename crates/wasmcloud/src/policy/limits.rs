//! How much guests may use: what a host gives by default, what it gives at most, and what that makes of one entry.

use std::time::Duration;

use crate::workload::{Limit, Limits, Mebibytes, Milliseconds};

/// An amount that a host gives by default, and the most that a manifest may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance<T> {
    /// For components that do not ask. `None`: no limit.
    pub default: Option<T>,
    /// The most that a component may ask for. `None`: anything, also no limit.
    pub most: Option<T>,
}

impl<T> Allowance<T> {
    /// An allowance without a ceiling.
    #[must_use]
    pub const fn of(default: T) -> Self {
        Self {
            default: Some(default),
            most: None,
        }
    }
}

/// What guests of a host may use. Everything has a limit unless its owner takes it away by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestLimits {
    /// Memory of one instance of one component in bytes: its linear memories and tables. A manifest's `memoryLimitMb`.
    pub memory: Allowance<u64>,
    /// Processor time of one invocation. A manifest's `cpuLimit`.
    pub cpu: Allowance<Duration>,
    /// Time from the beginning of one invocation to its end. A manifest's `timeoutMs`.
    pub time: Allowance<Duration>,
    /// Memory of all instances of one workload, in bytes. `None`: half of what the host has for guests.
    pub workload_memory: Option<u64>,
    /// Memory of all instances of all workloads, in bytes. `None`: three quarters of the memory that the process may use.
    pub host_memory: Option<u64>,
    /// Resources, streams and futures that one instance may hold at once.
    pub handles: usize,
    /// Bytes that a guest may hand over in one call to the host.
    pub call_bytes: usize,
    /// How long an invocation may wait for room before it is turned away.
    pub wait: Duration,
    /// How many invocations of one workload may wait for room at once.
    pub waiting: usize,
    /// Bytes of log a second of one workload, in the long run.
    pub log_rate: u64,
    /// Bytes of log that one workload may write at once.
    pub log_burst: u64,
}

impl Default for GuestLimits {
    fn default() -> Self {
        Self {
            memory: Allowance::of(256 << 20),
            cpu: Allowance::of(Duration::from_secs(30)),
            time: Allowance::of(Duration::from_secs(300)),
            workload_memory: None,
            host_memory: None,
            handles: 100_000,
            call_bytes: 64 << 20,
            wait: Duration::from_secs(5),
            waiting: 1000,
            log_rate: 256 << 10,
            log_burst: 1 << 20,
        }
    }
}

/// What one instance, and one invocation on it, may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceLimits {
    /// Memories and tables, in bytes.
    pub memory: u64,
    /// Processor time of an invocation.
    pub cpu: Duration,
    /// Time from the beginning of an invocation to its end.
    pub time: Duration,
    /// Resources, streams and futures at once.
    pub handles: usize,
    /// Bytes in one call to the host.
    pub call_bytes: usize,
}

/// A component asks for more than the host gives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` asks for {asked}; this host gives at most {most}")]
pub struct TooMuch {
    /// The field of `localResources`.
    pub field: &'static str,
    /// What is asked for.
    pub asked: String,
    /// What there is.
    pub most: String,
}

impl GuestLimits {
    /// The limits of one instance of some components that are fused, each with what it asks for itself. Memory adds up; of the
    /// others the tightest counts, because an invocation is one for all of them.
    #[must_use]
    pub fn instance<'a>(&self, members: impl IntoIterator<Item = &'a Limits>) -> InstanceLimits {
        let mut limits = InstanceLimits {
            memory: 0,
            cpu: Duration::MAX,
            time: Duration::MAX,
            handles: self.handles,
            call_bytes: self.call_bytes,
        };
        for member in members {
            let memory = resolve(member.memory, self.memory, Mebibytes::bytes);
            let cpu = resolve(member.cpu, self.cpu, Milliseconds::duration);
            let time = resolve(member.time, self.time, Milliseconds::duration);
            limits.memory = limits.memory.saturating_add(memory.unwrap_or(u64::MAX));
            limits.cpu = limits.cpu.min(cpu.unwrap_or(Duration::MAX));
            limits.time = limits.time.min(time.unwrap_or(Duration::MAX));
        }
        limits
    }

    /// Everything that a component asks for beyond what this host gives.
    #[must_use]
    pub fn check(&self, asked: &Limits) -> Vec<TooMuch> {
        let mebibytes = |bytes: u64| format!("{} MiB", bytes >> 20);
        let milliseconds = |time: Duration| format!("{} ms", time.as_millis());
        let memory = exceeds(asked.memory, self.memory.most, Mebibytes::bytes, mebibytes);
        let cpu = exceeds(
            asked.cpu,
            self.cpu.most,
            Milliseconds::duration,
            milliseconds,
        );
        let time = exceeds(
            asked.time,
            self.time.most,
            Milliseconds::duration,
            milliseconds,
        );
        let found = [
            ("memoryLimitMb", memory),
            ("cpuLimit", cpu),
            ("timeoutMs", time),
        ];
        let told = |(field, exceeded): (&'static str, Option<(String, String)>)| {
            let (asked, most) = exceeded?;
            Some(TooMuch { field, asked, most })
        };
        found.into_iter().filter_map(told).collect()
    }
}

fn resolve<A, T: Copy + Ord>(
    asked: Limit<A>,
    allowance: Allowance<T>,
    unit: impl Fn(A) -> T,
) -> Option<T> {
    let wanted = match asked {
        Limit::Default => allowance.default,
        Limit::Of(amount) => Some(unit(amount)),
        Limit::Unlimited => None,
    };
    match (wanted, allowance.most) {
        (Some(wanted), Some(most)) => Some(wanted.min(most)),
        (wanted, most) => wanted.or(most),
    }
}

/// What is asked for and what there is, where the former is more.
fn exceeds<A, T: Copy + Ord>(
    asked: Limit<A>,
    most: Option<T>,
    unit: impl Fn(A) -> T,
    show: impl Fn(T) -> String,
) -> Option<(String, String)> {
    let most = most?;
    match asked {
        Limit::Default => None,
        Limit::Unlimited => Some(("no limit".to_owned(), show(most))),
        Limit::Of(amount) => {
            let wanted = unit(amount);
            (wanted > most).then(|| (show(wanted), show(most)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(memory: Limit<Mebibytes>, time: Limit<Milliseconds>) -> Limits {
        Limits {
            memory,
            time,
            ..Limits::default()
        }
    }

    #[test]
    fn who_asks_for_nothing_gets_the_default() {
        let given = GuestLimits::default().instance([&Limits::default()]);
        assert_eq!(given.memory, 256 << 20);
        assert_eq!(given.cpu, Duration::from_secs(30));
        assert_eq!(given.time, Duration::from_secs(300));
    }

    #[test]
    fn no_limit_is_asked_for_by_name_and_given_up_to_the_ceiling() {
        let mut host = GuestLimits::default();
        let wants_all = limits(Limit::Unlimited, Limit::Unlimited);
        let given = host.instance([&wants_all]);
        assert_eq!((given.memory, given.time), (u64::MAX, Duration::MAX));
        assert_eq!(host.check(&wants_all), []);

        host.memory.most = Some(512 << 20);
        assert_eq!(host.instance([&wants_all]).memory, 512 << 20);
        let told: Vec<String> = host
            .check(&wants_all)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            told,
            ["`memoryLimitMb` asks for no limit; this host gives at most 512 MiB"]
        );
    }

    #[test]
    fn more_than_the_ceiling_is_told_and_not_given() {
        let mut host = GuestLimits::default();
        host.time.most = Some(Duration::from_secs(1));
        let greedy = limits(Limit::Default, Limit::Of(Milliseconds(1001)));
        assert_eq!(host.instance([&greedy]).time, Duration::from_secs(1));
        assert_eq!(
            host.check(&greedy).first().map(ToString::to_string),
            Some("`timeoutMs` asks for 1001 ms; this host gives at most 1000 ms".to_owned())
        );
        // A default above the ceiling is no fault of the manifest.
        assert_eq!(host.check(&Limits::default()), []);
        assert_eq!(
            host.instance([&Limits::default()]).time,
            Duration::from_secs(1)
        );
    }

    #[test]
    fn fused_components_add_their_memory_and_share_the_tightest_time() {
        let front = limits(Limit::Of(Mebibytes(16)), Limit::Of(Milliseconds(500)));
        let back = limits(Limit::Of(Mebibytes(48)), Limit::Default);
        let given = GuestLimits::default().instance([&front, &back]);
        assert_eq!(given.memory, 64 << 20);
        assert_eq!(given.time, Duration::from_millis(500));
    }
}
