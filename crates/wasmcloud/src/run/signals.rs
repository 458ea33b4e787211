//! Signals: SIGINT and SIGTERM end the program, gently first, and SIGHUP has it look at its files.

use std::future::pending;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Everything that is listened for.
pub(super) struct Signals {
    pub(super) stop: StopSignal,
    pub(super) hangup: Hangup,
}

/// The wish to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Interrupt,
    Terminate,
}

impl Stop {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }

    /// What a shell says of a program that such a signal ended.
    fn code(self) -> i32 {
        let kind = match self {
            Self::Interrupt => SignalKind::interrupt(),
            Self::Terminate => SignalKind::terminate(),
        };
        128 + kind.as_raw_value()
    }
}

impl Signals {
    /// Signals count from now on.
    pub(super) fn listen() -> io::Result<Self> {
        let (mut interrupt, mut terminate) = (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        );
        let hangup = Hangup(signal(SignalKind::hangup())?);
        let (first, stop) = oneshot::channel();
        let mut first = Some(first);
        tokio::spawn(async move {
            loop {
                let stop = tokio::select! {
                    _ = interrupt.recv() => Stop::Interrupt,
                    _ = terminate.recv() => Stop::Terminate,
                };
                match first.take() {
                    // Whoever has ended already does not listen.
                    Some(first) => drop(first.send(stop)),
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "whoever asks twice waits for nothing, destructors included"
                    )]
                    None => std::process::exit(stop.code()),
                }
            }
        });
        let stop = StopSignal(stop);
        Ok(Self { stop, hangup })
    }
}

/// The first SIGINT or SIGTERM. A second one ends the process at once, as if nothing had caught it.
pub(super) struct StopSignal(oneshot::Receiver<Stop>);

impl StopSignal {
    /// Waits for it. It comes once.
    pub(super) async fn wanted(&mut self) -> Stop {
        match (&mut self.0).await {
            Ok(stop) => stop,
            // The other end is gone, which only the end of the process does.
            Err(_) => pending().await,
        }
    }
}

/// The wish that everything is looked at now.
pub(super) struct Hangup(Signal);

impl Hangup {
    pub(super) async fn wanted(&mut self) {
        if self.0.recv().await.is_none() {
            pending().await
        }
    }
}
