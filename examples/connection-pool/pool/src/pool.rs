//! A bounded number of connections, lent to one query after the other.

use async_channel::{Receiver, Sender, bounded};
use protocol::{Answer, Query};
use wstd::future::FutureExt as _;
use wstd::io;
use wstd::time::Duration;

use crate::connection::{Connection, Outcome};
use crate::settings::Settings;

/// A place for a connection; empty, as long as none was opened for it.
type Place = Option<Connection>;

/// As many places as there may be connections. Whoever takes one out has it alone, and puts it back.
pub struct Pool {
    settings: Settings,
    put: Sender<Place>,
    take: Receiver<Place>,
}

impl Pool {
    /// A pool in which no connection is open yet.
    pub fn new(settings: Settings) -> Self {
        let (put, take) = bounded(settings.size);
        for _ in 0..settings.size {
            // There is room for all of them.
            let _ = put.try_send(None);
        }
        Self {
            settings,
            put,
            take,
        }
    }

    /// Runs a query on a connection that is free, or becomes free in time.
    pub async fn query(&self, query: &Query) -> Answer {
        let wait = Duration::from(self.settings.wait);
        let Ok(Ok(place)) = self.take.recv().timeout(wait).await else {
            let size = self.settings.size;
            return Answer::Unavailable(format!("all {size} connections are busy"));
        };
        let (answer, place) = match self.run(place, query).await {
            Ok((answer, connection)) => (answer, connection),
            // What broke is dropped here, and the next one who gets the place opens a new connection.
            Err(error) => (Answer::Unavailable(error.to_string()), None),
        };
        let _ = self.put.try_send(place);
        answer
    }

    async fn run(&self, place: Place, query: &Query) -> io::Result<(Answer, Place)> {
        let mut connection = self.sound(place).await?;
        let outcome = connection.query(query).await?;
        // A query that left a transaction open must not leave it to the next one.
        let place = Some(connection).filter(Connection::is_clean);
        let answer = match outcome {
            Outcome::Rows(rows) => Answer::Rows(rows),
            Outcome::Refused { code, message } => Answer::Refused { code, message },
        };
        Ok((answer, place))
    }

    /// The connection of a place if it still works, or else a new one: the database may have closed it meanwhile.
    async fn sound(&self, place: Place) -> io::Result<Connection> {
        if let Some(mut connection) = place {
            match connection.check().await {
                Ok(()) => return Ok(connection),
                Err(error) => println!("a connection broke and is replaced: {error}"),
            }
        }
        Connection::open(&self.settings).await
    }

    /// Says goodbye on every connection, once it is free.
    pub async fn close(&self) {
        for _ in 0..self.settings.size {
            if let Ok(Some(connection)) = self.take.recv().await {
                connection.close().await;
            }
        }
    }
}
