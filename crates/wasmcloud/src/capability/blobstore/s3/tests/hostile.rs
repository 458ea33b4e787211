//! Servers that announce or send more than anybody can hold: the call fails, and the host goes on.

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::*;

/// What is answered to a request.
enum Answer {
    /// This, and that all is well.
    Whole(&'static str),
    /// With this status a petabyte is announced, and begun with.
    Announced(&'static str),
    /// All is well, 8 bytes are announced, and pieces come as long as they are taken.
    Endless,
}

use Answer::{Announced, Endless, Whole};

const FOUND: Answer = Whole(r#"{"generation":"0","name":"c"}"#);

/// Blobs on a server that answers so to the first line of a request.
async fn served(answer: fn(&str) -> Answer) -> Arc<dyn Blobs> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer));
        }
    });
    opened(&with(place(&endpoint), Patience::default()), "shop")
}

async fn serve(stream: TcpStream, answer: fn(&str) -> Answer) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let spaces = " ".repeat(1 << 16);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let (head, piece, pieces) = match answer(head.lines().next().unwrap()) {
            Whole(text) => {
                let head = format!("200 OK\r\ncontent-length: {}", text.len());
                (head, text.to_owned(), 1)
            }
            Announced(status) => {
                let head = format!("{status}\r\ncontent-length: {}", 1_u64 << 50);
                (head, spaces.clone(), usize::MAX)
            }
            Endless => {
                let head = "200 OK\r\ncontent-length: 8\r\ntransfer-encoding: chunked";
                let piece = format!("{:x}\r\n{spaces}\r\n", spaces.len());
                (head.to_owned(), piece, usize::MAX)
            }
        };
        let head = format!("HTTP/1.1 {head}\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        for _ in 0..pieces {
            stream.write_all(piece.as_bytes()).await?;
        }
    }
}

fn damaged(what: &str) -> BlobError {
    BlobError::Other(what.to_owned())
}

fn too_much() -> BlobError {
    BlobError::Unavailable("its server has sent too much".to_owned())
}

#[tokio::test]
async fn no_room_is_made_for_an_object_as_large_as_its_server_says() {
    let blobs = served(|_| Announced("200 OK")).await;
    let created = blobs.container_created(&name("c")).await;
    let told = damaged("the object of the container is damaged");
    assert_eq!(created, Err(told));
    let blobs = served(|_| Endless).await;
    let created = blobs.container_created(&name("c")).await;
    assert_eq!(created, Err(too_much()));
}

#[tokio::test]
async fn no_room_is_made_for_a_list_as_long_as_its_server_says() {
    let blobs = served(|line| match line.contains(MARKER) {
        true => FOUND,
        false => Announced("200 OK"),
    });
    let mut names = blobs.await.list(&name("c")).await.unwrap();
    assert_eq!(names.next().await.unwrap(), Err(too_much()));
}

#[tokio::test]
async fn no_room_is_made_for_a_name_as_long_as_its_server_says() {
    const LIST: &str = "<ListBucketResult><Contents><Key>kept/default/workload/shop/c/0/!sha256-00</Key><Size>1</Size>\
                        <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents></ListBucketResult>";
    let blobs = served(|line| match line {
        line if line.contains(MARKER) => FOUND,
        line if line.contains("list-type") => Whole(LIST),
        _ => Announced("200 OK"),
    });
    let mut names = blobs.await.list(&name("c")).await.unwrap();
    let told = damaged("the bucket holds what is no object");
    assert_eq!(names.next().await.unwrap(), Err(told));
}

#[tokio::test]
async fn no_room_is_made_for_an_error_as_long_as_its_server_says() {
    let blobs = served(|_| Announced("403 Forbidden")).await;
    let created = blobs.container_created(&name("c")).await;
    assert_eq!(created, Err(too_much()));
    // Nor where contents are asked for, which may be long.
    let blobs = served(|line| match line.contains(MARKER) {
        true => FOUND,
        false => Announced("403 Forbidden"),
    });
    let whole = Range::inclusive(0, u64::MAX).unwrap();
    let read = blobs.await.read(&id("c", "o"), whole).await;
    assert_eq!(read.map(drop), Err(too_much()));
}

#[tokio::test]
async fn no_room_is_made_for_what_a_server_says_of_a_copy() {
    let blobs = served(|line| match line {
        line if line.contains(MARKER) => FOUND,
        line if line.starts_with("HEAD") => Whole(""),
        _ => Announced("200 OK"),
    });
    let copied = blobs.await.copy(&id("c", "o"), &id("c", "p")).await;
    assert_eq!(copied, Err(too_much()));
}
