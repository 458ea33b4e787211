//! Listens where `LISTEN` says, and sends everybody back what they send, all at once.

use wstd::io;
use wstd::iter::AsyncIterator as _;
use wstd::net::TcpListener;

struct Service;

async fn serve() -> io::Result<()> {
    let at = std::env::var("LISTEN").unwrap_or_default();
    let listener = TcpListener::bind(&at).await?;
    println!("listening on {at}");
    let mut incoming = listener.incoming();
    while let Some(stream) = incoming.next().await {
        let stream = stream?;
        wstd::runtime::spawn(async move { io::copy(&stream, &stream).await }).detach();
    }
    Ok(())
}

impl wasip2::exports::cli::run::Guest for Service {
    fn run() -> Result<(), ()> {
        let served = wstd::runtime::block_on(serve());
        println!("no more: {}", served.is_err());
        Ok(())
    }
}

wasip2::cli::command::export!(Service with_types_in wasip2);
