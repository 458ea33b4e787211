//! What the operating system says about a process: its memory and its processor time.

use std::time::Duration;

use anyhow::Context as _;

/// Ticks a second in `/proc/*/stat`: what Linux tells programs on every processor that we run on.
const USER_HZ: u32 = 100;

/// Resident memory in KiB.
pub(crate) fn resident(pid: u32) -> anyhow::Result<f64> {
    memory(pid, "Rss:")
}

/// Memory in KiB that belongs to the process alone and was written to.
pub(crate) fn private_dirty(pid: u32) -> anyhow::Result<f64> {
    memory(pid, "Private_Dirty:")
}

fn memory(pid: u32, kind: &str) -> anyhow::Result<f64> {
    let file = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&file).with_context(|| format!("{file} cannot be read"))?;
    memory_in(&text, kind).with_context(|| format!("{file} tells no `{kind}`"))
}

fn memory_in(smaps: &str, kind: &str) -> Option<f64> {
    let line = smaps.lines().find_map(|line| line.strip_prefix(kind))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The most resident memory in KiB that a process ever had, or since [`forget_peak`].
pub(crate) fn peak(pid: u32) -> anyhow::Result<f64> {
    let file = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&file).with_context(|| format!("{file} cannot be read"))?;
    memory_in(&text, "VmHWM:").with_context(|| format!("{file} tells no `VmHWM`"))
}

/// Has the system forget how much memory this process ever had.
pub(crate) fn forget_peak() -> anyhow::Result<()> {
    let file = "/proc/self/clear_refs";
    std::fs::write(file, "5").with_context(|| format!("{file} cannot be written to"))
}

/// Processor time since the process began, of all its threads.
pub(crate) fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let file = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&file).with_context(|| format!("{file} cannot be read"))?;
    let ticks = ticks_in(&text).with_context(|| format!("{file} has no times: {text}"))?;
    Ok(Duration::from_secs(ticks) / USER_HZ)
}

/// User and system time. The program's name before them may hold spaces and parentheses.
fn ticks_in(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "42 (a) b) S 1 2 3 4 5 6 7 8 9 10 1500 250 0 0 20 0 4 0 1 2 3";
        assert_eq!(ticks_in(stat), Some(1750));
        assert_eq!(ticks_in("42 (a"), None);
    }

    #[test]
    fn memory_is_read() {
        let smaps = "5500-7ffe ---p 00 00:00 0  [rollup]\nRss:    5124 kB\nPss:    2001 kB\n";
        assert_eq!(memory_in(smaps, "Rss:"), Some(5124.0));
        assert_eq!(memory_in("Pss: 1 kB", "Rss:"), None);
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let me = std::process::id();
        let (resident, dirty) = (resident(me).unwrap(), private_dirty(me).unwrap());
        assert!(dirty > 0.0 && dirty <= resident);
        assert!(processor_time(me).is_ok());
        assert!(peak(me).unwrap() >= resident);
        forget_peak().unwrap();
        assert!(peak(me).unwrap() > 0.0);
    }
}
