//! Servers that say more than anybody could hold: a manifest may name any.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What is asked by whoever connects.
const START: &str = "start";
const TOO_MUCH: &str = "the server says more than this host takes";
/// More than what is on its way when a connection ends.
const SOME: usize = 32 << 20;

/// What is answered, piece by piece.
type Words = Box<dyn Iterator<Item = Vec<u8>> + Send>;

/// A server that answers what it wants to.
struct Hostile {
    url: String,
    /// How many bytes of that were taken.
    taken: Arc<AtomicUsize>,
}

impl Hostile {
    /// The answer is to the SQL of a question, or to nothing where it is about a statement that was prepared.
    async fn start(answer: impl Fn(&str) -> Words + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("postgres://notes@{}/notes", listener.local_addr().unwrap());
        let taken = Arc::new(AtomicUsize::new(0));
        let (answer, counted) = (Arc::new(answer), Arc::clone(&taken));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, taken) = (Arc::clone(&answer), Arc::clone(&counted));
                tokio::spawn(async move { serve(stream, &*answer, &taken).await });
            }
        });
        Self { url, taken }
    }

    fn database(&self) -> impl Database + use<> {
        open(&self.url, How::default())
    }

    fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: &(impl Fn(&str) -> Words + Sync),
    taken: &AtomicUsize,
) -> std::io::Result<()> {
    body(&mut stream).await?;
    let mut asked = START.to_owned();
    loop {
        for words in answer(&asked) {
            stream.write_all(&words).await?;
            taken.fetch_add(words.len(), Ordering::SeqCst);
        }
        asked = question(&mut stream).await?;
    }
}

