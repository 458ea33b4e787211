//! One workload takes the place of another.

use super::*;

#[tokio::test]
async fn connections_go_to_the_new_workload_from_one_moment_on() {
    let publisher = publisher();
    let (mut old, mut new) = (Workload::new("old"), Workload::new("new"));
    let first = old.publish(&publisher).await;
    let (mut client, mut inside) = old.connected(&first).await;

    let port = port_at(first.addr());
    let mut second = new.open(&publisher, Some(&old), port).await.unwrap();
    assert_eq!(second.addr(), first.addr());
    old.connected(&first).await;
    second.go_live();
    let (mut newcomer, mut inside_new) = new.connected(&second).await;
    drop(first.outside());
    send(&mut client, "old").await;
    assert_eq!(receive(&mut inside.reader, 3).await, "old");
    let old_connections = first.outside();
    drop(first);
    send(&mut newcomer, "new").await;
    assert_eq!(receive(&mut inside_new.reader, 3).await, "new");
    send(&mut client, "old").await;
    assert_eq!(receive(&mut inside.reader, 3).await, "old");
    drop(old_connections);
    new.connected(&second).await;
    let error = old
        .open(&publisher, None, port_at(second.addr()))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("the workload `new` has"),
        "{error}"
    );
}

#[tokio::test]
async fn nobody_is_refused_while_workloads_replace_each_other() {
    let publisher = publisher();
    let echo = |mut workload: Workload| {
        tokio::spawn(async move {
            loop {
                let mut inside = workload.accept().await;
                tokio::spawn(async move {
                    let name = workload_name(&mut inside).await;
                    send(&mut inside.writer, &name).await;
                    inside.writer.shutdown().await.unwrap();
                });
            }
        })
    };
    let first = Workload::new("w0");
    let mut publication = first.publish(&publisher).await;
    let addr = publication.addr();
    let mut replaced = first.id.clone();
    let mut service = echo(first);
    let mut outsides = Vec::new();
    let clients = tokio::spawn(async move {
        for _ in 0..300 {
            let mut client = TcpStream::connect(addr).await.unwrap();
            send(&mut client, "hello").await;
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "hello");
        }
    });
    let mut generation = 0;
    while !clients.is_finished() {
        generation += 1;
        let next = Workload::new(&format!("w{generation}"));
        let ports = [port_at(addr)];
        let opened = publisher.open(
            &next.id,
            Some(&replaced),
            &ports,
            Path::new("/"),
            &next.network,
        );
        let mut taken_over = opened.await.unwrap().remove(0);
        replaced = next.id.clone();
        let next_service = echo(next);
        taken_over.go_live();
        outsides.push((publication.outside(), service));
        publication = taken_over;
        service = next_service;
        tokio::task::yield_now().await;
    }
    clients.await.unwrap();
    assert!(generation > 1);
}

/// What the client says first.
async fn workload_name(inside: &mut Connection) -> String {
    receive(&mut inside.reader, 5).await
}

#[tokio::test]
async fn a_workload_that_fails_to_start_leaves_the_port_with_the_old_one() {
    let publisher = publisher();
    let (mut old, new) = (Workload::new("old"), Workload::new("new"));
    let first = old.publish(&publisher).await;
    let port = port_at(first.addr());
    let second = new
        .open(&publisher, Some(&old), port.clone())
        .await
        .unwrap();
    drop(second);
    old.connected(&first).await;
    let error = new.open(&publisher, None, port).await.unwrap_err();
    assert!(
        error.to_string().contains("the workload `old` has"),
        "{error}"
    );
}

#[tokio::test]
async fn when_the_old_one_goes_early_clients_wait_for_the_new_one() {
    let publisher = publisher();
    let (old, mut new) = (Workload::new("old"), Workload::new("new"));
    let first = old.publish(&publisher).await;
    let port = port_at(first.addr());
    let mut second = new.open(&publisher, Some(&old), port).await.unwrap();
    drop((first, old));
    let mut client = TcpStream::connect(second.addr()).await.unwrap();
    send(&mut client, "patient").await;
    second.go_live();
    let mut inside = new.accept().await;
    assert_eq!(receive(&mut inside.reader, 7).await, "patient");
}

#[tokio::test]
async fn whoever_waits_for_room_with_the_old_one_goes_to_the_new_one() {
    let publisher = Publisher::new(PublishOptions {
        workload_connections: 1,
        ..PublishOptions::default()
    });
    let (mut old, mut new) = (Workload::new("old"), Workload::new("new"));
    let first = old.publish(&publisher).await;
    let _busy = old.connected(&first).await;
    let mut waits = TcpStream::connect(first.addr()).await.unwrap();
    send(&mut waits, "me").await;
    let port = port_at(first.addr());
    let mut second = new.open(&publisher, Some(&old), port).await.unwrap();
    second.go_live();
    let mut inside = new.accept().await;
    assert_eq!(receive(&mut inside.reader, 2).await, "me");
}
