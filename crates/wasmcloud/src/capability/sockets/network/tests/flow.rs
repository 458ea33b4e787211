//! Backpressure: of one pipe, and of all of a workload.

use super::*;

fn with_room_for(buffered: usize) -> Arc<Network> {
    Network::new(NetworkBudget {
        buffered,
        ..NetworkBudget::default()
    })
}

#[test]
fn a_pipe_takes_64_kib_until_somebody_reads() {
    let network = network();
    let (mut client, mut server) = pair(&network);
    assert_eq!(client.writer.capacity(), 65_536);
    assert_eq!(
        client.writer.poll_writable(&mut cx()),
        Poll::Ready(Ok(65_536))
    );
    assert_eq!(write(&mut client, &[1; 100_000]), Poll::Ready(Ok(65_536)));
    let task = Task::new();
    assert!(client.writer.poll_writable(&mut task.cx()).is_pending());
    assert!(
        client
            .writer
            .poll_write_from(&mut task.cx(), b"x")
            .is_pending()
    );
    let mut into = [0; 32 * 1024];
    assert!(
        server
            .reader
            .poll_read_into(&mut cx(), &mut into[1..])
            .is_ready()
    );
    assert_eq!(task.rang(), 0, "a little room is not worth waking up for");
    assert!(
        server
            .reader
            .poll_read_into(&mut cx(), &mut into[..1])
            .is_ready()
    );
    assert_eq!(task.rang(), 1);
    assert_eq!(
        client.writer.poll_writable(&mut cx()),
        Poll::Ready(Ok(32 * 1024))
    );
}

#[test]
fn nobody_is_woken_for_nothing() {
    let network = network();
    let (mut client, mut server) = pair(&network);
    let (reads, writes) = (Task::new(), Task::new());
    assert!(server.reader.poll_read(&mut reads.cx(), 9).is_pending());
    assert!(server.reader.poll_readable(&mut reads.cx()).is_pending());
    for _ in 0..3 {
        assert!(
            client
                .writer
                .poll_write_from(&mut writes.cx(), b"abc")
                .is_ready()
        );
    }
    assert_eq!(
        reads.rang(),
        1,
        "once: after that there is something to read"
    );
    assert_eq!(
        client.writer.poll_write_from(&mut writes.cx(), b""),
        Poll::Ready(Ok(0))
    );
    assert_eq!(
        server.reader.poll_read(&mut reads.cx(), 100),
        Poll::Ready(Ok("abcabcabc".into()))
    );
    assert_eq!((reads.rang(), writes.rang()), (0, 0));
    assert!(
        client
            .writer
            .poll_write_from(&mut writes.cx(), b"d")
            .is_ready()
    );
    assert_eq!(reads.rang(), 0, "nobody waits");
}

#[test]
fn whoever_waits_for_the_end_only_is_not_woken_by_room() {
    let network = network();
    let (mut client, mut server) = pair(&network);
    let task = Task::new();
    assert_eq!(write(&mut client, &[1; 65_536]), Poll::Ready(Ok(65_536)));
    assert!(client.writer.poll_closed(&mut task.cx()).is_pending());
    assert!(read(&mut server, 65_536).is_ready());
    assert_eq!(task.rang(), 0);
    drop(server);
    assert_eq!(task.rang(), 1);
}

#[test]
fn the_last_that_polled_is_woken() {
    let network = network();
    let (mut client, mut server) = pair(&network);
    let (first, last) = (Task::new(), Task::new());
    assert!(server.reader.poll_readable(&mut first.cx()).is_pending());
    assert!(server.reader.poll_readable(&mut last.cx()).is_pending());
    write(&mut client, b"x").is_ready();
    assert_eq!((first.rang(), last.rang()), (0, 1));
}

#[test]
fn a_pipe_can_be_made_smaller_and_larger() {
    let network = network();
    let (mut client, _server) = pair(&network);
    assert_eq!(client.writer.set_capacity(1), 4096);
    assert_eq!(write(&mut client, &[1; 10_000]), Poll::Ready(Ok(4096)));
    let task = Task::new();
    assert!(client.writer.poll_writable(&mut task.cx()).is_pending());
    assert_eq!(client.writer.set_capacity(usize::MAX), 1024 * 1024);
    assert_eq!(task.rang(), 1);
    let room = 1024 * 1024 - 4096;
    assert_eq!(
        client.writer.poll_writable(&mut cx()),
        Poll::Ready(Ok(room))
    );
    assert_eq!(client.writer.set_capacity(100), 4096);
    assert!(client.writer.poll_writable(&mut cx()).is_pending());
}

