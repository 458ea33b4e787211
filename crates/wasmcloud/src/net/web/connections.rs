//! How many connections there may be: so many to each server, so that one that takes them and never answers does not take all files
//! that the host may have open.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Poll;

use http::Uri;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::futures::TaskLocalFuture;

tokio::task_local! {
    /// There while something is done for a request that somebody waits for.
    static WANTED: ();
}

/// Does something for a request.
pub(super) fn for_a_request<F: Future>(work: F) -> TaskLocalFuture<(), F> {
    WANTED.scope((), work)
}

/// The limit to the connections of a client. Each server has its own, so that none keeps a request from another one.
pub(super) struct Connections {
    most: usize,
    /// How many more there may be, to servers that somebody is connected to or waits for.
    servers: Mutex<HashMap<String, Weak<Semaphore>>>,
}

impl Connections {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            servers: Mutex::default(),
        }
    }

    /// The right to one more connection to a server, as soon as there is one.
    ///
    /// A request that waits for that may be given a connection that another one needs no longer. The client goes on to connect all the
    /// same, to have one in reserve; that would wait here for nobody, and ends as an error that nobody sees.
    pub(super) async fn take(&self, server: &Uri) -> io::Result<OwnedSemaphorePermit> {
        let mut taken = pin!(self.left(server).acquire_owned());
        let wanted = poll_fn(|cx| match WANTED.try_with(|_| ()) {
            Ok(()) => taken.as_mut().poll(cx).map_err(io::Error::other),
            Err(nobody) => Poll::Ready(Err(io::Error::other(nobody))),
        });
        wanted.await
    }

    fn left(&self, server: &Uri) -> Arc<Semaphore> {
        let server = server.to_string();
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = servers.get(&server).and_then(Weak::upgrade) {
            return left;
        }
        servers.retain(|_, left| left.strong_count() > 0);
        let left = Arc::new(Semaphore::new(self.most));
        servers.insert(server, Arc::downgrade(&left));
        left
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use futures::FutureExt as _;

    use super::*;

    fn taken(connections: &Connections, server: &'static str) -> Option<OwnedSemaphorePermit> {
        let server = Uri::from_static(server);
        let taken = for_a_request(connections.take(&server)).now_or_never();
        taken.map(Result::unwrap)
    }

    #[test]
    fn each_server_has_a_limit_of_its_own() {
        let connections = Connections::new(2);
        let held = [(); 2].map(|()| taken(&connections, "http://a.example/").unwrap());
        assert!(taken(&connections, "http://a.example/").is_none());
        assert!(taken(&connections, "https://a.example/").is_some());
        drop(held);
        assert!(taken(&connections, "http://a.example/").is_some());
    }

    #[test]
    fn a_server_that_nobody_is_connected_to_is_forgotten() {
        let connections = Connections::new(1);
        drop(taken(&connections, "http://a.example/"));
        let _held = taken(&connections, "http://b.example/");
        assert_eq!(connections.servers.lock().unwrap().len(), 1);
    }

    #[test]
    fn what_no_request_waits_for_any_more_does_not_wait_either() {
        let connections = Connections::new(1);
        let server = Uri::from_static("http://a.example/");
        let _held = taken(&connections, "http://a.example/");
        let mut waiting = Box::pin(connections.take(&server));
        let asked = for_a_request(waiting.as_mut()).now_or_never();
        assert!(asked.is_none());
        assert!(waiting.now_or_never().unwrap().is_err());
    }
}
