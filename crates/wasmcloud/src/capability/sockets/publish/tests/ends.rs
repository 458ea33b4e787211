//! How connections from outside end, and how many there may be.

use super::*;

#[tokio::test]
async fn either_side_may_end_its_direction_and_the_other_goes_on() {
    let mut workload = Workload::new("half");
    let publication = workload.publish(&publisher()).await;
    let (mut outside, mut inside) = workload.connected(&publication).await;
    send(&mut outside, "request").await;
    outside.shutdown().await.unwrap();
    let mut request = String::new();
    inside.reader.read_to_string(&mut request).await.unwrap();
    assert_eq!(request, "request");
    send(&mut inside.writer, "answer").await;
    inside.writer.shutdown().await.unwrap();
    let mut answer = String::new();
    outside.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "answer");
    publication.outside().drained().await;
    assert_eq!(
        workload.network.usage().connections,
        1,
        "the guest holds its end"
    );

    let (mut outside, mut inside) = workload.connected(&publication).await;
    inside.writer.shutdown().await.unwrap();
    assert_eq!(outside.read(&mut [0; 1]).await.unwrap(), 0);
    send(&mut outside, "still").await;
    assert_eq!(receive(&mut inside.reader, 5).await, "still");
}

#[tokio::test]
async fn a_connection_that_is_dropped_inside_is_closed_outside() {
    let mut workload = Workload::new("curt");
    let publication = workload.publish(&publisher()).await;
    let (mut outside, inside) = workload.connected(&publication).await;
    drop(inside);
    assert_eq!(outside.read(&mut [0; 1]).await.unwrap(), 0);
    publication.outside().drained().await;
    assert_eq!(workload.network.usage().connections, 0);
}

#[tokio::test]
async fn a_reset_inside_is_a_reset_outside() {
    let mut workload = Workload::new("rude");
    let publication = workload.publish(&publisher()).await;
    let (mut outside, mut inside) = workload.connected(&publication).await;
    send(&mut outside, "unread").await;
    poll_fn(|cx| inside.reader.poll_readable(cx)).await;
    drop(inside);
    let error = outside.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_reset_outside_is_a_reset_inside() {
    let mut workload = Workload::new("forsaken");
    let publication = workload.publish(&publisher()).await;
    let (outside, mut inside) = workload.connected(&publication).await;
    outside.set_zero_linger().unwrap();
    drop(outside);
    let read = poll_fn(|cx| inside.reader.poll_read(cx, 1)).await;
    assert_eq!(read, Err(NetError::Reset));
}

#[tokio::test]
async fn who_is_never_accepted_inside_is_closed_in_the_end() {
    let publisher = Publisher::new(PublishOptions {
        patience: Duration::from_millis(20),
        ..PublishOptions::default()
    });
    let mut workload = Workload::new("deaf");
    let bound = workload.network.bind_tcp("127.0.0.1:81".parse().unwrap());
    workload.service = bound.unwrap().listen(1);
    let port = PublishedPort {
        container_port: 81,
        ..any_port()
    };
    let mut publication = workload.open(&publisher, None, port).await.unwrap();
    publication.go_live();
    let connect = || TcpStream::connect(publication.addr());
    let _first = connect().await.unwrap();
    let mut second = connect().await.unwrap();
    let mut third = connect().await.unwrap();
    // One of them is in the backlog, and there is no room for the others.
    let (one, other) = (&mut [0; 1], &mut [0; 1]);
    tokio::select! {
        read = second.read(one) => assert_eq!(read.unwrap(), 0),
        read = third.read(other) => assert_eq!(read.unwrap(), 0),
    }
}

#[tokio::test]
async fn a_workload_has_so_many_connections_and_the_next_wait() {
    let publisher = Publisher::new(PublishOptions {
        workload_connections: 2,
        ..PublishOptions::default()
    });
    let mut workload = Workload::new("popular");
    let publication = workload.publish(&publisher).await;
    let (first, inside) = workload.connected(&publication).await;
    let _second = workload.connected(&publication).await;
    let mut third = TcpStream::connect(publication.addr()).await.unwrap();
    send(&mut third, "third").await;
    let mut another = Workload::new("another");
    let elsewhere = another.publish(&publisher).await;
    another.connected(&elsewhere).await;
    assert_eq!(publication.connections(), 2);
    drop((first, inside));
    let mut inside = workload.accept().await;
    assert_eq!(receive(&mut inside.reader, 5).await, "third");
}

#[tokio::test]
async fn a_host_has_so_many_connections_of_all_workloads() {
    let publisher = Publisher::new(PublishOptions {
        connections: 1,
        ..PublishOptions::default()
    });
    let (mut one, mut other) = (Workload::new("one"), Workload::new("other"));
    let first = one.publish(&publisher).await;
    let second = other.publish(&publisher).await;
    let (outside, inside) = one.connected(&first).await;
    let mut waits = TcpStream::connect(second.addr()).await.unwrap();
    send(&mut waits, "my turn").await;
    assert!(other.accept().now_or_never().is_none());
    drop((outside, inside));
    let mut inside = other.accept().await;
    assert_eq!(receive(&mut inside.reader, 7).await, "my turn");
}

#[tokio::test]
async fn open_connections_outlive_the_port_and_are_waited_for() {
    let mut workload = Workload::new("draining");
    let publication = workload.publish(&publisher()).await;
    let addr = publication.addr();
    let (mut client, mut inside) = workload.connected(&publication).await;
    let outside = publication.outside();
    drop(publication);
    let refused = TcpStream::connect(addr).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    send(&mut client, "go on").await;
    assert_eq!(receive(&mut inside.reader, 5).await, "go on");
    assert_eq!(outside.connections(), 1);
    assert!(outside.deserted().now_or_never().is_none());
    drop(inside);
    outside.deserted().await;
}

#[tokio::test]
async fn when_the_last_handle_is_gone_open_connections_are_cut_off() {
    let mut workload = Workload::new("stopped");
    let publication = workload.publish(&publisher()).await;
    let (mut client, mut inside) = workload.connected(&publication).await;
    let outside = publication.outside();
    drop(publication);
    drop(outside);
    let end = poll_fn(|cx| inside.reader.poll_read(cx, 1)).await;
    assert_eq!(end, Ok(bytes::Bytes::new()));
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
}