/// What follows a length that counts itself.
async fn body(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = stream.read_u32().await?;
    let mut body = vec![0; usize::try_from(length).unwrap() - 4];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// The SQL of messages up to the one that wants to be answered.
async fn question(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut sql = String::new();
    loop {
        let kind = stream.read_u8().await?;
        let body = body(stream).await?;
        if matches!(kind, b'Q' | b'P') {
            sql += &String::from_utf8_lossy(&body);
        }
        if matches!(kind, b'Q' | b'S') {
            return Ok(sql);
        }
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

fn welcome() -> Vec<u8> {
    message(b'R', &0_u32.to_be_bytes())
}

fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}

fn done(command: &str) -> Vec<u8> {
    let tag = format!("{command}\0");
    [message(b'C', tag.as_bytes()), ready()].concat()
}

fn once(messages: &[Vec<u8>]) -> Words {
    Box::new(std::iter::once(messages.concat()))
}

/// Something first, and then one message after the other, by their numbers.
fn endless(first: Vec<u8>, next: impl Fn(u64) -> Vec<u8> + Send + 'static) -> Words {
    let pieces = (0_u64..).map(move |piece| {
        let numbers = piece * 1000..(piece + 1) * 1000;
        numbers.flat_map(&next).collect::<Vec<u8>>()
    });
    Box::new(std::iter::once(first).chain(pieces))
}

fn parameter(number: u64) -> Vec<u8> {
    message(b'S', format!("p{number}\0on\0").as_bytes())
}

fn notice(_: u64) -> Vec<u8> {
    message(b'N', b"SNOTICE\0C00000\0Mhello\0\0")
}

/// What a statement is like: the types of its parameters and columns.
fn described(params: &[u32], columns: &[u32]) -> Words {
    let count = |of: &[u32]| u16::try_from(of.len()).unwrap().to_be_bytes();
    let mut of_params = count(params).to_vec();
    for ty in params {
        of_params.extend(ty.to_be_bytes());
    }
    let mut of_columns = count(columns).to_vec();
    for ty in columns {
        // Its name, of which table and column it is, its type, how long that is and its format.
        of_columns.extend(b"c\0");
        of_columns.extend([0_u8; 6]);
        of_columns.extend(ty.to_be_bytes());
        of_columns.extend([0_u8; 8]);
    }
    once(&[
        message(b'1', b""),
        message(b't', &of_params),
        message(b'T', &of_columns),
        ready(),
    ])
}

fn row(values: &[Option<&[u8]>]) -> Vec<u8> {
    let count = u16::try_from(values.len()).unwrap();
    let mut row = count.to_be_bytes().to_vec();
    for value in values {
        let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
        row.extend(length.to_be_bytes());
        row.extend(value.unwrap_or_default());
    }
    message(b'D', &row)
}

const NAME: u32 = 19;
const CHAR: u32 = 18;
const OID: u32 = 26;
/// A type that no client knows.
const ODD: u32 = 100_000;

/// What the server is asked of a type.
const OF_TYPE: [u32; 7] = [NAME, CHAR, OID, OID, OID, NAME, OID];

/// What it is: of which kind, and what it is a domain of.
fn of_type(kind: u8, base: u32) -> Vec<u8> {
    let none = 0_u32.to_be_bytes();
    row(&[
        Some(b"odd"),
        Some(&[kind]),
        Some(&none),
        None,
        Some(&base.to_be_bytes()),
        Some(b"public"),
        Some(&none),
    ])
}

/// What every server says of what is usual.
fn usual(asked: &str) -> Option<Words> {
    Some(match asked {
        START => once(&[welcome(), ready()]),
        sql if sql.contains("statement_timeout") => once(&[done("SET")]),
        sql if sql.contains("pg_catalog.pg_type") => described(&[OID], &OF_TYPE),
        sql if sql.contains("pg_catalog.pg_enum") => described(&[OID], &[NAME]),
        sql if sql.contains("SELECT odd") => described(&[], &[ODD]),
        _ => return None,
    })
}

#[tokio::test]
async fn a_server_that_tells_without_end_before_it_lets_anybody_in_is_left() {
    for next in [parameter as fn(u64) -> Vec<u8>, notice] {
        let server = Hostile::start(move |asked| match asked {
            START => endless(welcome(), next),
            _ => once(&[done("SET")]),
        })
        .await;
        let told = one(&server.database(), "SELECT 1", &[]).await;
        assert!(matches!(told, Err(Fault::Unavailable(_))), "{told:?}");
        assert!(server.taken() < SOME, "{} bytes", server.taken());
    }
}

#[tokio::test]
async fn a_server_that_tells_more_and_more_parameters_is_left() {
    let server = Hostile::start(|asked| match asked {
        sql if sql.contains("SELECT often") => {
            let same = (0..10_000).flat_map(|number| parameter(number % 20));
            once(&[same.collect(), done("SELECT 0")])
        }
        sql if sql.contains("SELECT others") => endless(Vec::new(), parameter),
        sql => usual(sql).unwrap_or_else(|| once(&[ready()])),
    })
    .await;
    let database = server.database();
    assert_eq!(batch(&database, "SELECT often").await, Ok(()));
    let told = batch(&database, "SELECT others").await;
    assert_eq!(told, Err(Fault::Other(TOO_MUCH.to_owned())));
    assert!(server.taken() < SOME, "{} bytes", server.taken());
    assert_eq!(batch(&database, "SELECT often").await, Ok(()));
}

/// The client looks up what it does not know, and what that is made of, one in the other: so deep that no stack would hold it.
#[tokio::test]
async fn a_type_that_is_made_of_others_without_end_is_not_looked_into() {
    let lookups = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&lookups);
    let server = Hostile::start(move |asked| {
        usual(asked).unwrap_or_else(|| {
            let base = ODD + 1 + counted.fetch_add(1, Ordering::SeqCst);
            once(&[message(b'2', b""), of_type(b'd', base), done("SELECT 1")])
        })
    })
    .await;
    let told = one(&server.database(), "SELECT odd", &[]).await;
    assert_eq!(told, Err(Fault::Other(TOO_MUCH.to_owned())));
    let lookups = lookups.load(Ordering::SeqCst);
    assert!((200..=256).contains(&lookups), "{lookups} lookups");
}

#[tokio::test]
async fn a_type_that_has_labels_without_end_is_not_looked_into() {
    let lookups = AtomicU32::new(0);
    let server = Hostile::start(move |asked| {
        usual(asked).unwrap_or_else(|| {
            let bound = message(b'2', b"");
            match lookups.fetch_add(1, Ordering::SeqCst) {
                0 => once(&[bound, of_type(b'e', 0), done("SELECT 1")]),
                _ => endless(bound, |_| row(&[Some(b"label")])),
            }
        })
    })
    .await;
    let told = one(&server.database(), "SELECT odd", &[]).await;
    assert_eq!(told, Err(Fault::Other(TOO_MUCH.to_owned())));
    assert!(server.taken() < SOME, "{} bytes", server.taken());
}