#[test]
fn a_million_small_writes_cost_their_bytes() {
    let network = network();
    let (mut client, mut server) = pair(&network);
    client.writer.set_capacity(1024 * 1024);
    for _ in 0..1_000_000 {
        assert_eq!(write(&mut client, b"x"), Poll::Ready(Ok(1)));
    }
    let mut reads = 0;
    while let Poll::Ready(Ok(bytes)) = read(&mut server, usize::MAX) {
        assert!(!bytes.is_empty());
        reads += 1;
    }
    assert!(reads <= 1_000_000 / 4096 + 1, "{reads} chunks");
}

#[test]
fn beyond_the_budget_every_pipe_still_holds_4_kib() {
    let network = with_room_for(10_000);
    let (mut greedy, _unread) = pair(&network);
    assert_eq!(write(&mut greedy, &[1; 20_000]), Poll::Ready(Ok(14_096)));
    assert!(write(&mut greedy, &[1; 20_000]).is_pending());
    let (mut modest, mut reads) = pair(&network);
    for _ in 0..10 {
        assert_eq!(
            modest.writer.poll_writable(&mut cx()),
            Poll::Ready(Ok(4096))
        );
        assert_eq!(write(&mut modest, &[2; 20_000]), Poll::Ready(Ok(4096)));
        let task = Task::new();
        assert!(modest.writer.poll_writable(&mut task.cx()).is_pending());
        assert_eq!(
            read(&mut reads, 9000).map_ok(|bytes| bytes.len()),
            Poll::Ready(Ok(4096))
        );
        assert_eq!(task.rang(), 1);
    }
    assert_eq!(network.usage().buffered, 10_000);
}

#[test]
fn freed_room_wakes_who_waits_for_it() {
    let network = with_room_for(80_000);
    let (mut greedy, mut reads) = pair(&network);
    let (mut second, unread) = pair(&network);
    let (mut third, _unread) = pair(&network);
    assert_eq!(write(&mut greedy, &[1; 65_536]), Poll::Ready(Ok(65_536)));
    assert_eq!(
        write(&mut second, &[1; 65_536]),
        Poll::Ready(Ok(4096 + 80_000 - 61_440))
    );
    assert_eq!(write(&mut third, &[1; 65_536]), Poll::Ready(Ok(4096)));
    let (waits, also) = (Task::new(), Task::new());
    assert!(
        third
            .writer
            .poll_write_from(&mut waits.cx(), &[1; 100])
            .is_pending()
    );
    assert!(second.writer.poll_writable(&mut also.cx()).is_pending());
    assert!(read(&mut reads, 60_000).is_ready());
    assert_eq!(
        waits.rang(),
        0,
        "the memory is held until the chunk was read"
    );
    assert!(read(&mut reads, 60_000).is_ready());
    assert_eq!((waits.rang(), also.rang()), (1, 1));
    assert_eq!(write(&mut third, &[1; 100]), Poll::Ready(Ok(100)));
    drop(unread);
    assert_eq!(network.usage().buffered, 100);
    assert_eq!(waits.rang(), 0, "it has its room");
    assert_eq!(also.rang(), 1, "nobody reads what it would write");
}

#[test]
fn a_dropped_connection_frees_its_room() {
    let network = with_room_for(60_000);
    let (mut greedy, unread) = pair(&network);
    let (mut other, _end) = pair(&network);
    write(&mut greedy, &[1; 64_096]).is_ready();
    write(&mut other, &[1; 4096]).is_ready();
    let task = Task::new();
    assert!(other.writer.poll_writable(&mut task.cx()).is_pending());
    drop(unread);
    assert_eq!(task.rang(), 1);
    assert_eq!(
        other.writer.poll_writable(&mut cx()),
        Poll::Ready(Ok(60_000))
    );
}

#[test]
fn a_chunk_that_was_read_but_for_a_byte_does_not_stop_its_pipe() {
    let network = with_room_for(60_000);
    let (mut client, mut server) = pair(&network);
    assert_eq!(write(&mut client, &[1; 64_096]), Poll::Ready(Ok(64_096)));
    assert_eq!(
        read(&mut server, 64_095).map_ok(|bytes| bytes.len()),
        Poll::Ready(Ok(64_095))
    );
    assert_eq!(
        client.writer.poll_writable(&mut cx()),
        Poll::Ready(Ok(4095))
    );
    assert_eq!(write(&mut client, &[2; 9000]), Poll::Ready(Ok(4095)));
    assert!(write(&mut client, &[2; 9000]).is_pending());
    for length in [1, 4095] {
        assert_eq!(
            read(&mut server, 9000).map_ok(|bytes| bytes.len()),
            Poll::Ready(Ok(length))
        );
    }
    drop((client, server));
    assert_eq!(network.usage(), NOTHING);
}
