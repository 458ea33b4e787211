//! Options of sockets: kept and answered for sockets inside a workload, handed to the operating system for those outside.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use super::fault::Fault;
use super::rules::Family;

/// How small and how large buffers are.
const BUFFER: std::ops::RangeInclusive<u64> = (4 << 10)..=(1 << 20);
/// The size of a buffer that nobody asked for.
const DEFAULT_BUFFER: u64 = 64 << 10;
/// What Linux takes at most for the times of keep-alive, and for its count.
const KEEP_ALIVE: u64 = 32_767;
const KEEP_ALIVE_COUNT: u32 = 127;
/// How many connections wait for a listener at most.
const BACKLOG: u64 = 4096;

/// What every socket has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    hop_limit: u8,
    receive_buffer: Buffer,
    send_buffer: Buffer,
}

/// A buffer's size. The operating system is told only what a guest asked for: left alone, it finds the better size.
#[derive(Clone, Copy, Debug, Default)]
struct Buffer(Option<u64>);

impl Buffer {
    fn set(&mut self, bytes: u64) -> Result<(), Fault> {
        self.0 = Some(positive(bytes)?.clamp(*BUFFER.start(), *BUFFER.end()));
        Ok(())
    }

    fn get(self) -> u64 {
        self.0.unwrap_or(DEFAULT_BUFFER)
    }

    fn asked(self) -> Option<usize> {
        self.0.and_then(|bytes| usize::try_from(bytes).ok())
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hop_limit: 64,
            receive_buffer: Buffer::default(),
            send_buffer: Buffer::default(),
        }
    }
}

fn positive<T: PartialEq + Default>(value: T) -> Result<T, Fault> {
    if value == T::default() {
        return Err(Fault::InvalidArgument);
    }
    Ok(value)
}

impl Settings {
    pub(super) fn hop_limit(&self) -> u8 {
        self.hop_limit
    }

    pub(super) fn set_hop_limit(&mut self, value: u8) -> Result<(), Fault> {
        self.hop_limit = positive(value)?;
        Ok(())
    }

    pub(super) fn receive_buffer(&self) -> u64 {
        self.receive_buffer.get()
    }

    pub(super) fn set_receive_buffer(&mut self, bytes: u64) -> Result<(), Fault> {
        self.receive_buffer.set(bytes)
    }

    pub(super) fn send_buffer(&self) -> u64 {
        self.send_buffer.get()
    }

    pub(super) fn set_send_buffer(&mut self, bytes: u64) -> Result<(), Fault> {
        self.send_buffer.set(bytes)
    }

    /// The size of the send buffer, if a guest asked for one.
    pub(super) fn asked_send_buffer(&self) -> Option<usize> {
        self.send_buffer.asked()
    }

    /// Hands everything to a socket of the operating system. What it does not take is left as it is.
    pub(super) fn apply(&self, socket: &SockRef<'_>, family: Family) {
        let hops = u32::from(self.hop_limit);
        let _ = match family {
            Family::V4 => socket.set_ttl_v4(hops),
            Family::V6 => socket.set_unicast_hops_v6(hops),
        };
        if let Some(bytes) = self.receive_buffer.asked() {
            let _ = socket.set_recv_buffer_size(bytes);
        }
        if let Some(bytes) = self.send_buffer.asked() {
            let _ = socket.set_send_buffer_size(bytes);
        }
    }
}

/// What TCP sockets have besides.
#[derive(Clone, Copy, Debug)]
pub(super) struct TcpSettings {
    pub(super) common: Settings,
    pub(super) keep_alive: bool,
    idle: Duration,
    interval: Duration,
    count: u32,
    backlog: usize,
}

impl Default for TcpSettings {
    fn default() -> Self {
        Self {
            common: Settings::default(),
            keep_alive: false,
            idle: Duration::from_secs(7200),
            interval: Duration::from_secs(75),
            count: 9,
            backlog: 128,
        }
    }
}

