//! Many steps and several threads: nothing is lost, nobody sleeps forever.

use std::collections::VecDeque;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// A writer and a reader do random things; what arrives is what a plain queue of bytes would give.
#[test]
fn a_connection_is_like_a_queue_of_bytes() {
    let mut random = fastrand::Rng::with_seed(42);
    for buffered in [0, 10_000, 1 << 20] {
        let network = Network::new(NetworkBudget {
            buffered,
            ..NetworkBudget::default()
        });
        let (mut client, mut server) = pair(&network);
        let mut model: VecDeque<u8> = VecDeque::new();
        for _ in 0..1500 {
            let largest = [10, 2000, 70_000][random.usize(..3)];
            let size = random.usize(..largest);
            match random.u8(..6) {
                0..=1 => {
                    let data: Vec<u8> = (0..size).map(|_| random.u8(..)).collect();
                    if let Poll::Ready(written) = write(&mut client, &data) {
                        model.extend(&data[..written.unwrap()]);
                    }
                }
                2 => {
                    let data: Bytes = (0..size).map(|_| random.u8(..)).collect();
                    let mut rest = data.clone();
                    let written = client.writer.poll_write(&mut cx(), &mut rest);
                    let written = match written {
                        Poll::Ready(written) => written.unwrap(),
                        Poll::Pending => 0,
                    };
                    assert_eq!(data.len() - rest.len(), written);
                    model.extend(&data[..written]);
                }
                3 => {
                    client.writer.set_capacity(random.usize(..200_000));
                }
                4 if size > 0 => match read(&mut server, size) {
                    Poll::Ready(bytes) => {
                        let bytes = bytes.unwrap();
                        assert!(bytes.len() <= size);
                        assert!(bytes.iter().copied().eq(model.drain(..bytes.len())));
                    }
                    Poll::Pending => assert!(model.is_empty()),
                },
                _ => {
                    let mut into = vec![0; size + 1];
                    match server.reader.poll_read_into(&mut cx(), &mut into) {
                        Poll::Ready(read) => {
                            let read = read.unwrap();
                            assert_eq!(read, model.len().min(size + 1));
                            assert!(into[..read].iter().copied().eq(model.drain(..read)));
                        }
                        Poll::Pending => assert!(model.is_empty()),
                    }
                }
            }
        }
        drop((client, server));
        assert_eq!(network.usage(), NOTHING);
    }
}

/// Connections compete for little room on two threads, and every byte arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_forever_for_room() {
    const BYTES: usize = 300_000;
    for buffered in [0, 1000, 50_000] {
        let network = Network::new(NetworkBudget {
            buffered,
            ..NetworkBudget::default()
        });
        let mut tasks = Vec::new();
        for seed in 0..16 {
            let (client, server) = pair(&network);
            let mut random = fastrand::Rng::with_seed(seed);
            tasks.push(tokio::spawn(async move {
                let mut writer = client.writer;
                let data: Vec<u8> = (0..BYTES).map(|byte| byte as u8).collect();
                let mut rest = &data[..];
                while !rest.is_empty() {
                    let most = rest.len().min(1 + random.usize(..20_000));
                    let written = writer.write(&rest[..most]).await.unwrap();
                    rest = &rest[written..];
                }
                // The reader lives on: what it reads are only those bytes.
                drop(writer);
                drop(client.reader);
            }));
            tasks.push(tokio::spawn(async move {
                let mut reader = server.reader;
                let mut read = Vec::new();
                reader.read_to_end(&mut read).await.unwrap();
                assert_eq!(read.len(), BYTES);
                assert!(read.iter().enumerate().all(|(at, byte)| *byte == at as u8));
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(network.usage(), NOTHING);
        assert_eq!(Arc::strong_count(&network), 1);
    }
}

/// Small messages go back and forth between two threads: a lost wake-up would stop them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_is_answered() {
    let network = network();
    let (mut client, mut server) = pair(&network);
    let echo = tokio::spawn(async move {
        let mut message = [0; 64];
        while server.reader.read_exact(&mut message).await.is_ok() {
            server.writer.write_all(&message).await.unwrap();
        }
    });
    for round in 0..20_000_usize {
        let message = [round as u8; 64];
        client.writer.write_all(&message).await.unwrap();
        let mut answer = [0; 64];
        client.reader.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, message);
    }
    drop(client);
    echo.await.unwrap();
    assert_eq!(network.usage(), NOTHING);
}

/// Clients connect, give up, and are accepted while listeners come and go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connecting_and_accepting_race_without_a_trace() {
    let network = Network::new(NetworkBudget {
        connections: 50,
        ..NetworkBudget::default()
    });
    let clients = (0..4).map(|seed| {
        let network = Arc::clone(&network);
        tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut outcomes = [0_usize; 3];
            for _ in 0..5000 {
                let connecting = network.connect(None, addr("127.0.0.1:80"));
                let outcome = if random.bool() {
                    connecting.now_or_never()
                } else {
                    Some(connecting.await)
                };
                match outcome {
                    Some(Ok(mut open)) => {
                        let _ = open.writer.write_all(b"hello").await;
                        let mut answer = Vec::new();
                        let _ = open.reader.read_to_end(&mut answer).await;
                        outcomes[0] += 1;
                    }
                    Some(Err(error)) => {
                        assert!(
                            matches!(error, NetError::Refused | NetError::Full),
                            "{error}"
                        );
                        outcomes[1] += 1;
                        tokio::task::yield_now().await;
                    }
                    None => outcomes[2] += 1,
                }
            }
            outcomes
        })
    });
    let clients: Vec<_> = clients.collect();
    let server = {
        let network = Arc::clone(&network);
        tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(9);
            loop {
                let mut listener = listen(&network, "127.0.0.1:80", 2);
                for _ in 0..random.usize(..200) {
                    let accepting = std::future::poll_fn(|cx| listener.poll_accept(cx));
                    let mut accepted = accepting.await.unwrap();
                    let mut hello = [0; 5];
                    let _ = accepted.reader.read_exact(&mut hello).await;
                }
            }
        })
    };
    for client in clients {
        let [served, ..] = client.await.unwrap();
        assert!(served > 0);
    }
    server.abort();
    let _ = server.await;
    assert_eq!(network.usage(), NOTHING);
    assert_eq!(Arc::strong_count(&network), 1);
}
