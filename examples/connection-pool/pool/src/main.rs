//! The service: keeps connections to PostgreSQL open and lends them to the components of its workload, which live for one request
//! only and could keep none themselves.

mod connection;
mod pool;
mod settings;

use std::rc::Rc;

use protocol::{Answer, LISTEN, Query, receive, send};
use wstd::io;
use wstd::iter::AsyncIterator as _;
use wstd::net::{TcpListener, TcpStream};
use wstd::runtime::spawn;

use pool::Pool;
use settings::Settings;

/// Where notes are kept.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS notes (\
                     id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, text text NOT NULL)";

#[wstd::main]
async fn main() -> io::Result<()> {
    let settings = Settings::from_environment()?;
    println!("{} connections at most to {settings}", settings.size);
    let pool = Rc::new(Pool::new(settings));
    // Fails when the database is not there yet. The host starts a service that failed again, after a while.
    prepare(&pool).await?;
    let listener = TcpListener::bind(&LISTEN.to_string()).await?;
    let mut incoming = listener.incoming();
    while let Some(Ok(client)) = incoming.next().await {
        let pool = Rc::clone(&pool);
        spawn(async move {
            if let Err(error) = answer(&pool, client).await {
                println!("a component left early: {error}");
            }
        })
        .detach();
    }
    pool.close().await;
    Ok(())
}

async fn prepare(pool: &Pool) -> io::Result<()> {
    let query = Query {
        sql: TABLE.to_owned(),
        values: Vec::new(),
    };
    match pool.query(&query).await {
        Answer::Rows(_) => Ok(()),
        Answer::Refused { message, .. } | Answer::Unavailable(message) => {
            Err(io::Error::other(message))
        }
    }
}

/// Answers one component.
async fn answer(pool: &Pool, mut client: TcpStream) -> io::Result<()> {
    let query: Query = receive(&mut client).await?;
    let answer = pool.query(&query).await;
    send(&mut client, &answer).await
}
