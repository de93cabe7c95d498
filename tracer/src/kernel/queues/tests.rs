use super::{
    super::namespace::{Namespace, SockDiag, tests::with_diag},
    Counted, Counters, FEW, QueueNews, Queues, counted,
};
use crate::event::{Cookie, Listens};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};
use tracer_common::record::socket::{Tuple, words};

#[test]
fn a_cookie_counts_only_when_it_is_known_to_be_new() {
    let mut counters = Counters::default();
    let at = |syn_drops, syn_cookies| Some(Counted { overflows: 0, syn_drops, syn_cookies });
    counters.take(at(1, 10));
    assert_eq!(counters.take(at(2, 11)), Counted { overflows: 0, syn_drops: 1, syn_cookies: 1 });
    assert_eq!(counters.take(None), Counted::default());
    // They came at any time since the counters were read.
    assert_eq!(counters.take(at(5, 20)), Counted { overflows: 0, syn_drops: 3, syn_cookies: 0 });
    assert_eq!(counters.take(at(5, 22)), Counted { overflows: 0, syn_drops: 0, syn_cookies: 2 });
}

#[test]
fn the_counters_are_found_by_their_names() {
    let text = "TcpExt: SyncookiesSent TCPReqQFullDrop ListenOverflows ListenDrops\n\
                TcpExt: 1 4 22 333\nIpExt: A\nIpExt: 4\n";
    assert_eq!(counted(text), Some(Counted { overflows: 22, syn_drops: 4, syn_cookies: 0 }));
    assert_eq!(counted("TcpExt: ListenDrops\nTcpExt: 1\n"), None);
}

/// A queue that takes one connection.
fn listen(at: &str, shared: bool) -> TcpListener {
    let at: SocketAddr = at.parse().expect("an address");
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, None).expect("a socket");
    socket.set_reuse_port(shared).expect("set");
    socket.bind(&at.into()).expect("bound");
    socket.listen(0).expect("listening");
    socket.into()
}

/// Whether it was heard of as it began is what the engine says of it.
fn listens(listener: &TcpListener, from_the_start: bool) -> Listens {
    let local = listener.local_addr().expect("bound");
    let cookie = Cookie(socket2::SockRef::from(listener).cookie().expect("a cookie"));
    let tuple = Tuple { local: words(local.ip()), local_port: local.port(), ..Tuple::default() };
    Listens { cookie, tuple, from_the_start }
}

/// Fills the queue, and waits until one more SYN was dropped.
fn overflow(listener: &TcpListener) -> Vec<Socket> {
    let mut diag = SockDiag::open().expect("asked before");
    let cookie = listens(listener, true).cookie.0;
    let mut connections = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let all = diag.listeners().expect("dumped");
        if all.iter().any(|one| one.cookie == cookie && one.drops > 0 && one.full()) {
            return connections;
        }
        assert!(Instant::now() < deadline, "nothing was dropped: {all:?}");
        let local = listener.local_addr().expect("bound");
        let to = SocketAddr::new(
            match local {
                SocketAddr::V4(_) => [127, 0, 0, 1].into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            },
            local.port(),
        );
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket");
        socket.set_nonblocking(true).expect("set");
        // In progress, or refused for want of room: the kernel says what was dropped.
        let _ = socket.connect(&SockAddr::from(to));
        connections.push(socket);
    }
}

/// In a network namespace of its own.
fn with_queues(test: &'static str, work: impl FnOnce(&Namespace) + Send + 'static) {
    with_diag(test, |_| work(&Namespace::own().expect("this namespace")));
}

/// Which of these are told to have dropped, by their places.
fn drops(news: &[QueueNews], asked: &[Listens]) -> Vec<bool> {
    let dropped =
        |one: &Listens| news.iter().any(|news| news.listening.cookie == one.cookie.0 && news.drops > 0);
    asked.iter().map(dropped).collect()
}