/// A time of keep-alive, given in nanoseconds: whole seconds, rounded up, as the operating system counts them.
fn seconds(nanoseconds: u64) -> Result<Duration, Fault> {
    let seconds = positive(nanoseconds)?.div_ceil(1_000_000_000);
    Ok(Duration::from_secs(seconds.min(KEEP_ALIVE)))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl TcpSettings {
    /// In nanoseconds.
    pub(super) fn idle(&self) -> u64 {
        nanoseconds(self.idle)
    }

    pub(super) fn set_idle(&mut self, value: u64) -> Result<(), Fault> {
        self.idle = seconds(value)?;
        Ok(())
    }

    /// In nanoseconds.
    pub(super) fn interval(&self) -> u64 {
        nanoseconds(self.interval)
    }

    pub(super) fn set_interval(&mut self, value: u64) -> Result<(), Fault> {
        self.interval = seconds(value)?;
        Ok(())
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn set_count(&mut self, value: u32) -> Result<(), Fault> {
        self.count = positive(value)?.min(KEEP_ALIVE_COUNT);
        Ok(())
    }

    pub(super) fn backlog(&self) -> usize {
        self.backlog
    }

    pub(super) fn set_backlog(&mut self, value: u64) -> Result<(), Fault> {
        let backlog = positive(value)?.min(BACKLOG);
        self.backlog = usize::try_from(backlog).unwrap_or(usize::MAX);
        Ok(())
    }

    /// Hands everything to a socket of the operating system. What it does not take is left as it is.
    pub(super) fn apply(&self, socket: &SockRef<'_>, family: Family) {
        self.common.apply(socket, family);
        // Guests of WASI cannot ask for it, and what they write comes in pieces that are meant to go.
        let _ = socket.set_tcp_nodelay(true);
        let _ = socket.set_keepalive(self.keep_alive);
        if self.keep_alive {
            let keep_alive = TcpKeepalive::new()
                .with_time(self.idle)
                .with_interval(self.interval)
                .with_retries(self.count);
            let _ = socket.set_tcp_keepalive(&keep_alive);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn what_is_set_is_kept_within_bounds() {
        let mut tcp = TcpSettings::default();
        tcp.set_idle(1).unwrap();
        assert_eq!(tcp.idle(), 1_000_000_000);
        tcp.set_idle(u64::MAX).unwrap();
        assert_eq!(tcp.idle(), KEEP_ALIVE * 1_000_000_000);
        tcp.set_interval(2_500_000_000).unwrap();
        assert_eq!(tcp.interval(), 3_000_000_000);
        tcp.set_count(u32::MAX).unwrap();
        assert_eq!(tcp.count(), KEEP_ALIVE_COUNT);
        tcp.set_backlog(u64::MAX).unwrap();
        assert_eq!(tcp.backlog(), 4096);
        tcp.common.set_send_buffer(1).unwrap();
        assert_eq!(tcp.common.send_buffer(), 4096);
        tcp.common.set_receive_buffer(u64::MAX).unwrap();
        assert_eq!(tcp.common.receive_buffer(), 1 << 20);
        tcp.common.set_hop_limit(1).unwrap();
        assert_eq!(tcp.common.hop_limit(), 1);
    }

    #[test]
    fn nothing_can_be_set_to_zero() {
        let mut tcp = TcpSettings::default();
        for set in [
            tcp.set_idle(0),
            tcp.set_interval(0),
            tcp.set_count(0),
            tcp.set_backlog(0),
            tcp.common.set_hop_limit(0),
            tcp.common.set_receive_buffer(0),
            tcp.common.set_send_buffer(0),
        ] {
            assert_eq!(set, Err(Fault::InvalidArgument));
        }
        assert_eq!(tcp.count(), 9);
        assert_eq!(tcp.backlog(), 128);
    }

    #[test]
    fn the_operating_system_is_told() {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        let mut tcp = TcpSettings {
            keep_alive: true,
            ..TcpSettings::default()
        };
        tcp.set_idle(60_000_000_000).unwrap();
        tcp.set_count(3).unwrap();
        tcp.common.set_hop_limit(7).unwrap();
        tcp.apply(&SockRef::from(&socket), Family::V4);
        assert_eq!(socket.ttl_v4().unwrap(), 7);
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        assert_eq!(
            socket.tcp_keepalive_time().unwrap(),
            Duration::from_secs(60)
        );
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
    }
}
