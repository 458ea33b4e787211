//! UDP.

use super::*;

fn bind(network: &Arc<Network>, at: &str) -> Datagrams {
    network.bind_udp(addr(at)).unwrap()
}

fn send(from: &mut Datagrams, data: &[u8], to: SocketAddr) -> Result<(), NetError> {
    match from.poll_send(&mut cx(), data, to) {
        Poll::Ready(sent) => sent,
        Poll::Pending => panic!("sending waits"),
    }
}

fn receive(at: &mut Datagrams) -> Poll<(Bytes, SocketAddr)> {
    at.poll_receive(&mut cx())
}

#[test]
fn datagrams_arrive_one_by_one_with_their_sender() {
    let network = network();
    let (mut one, mut other) = (
        bind(&network, "127.0.0.1:0"),
        bind(&network, "127.0.0.2:53"),
    );
    let (here, there) = (one.local_addr(), other.local_addr());
    let task = Task::new();
    assert!(other.poll_receivable(&mut task.cx()).is_pending());
    for data in ["a", "", "b"] {
        send(&mut one, data.as_bytes(), there).unwrap();
    }
    assert_eq!(task.rang(), 1);
    for data in ["a", "", "b"] {
        assert!(other.poll_receivable(&mut task.cx()).is_ready());
        assert_eq!(receive(&mut other), Poll::Ready((data.into(), here)));
    }
    assert_eq!(receive(&mut other), Poll::Pending);
    assert_eq!(network.usage(), NOTHING);
}

#[test]
fn all_addresses_receive_for_each_and_send_from_localhost() {
    let network = network();
    let (mut all, mut one) = (bind(&network, "0.0.0.0:53"), bind(&network, "127.0.0.1:54"));
    send(&mut one, b"ask", addr("127.3.3.3:53")).unwrap();
    assert!(receive(&mut all).is_ready());
    send(&mut all, b"answer", one.local_addr()).unwrap();
    assert_eq!(
        receive(&mut one),
        Poll::Ready(("answer".into(), addr("127.0.0.1:53")))
    );
    send(&mut one, b"me", addr("0.0.0.0:53")).unwrap();
    assert!(receive(&mut all).is_ready());
}

#[test]
fn datagrams_to_nobody_are_lost_in_silence() {
    let network = network();
    let mut one = bind(&network, "127.0.0.1:0");
    for nobody in ["127.0.0.1:9", "[::1]:9", "10.0.0.1:9", "127.0.0.1:0"] {
        send(&mut one, b"?", addr(nobody)).unwrap();
    }
    assert_eq!(network.usage(), NOTHING);
}

#[test]
fn tcp_and_udp_have_ports_of_their_own() {
    let network = network();
    let _tcp = listen(&network, "127.0.0.1:53", 1);
    let udp = bind(&network, "127.0.0.1:53");
    assert_eq!(
        network.bind_udp(addr("0.0.0.0:53")).unwrap_err(),
        NetError::InUse
    );
    drop(udp);
    bind(&network, "0.0.0.0:53");
}

#[test]
fn the_longest_datagram_fits_and_a_longer_one_is_an_error() {
    let network = network();
    let mut one = bind(&network, "127.0.0.1:0");
    let to = one.local_addr();
    send(&mut one, &[7; 65_507], to).unwrap();
    assert_eq!(send(&mut one, &[7; 65_508], to), Err(NetError::TooLarge));
    let Poll::Ready((data, _)) = receive(&mut one) else {
        panic!("it is lost");
    };
    assert_eq!(data.len(), 65_507);
}

#[test]
fn what_does_not_fit_is_lost_and_costs_nothing() {
    let network = network();
    let mut one = bind(&network, "127.0.0.1:0");
    let to = one.local_addr();
    for _ in 0..10_000 {
        send(&mut one, b"", to).unwrap();
    }
    let full = network.usage().buffered;
    assert!((64 * 1024..=64 * 1024 + 64).contains(&full), "{full}");
    let mut received = 0;
    while receive(&mut one).is_ready() {
        received += 1;
    }
    assert_eq!(received, 1025);
    send(&mut one, b"again", to).unwrap();
    assert!(receive(&mut one).is_ready());
}

#[test]
fn the_budget_of_the_workload_bounds_all_endpoints_and_is_given_back() {
    let network = Network::new(NetworkBudget {
        buffered: 2000,
        ..NetworkBudget::default()
    });
    let (mut one, mut other) = (bind(&network, "127.0.0.1:1"), bind(&network, "127.0.0.1:2"));
    let (first, second) = (one.local_addr(), other.local_addr());
    send(&mut one, &[1; 1000], second).unwrap();
    send(&mut other, &[2; 1000], first).unwrap();
    assert_eq!(network.usage().buffered, 1064);
    assert_eq!(receive(&mut one), Poll::Pending);
    drop(other);
    assert_eq!(network.usage(), NOTHING);
    send(&mut one, b"?", second).unwrap();
    assert_eq!(network.usage(), NOTHING);
}

#[test]
fn sending_never_waits() {
    let network = network();
    assert!(
        bind(&network, "127.0.0.1:0")
            .poll_sendable(&mut cx())
            .is_ready()
    );
}