#[test]
fn what_began_under_the_watch_has_dropped_nothing_before_it() {
    with_queues("what_began_under_the_watch_has_dropped_nothing_before_it", |namespace| {
        for at in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let listener = listen(at, false);
            let _connections = overflow(&listener);
            let heard = [listens(&listener, true)];
            let mut queues = Queues::new(true);
            let news = queues.look(namespace, &heard, false).expect("looked");
            assert_eq!(drops(&news, &heard), [true], "{at}: {news:?}");
            assert!(news[0].listening.full() && news[0].counted.overflows > 0, "{at}: {news:?}");
            // Of one that is older nobody knows when it dropped; nor what its namespace has counted for others.
            let older = [listens(&listener, false)];
            for (mut queues, asked) in [(Queues::new(true), older), (Queues::new(false), heard)] {
                assert_eq!(queues.look(namespace, &asked, false).expect("looked"), [], "{at}");
                let again = queues.look(namespace, &asked, false).expect("looked");
                assert_eq!(drops(&again, &asked), [false], "{at}");
            }
        }
    });
}

#[test]
fn what_was_dropped_before_the_watch_is_no_news() {
    with_queues("what_was_dropped_before_the_watch_is_no_news", |namespace| {
        let (old, new) = (listen("127.0.0.1:0", false), listen("127.0.0.1:0", false));
        let _connections = overflow(&old);
        let mut queues = Queues::new(true);
        queues.prime(namespace).expect("looked");
        let asked = [listens(&old, false), listens(&new, true)];
        assert_eq!(drops(&queues.look(namespace, &asked, false).expect("looked"), &asked), [false, false]);
        let _more = overflow(&new);
        assert_eq!(drops(&queues.look(namespace, &asked, false).expect("looked"), &asked), [false, true]);
        // Nobody had asked for the old one meanwhile.
        let all = asked;
        let asked = [all[1]];
        assert_eq!(drops(&queues.look(namespace, &asked, false).expect("looked"), &asked), [false]);
        let asked = all;
        assert_eq!(drops(&queues.look(namespace, &asked, false).expect("looked"), &asked), [false, false]);
    });
}

#[test]
fn one_that_is_heard_of_late_is_no_news_in_a_dump_either() {
    with_queues("one_that_is_heard_of_late_is_no_news_in_a_dump_either", |namespace| {
        let old = listen("127.0.0.1:0", false);
        let _connections = overflow(&old);
        let new: Vec<_> = (0..FEW).map(|_| listen("127.0.0.1:0", false)).collect();
        let mut asked: Vec<Listens> = new.iter().map(|one| listens(one, true)).collect();
        let mut queues = Queues::new(true);
        assert_eq!(queues.look(namespace, &asked, false).expect("looked"), []);
        asked.push(listens(&old, false));
        let news = queues.look(namespace, &asked, false).expect("looked");
        assert_eq!(drops(&news, &asked), [false; FEW + 1], "{news:?}");
    });
}

#[test]
fn listeners_that_share_an_address_are_all_looked_at() {
    with_queues("listeners_that_share_an_address_are_all_looked_at", |namespace| {
        let first = listen("127.0.0.1:0", true);
        let at = first.local_addr().expect("bound").to_string();
        let all = [listen(&at, true), listen(&at, true), first];
        let asked: Vec<Listens> = all.iter().map(|one| listens(one, true)).collect();
        let _connections: Vec<_> = all.iter().map(overflow).collect();
        let mut queues = Queues::new(true);
        let news = queues.look(namespace, &asked, false).expect("looked");
        assert_eq!(drops(&news, &asked), [true; 3], "{news:?}");
    });
}

#[test]
fn one_that_has_closed_hides_no_other() {
    with_queues("one_that_has_closed_hides_no_other", |namespace| {
        let (gone, other) = (listen("127.0.0.1:0", false), listen("127.0.0.1:0", false));
        let asked = [listens(&gone, true), listens(&other, true)];
        drop(gone);
        let _connections = overflow(&other);
        let news = Queues::new(true).look(namespace, &asked, false).expect("looked");
        assert_eq!(drops(&news, &asked), [false, true]);
    });
}

#[test]
fn where_there_are_many_a_dump_shows_them() {
    with_queues("where_there_are_many_a_dump_shows_them", |namespace| {
        let all: Vec<_> = (0..=FEW).map(|_| listen("127.0.0.1:0", false)).collect();
        let asked: Vec<Listens> = all.iter().map(|one| listens(one, true)).collect();
        let mut queues = Queues::new(true);
        assert_eq!(queues.look(namespace, &asked, false).expect("looked"), []);
        let _connections = overflow(&all[3]);
        let news = queues.look(namespace, &asked, false).expect("looked");
        assert_eq!(drops(&news, &asked).iter().position(|dropped| *dropped), Some(3));
    });
}
