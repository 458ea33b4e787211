//! Listening, and waiting to be accepted.

use super::*;

#[test]
fn connections_come_about_before_they_are_accepted_as_long_as_the_backlog_has_room() {
    let network = network();
    let mut listener = listen(&network, "127.0.0.1:80", 2);
    let to = listener.local_addr();
    let task = Task::new();
    assert!(listener.poll_acceptable(&mut task.cx()).is_pending());
    let mut first = connect(&network, to).unwrap();
    assert_eq!(task.rang(), 1);
    let second = connect(&network, to).unwrap();
    write(&mut first, b"early").is_ready();

    let [client_1, client_2] = [Task::new(), Task::new()];
    let (mut third, mut fourth) = (network.connect(None, to), network.connect(None, to));
    assert!(third.poll_unpin(&mut client_1.cx()).is_pending());
    assert!(fourth.poll_unpin(&mut client_2.cx()).is_pending());

    let mut accepted = accept(&mut listener).unwrap();
    assert_eq!(read(&mut accepted, 9), Poll::Ready(Ok("early".into())));
    assert_eq!(
        (client_1.rang(), client_2.rang()),
        (1, 0),
        "in order of arrival"
    );
    let third = third.now_or_never().unwrap().unwrap();
    assert_eq!(accept(&mut listener).unwrap().peer, second.local);
    assert_eq!(accept(&mut listener).unwrap().peer, third.local);
    let fourth = fourth.now_or_never().unwrap().unwrap();
    assert_eq!(accept(&mut listener).unwrap().peer, fourth.local);
    assert!(listener.poll_accept(&mut task.cx()).is_pending());
}

#[test]
fn whoever_gives_up_is_not_accepted() {
    let network = network();
    let mut listener = listen(&network, "127.0.0.1:80", 1);
    let to = listener.local_addr();
    let first = connect(&network, to).unwrap();
    let mut gives_up = network.connect(None, to);
    assert!((&mut gives_up).now_or_never().is_none());
    let mut last = network.connect(None, to);
    assert!((&mut last).now_or_never().is_none());
    drop(gives_up);
    assert_eq!(network.usage().connections, 2);
    assert_eq!(accept(&mut listener).unwrap().peer, first.local);
    let last = last.now_or_never().unwrap().unwrap();
    assert_eq!(accept(&mut listener).unwrap().peer, last.local);
}

#[test]
fn a_backlog_has_room_for_one_at_least_and_4096_at_most() {
    let network = network();
    let none = listen(&network, "127.0.0.1:80", 0);
    let _open = connect(&network, none.local_addr()).unwrap();
    let many = listen(&network, "127.0.0.1:81", usize::MAX);
    let to = many.local_addr();
    let _open: Vec<_> = (0..4096).map(|_| connect(&network, to).unwrap()).collect();
    assert!(network.connect(None, to).now_or_never().is_none());
}

#[test]
fn dropping_a_listener_resets_whom_it_never_accepted_and_refuses_who_waits() {
    let network = network();
    let mut listener = listen(&network, "127.0.0.1:80", 2);
    let to = listener.local_addr();
    let mut accepted = connect(&network, to).unwrap();
    let mut served = accept(&mut listener).unwrap();
    let mut never = connect(&network, to).unwrap();
    let _too = connect(&network, to).unwrap();
    let mut waits = network.connect(None, to);
    let task = Task::new();
    assert!(waits.poll_unpin(&mut task.cx()).is_pending());

    drop(listener);
    assert_eq!(task.rang(), 1);
    assert_eq!(
        waits.now_or_never().unwrap().unwrap_err(),
        NetError::Refused
    );
    assert_eq!(read(&mut never, 1), Poll::Ready(Err(NetError::Reset)));
    assert_eq!(write(&mut never, b"x"), Poll::Ready(Err(NetError::Reset)));
    write(&mut served, b"go on").is_ready();
    assert_eq!(read(&mut accepted, 9), Poll::Ready(Ok("go on".into())));
    listen(&network, "127.0.0.1:80", 1);
}

#[test]
fn one_who_was_let_in_before_they_looked_is_let_in() {
    let network = network();
    let mut listener = listen(&network, "127.0.0.1:80", 1);
    let first = connect(&network, listener.local_addr()).unwrap();
    let second = network.connect(None, listener.local_addr());
    accept(&mut listener).unwrap();
    let accepted = accept(&mut listener).unwrap();
    drop((listener, first));
    let second = second.now_or_never().unwrap().unwrap();
    assert_eq!(second.local, accepted.peer);
}

#[test]
fn when_no_more_are_accepted_open_connections_go_on() {
    let network = network();
    let mut listener = listen(&network, "127.0.0.1:80", 2);
    let mut idle = listen(&network, "127.0.0.1:81", 2);
    let to = listener.local_addr();
    let mut open = connect(&network, to).unwrap();
    let mut served = accept(&mut listener).unwrap();
    let (ready, also) = (
        connect(&network, to).unwrap(),
        connect(&network, to).unwrap(),
    );
    let waits = network.connect(None, to);
    let task = Task::new();
    assert!(idle.poll_accept(&mut task.cx()).is_pending());

    network.stop_accepting();
    assert_eq!(task.rang(), 1);
    assert!(accept(&mut idle).is_none());
    assert_eq!(connect(&network, to).unwrap_err(), NetError::Refused);
    assert_eq!(
        waits.now_or_never().unwrap().unwrap_err(),
        NetError::Refused
    );
    assert_eq!(accept(&mut listener).unwrap().peer, ready.local);
    assert_eq!(accept(&mut listener).unwrap().peer, also.local);
    assert!(accept(&mut listener).is_none());
    write(&mut open, b"go on").is_ready();
    assert_eq!(read(&mut served, 9), Poll::Ready(Ok("go on".into())));
    let mut late = listen(&network, "127.0.0.1:82", 2);
    assert!(accept(&mut late).is_none());
}

#[test]
fn who_listens_is_known() {
    let network = network();
    let _bound = network.bind_tcp(addr("127.0.0.1:1")).unwrap();
    let _v6 = listen(&network, "[::1]:7", 1);
    let second = listen(&network, "127.0.0.2:9", 1);
    let _first = listen(&network, "0.0.0.0:80", 1);
    let expected = ["0.0.0.0:80", "127.0.0.2:9", "[::1]:7"];
    assert_eq!(network.listeners(), expected.map(addr));
    drop(second);
    assert_eq!(network.listeners(), ["0.0.0.0:80", "[::1]:7"].map(addr));
}

#[tokio::test]
async fn one_can_wait_until_somebody_listens() {
    let network = network();
    let mut waits = Box::pin(network.listening(80));
    assert!((&mut waits).now_or_never().is_none());
    let bound = network.bind_tcp(addr("127.0.0.1:80")).unwrap();
    let _elsewhere = listen(&network, "127.0.0.1:81", 1);
    let _not_local = listen(&network, "127.0.0.2:80", 1);
    assert!((&mut waits).now_or_never().is_none());
    let _listener = bound.listen(1);
    waits.await;
    let _v6 = listen(&network, "[::]:90", 1);
    network.listening(90).await;
}
