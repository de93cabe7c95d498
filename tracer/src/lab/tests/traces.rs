//! Nothing is left behind: the kernel itself tells when a namespace has gone.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};

use super::{program, routed_world, skipped};
use crate::lab::case::{decoys, patterns};
use crate::lab::link::Links;
use crate::lab::namespace::Namespace;
use crate::lab::path::{Family, Medium, Path, Side};

/// `RTNLGRP_NSID`: the loss of a namespace that has a number here is told to this group.
const GROUP_NSID: u32 = 28;
/// Far more than all news together.
const NEWS_BYTES: usize = 8 << 20;
/// The kernel takes namespaces down in the background, all that have gone together.
const GONE_LIMIT: Duration = Duration::from_secs(20);

/// A namespace in which others have numbers; the kernel says when one of them has been taken down.
struct Witness {
    _namespace: Namespace,
    links: Links,
    news: Socket,
    present: HashSet<i32>,
}

impl Witness {
    fn new() -> Self {
        let namespace = Namespace::new().expect("a namespace");
        let links = Links::open(&namespace).expect("rtnetlink");
        let news = namespace.enter(|| {
            let mut news = Socket::new(NETLINK_ROUTE)?;
            news.bind_auto()?;
            news.add_membership(GROUP_NSID)?;
            // All namespaces go at once, and with each of them comes news.
            setsockopt(&news, sockopt::RcvBufForce, &NEWS_BYTES)?;
            Ok(news)
        });
        Self { _namespace: namespace, links, news: news.expect("news"), present: HashSet::new() }
    }

    fn watch(&mut self, handle: BorrowedFd<'_>) {
        let number = i32::try_from(self.present.len()).expect("few namespaces");
        let fd = u32::try_from(handle.as_raw_fd()).expect("a descriptor");
        let mut message = NsidMessage::default();
        message.attributes = vec![NsidAttribute::Fd(fd), NsidAttribute::Id(number)];
        self.links.ask(RouteNetlinkMessage::NewNsId(message), 0).expect("a number for the namespace");
        self.present.insert(number);
    }

    fn wait_gone(&mut self) {
        let deadline = Instant::now() + GONE_LIMIT;
        while !self.present.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut ready = [PollFd::new(self.news.as_fd(), PollFlags::POLLIN)];
            let count = poll(&mut ready, PollTimeout::try_from(left).expect("a limit")).expect("poll");
            assert!(count > 0, "{} namespaces are still there", self.present.len());
            let (bytes, _) = self.news.recv_from_full().expect("news");
            let news = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&bytes).expect("a message");
            if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelNsId(gone)) = news.payload {
                for attribute in gone.attributes {
                    if let NsidAttribute::Id(number) = attribute {
                        self.present.remove(&number);
                    }
                }
            }
        }
    }
}

#[test]
fn no_namespace_outlives_its_cases() {
    if skipped("no_namespace_outlives_its_cases") {
        return;
    }
    let mut witness = Witness::new();
    let staged: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = patterns()
            .chain(decoys())
            .flat_map(|case| case.paths().map(move |path| (case, path)))
            .filter(|(_, path)| path.family == Family::V4)
            .map(|(case, path)| scope.spawn(move || case.stage_alone(&program(), path).expect("the case")))
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).collect()
    });
    for staged in staged {
        for side in [Side::A, Side::B] {
            witness.watch(staged.world().namespace(side).handle());
        }
        staged.release();
    }
    assert!(witness.present.len() >= 20);
    witness.wait_gone();
}

#[test]
fn a_world_holds_its_namespaces() {
    if skipped("a_world_holds_its_namespaces") {
        return;
    }
    let mut witness = Witness::new();
    let world = routed_world();
    witness.watch(world.namespace(Side::A).handle());
    let mut ready = [PollFd::new(witness.news.as_fd(), PollFlags::POLLIN)];
    // The witness hears of the number itself, and of nothing else while the world lives.
    assert_eq!(poll(&mut ready, PollTimeout::from(500_u16)).expect("poll"), 1);
    witness.news.recv_from_full().expect("news");
    let mut ready = [PollFd::new(witness.news.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut ready, PollTimeout::from(200_u16)).expect("poll"), 0);
    drop(world);
    witness.wait_gone();
}

#[test]
#[ignore = "not a test: another test starts it as a process of its own, and kills it"]
fn holds_a_world() {
    let case = patterns().find(|case| case.name() == "connection_reset/forged").expect("the case");
    let staged = case.stage_alone(&program(), Path::new(Medium::Routed, Family::V6)).expect("the case");
    println!("HOLDS {:?}", staged.pids);
    _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn a_killed_process_leaves_no_namespace() {
    if skipped("a_killed_process_leaves_no_namespace") {
        return;
    }
    let mut holder = Command::new("/proc/self/exe")
        .args([
            "lab::tests::traces::holds_a_world",
            "--exact",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let lines = BufReader::new(holder.stdout.take().expect("its output")).lines().map_while(Result::ok);
    let line = lines.into_iter().find_map(|line| line.split_once("HOLDS [").map(|(_, rest)| rest.to_owned()));
    let line = line.expect("a world");
    let mut witness = Witness::new();
    for pid in line.trim_end_matches(']').split(", ") {
        let handle = File::open(format!("/proc/{pid}/ns/net")).expect("the namespace of an actor");
        witness.watch(handle.as_fd());
    }
    assert_eq!(witness.present.len(), 2);
    holder.kill().expect("kill");
    holder.wait().expect("the end");
    witness.wait_gone();
}
