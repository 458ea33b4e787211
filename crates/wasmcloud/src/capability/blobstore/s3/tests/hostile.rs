//! Servers that announce or send more than anybody can hold, are full, or do not answer: the call fails, and the host goes on.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use super::*;

/// What is answered to a request.
#[derive(Clone, Copy)]
enum Answer {
    /// This, and that all is well.
    Whole(&'static str),
    /// This status, and these words.
    Refused(&'static str, &'static str),
    /// With this status a petabyte is announced, and begun with.
    Announced(&'static str),
    /// All is well, 8 bytes are announced, and pieces come as long as they are taken.
    Endless,
    /// Nothing comes.
    Never,
}

use Answer::{Announced, Endless, Never, Refused, Whole};

const FOUND: Answer = Whole(r#"{"generation":"0","name":"c"}"#);

/// Waits for what never comes.
const ENDLESS: Patience = Patience {
    usual: Duration::from_secs(24 * 3600),
    sent: Duration::from_secs(24 * 3600),
    work: Duration::from_secs(24 * 3600),
};

/// Blobs on a server that answers so to the first line of a request.
async fn served(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Arc<dyn Blobs> {
    served_to(Patience::default(), answer).await
}

/// The same for who has that patience.
async fn served_to(
    patience: Patience,
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> Arc<dyn Blobs> {
    let answer = Arc::new(answer);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move { serve(stream, &*answer).await });
        }
    });
    opened(&with(place(&endpoint), patience), "shop")
}

/// How long the body of a request is.
fn length(head: &str) -> usize {
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let is_it = name.eq_ignore_ascii_case("content-length");
        is_it.then(|| value.parse().unwrap())
    });
    length.unwrap_or(0)
}

async fn serve(stream: TcpStream, answer: &(impl Fn(&str) -> Answer + Sync)) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let spaces = " ".repeat(1 << 16);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        stream.read_exact(&mut vec![0; length(&head)]).await?;
        let told = |status: &str, text: &str| {
            // Without the tag, the client takes nothing for written.
            let head = format!("{status}\r\netag: \"0\"\r\ncontent-length: {}", text.len());
            (head, text.to_owned(), 1)
        };
        let (head, piece, pieces) = match answer(head.lines().next().unwrap()) {
            Whole(text) => told("200 OK", text),
            Refused(status, text) => told(status, text),
            Announced(status) => {
                let head = format!("{status}\r\ncontent-length: {}", 1_u64 << 50);
                (head, spaces.clone(), usize::MAX)
            }
            Endless => {
                let head = "200 OK\r\ncontent-length: 8\r\ntransfer-encoding: chunked";
                let piece = format!("{:x}\r\n{spaces}\r\n", spaces.len());
                (head.to_owned(), piece, usize::MAX)
            }
            Never => std::future::pending().await,
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

/// Servers tell it in different ways, one of which looks like a denial.
#[tokio::test]
async fn a_server_that_is_full_is_told_as_full() {
    let written = async |answer: Answer| {
        let blobs = served(move |line: &str| match line.starts_with("PUT") {
            true => answer,
            false => FOUND,
        });
        write_all(&blobs.await, "c", "o", b"x").await
    };
    for full in [
        Refused("507 Insufficient Storage", ""),
        Refused(
            "403 Forbidden",
            "<Error><Code>QuotaExceeded</Code><Message>s3cret</Message></Error>",
        ),
        Refused(
            "400 Bad Request",
            "<Error><Code>XMinioAdminBucketQuotaExceeded</Code></Error>",
        ),
    ] {
        let told = Err(BlobError::Quota("the store is full".to_owned()));
        assert_eq!(written(full).await, told);
    }
    let denied = "<Error><Code>AccessDenied</Code></Error>";
    let told = written(Refused("403 Forbidden", denied)).await;
    assert_eq!(told, Err(BlobError::Denied));
    // One that says more than anybody can hold is not believed to be full.
    let told = written(Announced("403 Forbidden")).await;
    assert_eq!(told, Err(too_much()));
}

/// Removing what another one of its name has left may take long.
#[tokio::test]
async fn nobody_waits_for_who_sweeps_to_create_a_container() {
    let created = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&created);
    let blobs = served_to(ENDLESS, move |line: &str| match line {
        line if line.contains("list-type") => Never,
        line if line.starts_with("PUT") => {
            counted.fetch_add(1, Ordering::SeqCst);
            Whole("")
        }
        _ => Refused("404 Not Found", ""),
    })
    .await;
    let creating = ["c", "d"].map(|container| {
        let blobs = Arc::clone(&blobs);
        tokio::spawn(async move { blobs.create_container(&name(container)).await })
    });
    let both = async {
        while created.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), both)
        .await
        .unwrap();
    assert!(creating.iter().all(|creating| !creating.is_finished()));
    creating.iter().for_each(tokio::task::JoinHandle::abort);
}
