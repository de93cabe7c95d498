use super::{Name, Namespace, NoTcpDiag, SockDiag, discover, enter, mounted, unescaped};
use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkFlags, LinkMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};
use std::{
    fs,
    io::Write,
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

/// Runs a test on a thread in a network and mount namespace of its own, where the loopback is up; prints why not
/// when that may not be made.
pub(super) fn in_private_network(test: &'static str, work: impl FnOnce() + Send + 'static) {
    let inside = move || {
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS) {
            println!("SKIP {test}: no network namespace can be made: {error}");
            return;
        }
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("mounts are kept private");
        loopback_up();
        work();
    };
    thread::spawn(inside).join().expect("the test in the network passes");
}

/// In a network namespace of its own, with its `sock_diag`; says why not where there is none.
pub(in crate::kernel) fn with_diag(test: &'static str, work: impl FnOnce(SockDiag) + Send + 'static) {
    in_private_network(test, move || match SockDiag::open() {
        Ok(diag) => work(diag),
        Err(error) if error.is::<NoTcpDiag>() => println!("SKIP {test}: {error}"),
        Err(error) => panic!("{error:#}"),
    });
}

fn loopback_up() {
    let mut link = LinkMessage::default();
    link.header.index = 1;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    let mut message = NetlinkMessage::from(RouteNetlinkMessage::SetLink(link));
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let socket = Socket::new(NETLINK_ROUTE).expect("a netlink socket");
    socket.send_to(&bytes, &SocketAddr::new(0, 0), 0).expect("sent");
    let (answer, _) = socket.recv_from_full().expect("answered");
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).expect("understood");
    let NetlinkPayload::Error(error) = answer.payload else { panic!("{answer:?}") };
    assert_eq!(error.code, None, "the loopback is up");
}

#[test]
fn only_network_namespaces_are_opened() {
    let own = Namespace::own().expect("its own namespace").inum;
    assert_eq!(Namespace::of_process(std::process::id()).expect("this process").inum, own);
    assert_eq!(Namespace::open(Path::new("/proc/self/ns/net")).expect("a link").inum, own);
    for wrong in ["/proc/self/ns/mnt", "/proc/self/exe", "/nonexistent"] {
        assert!(Namespace::open(Path::new(wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn mounts_are_read_with_their_escapes() {
    let text = b"36 25 0:4 net:[4026532001] /run/netns/a\\040b rw shared:7 - nsfs nsfs rw\n\
        37 25 0:4 mnt:[4026532002] /run/snapd/ns/x.mnt rw - nsfs nsfs rw\n\
        38 25 0:5 net:[4026532003] /odd rw - tmpfs tmpfs rw\n\
        39 25 0:4 net:[4026532004] /run/docker/netns/c rw - nsfs nsfs rw\n\
        40 25\n\xff\n";
    let found: Vec<(u32, PathBuf)> = mounted(text).collect();
    let expected = [(4_026_532_001, "/run/netns/a b"), (4_026_532_004, "/run/docker/netns/c")];
    assert_eq!(found, expected.map(|(inode, path)| (inode, path.into())));
    assert_eq!(unescaped(br"a\134b\9\04"), Path::new(r"a\b\9\04"));
}

#[test]
fn the_namespace_of_this_process_is_discovered() {
    let own = Namespace::own().expect("its own namespace").inum;
    let found = discover([]).expect("namespaces");
    assert!(found.namespaces.iter().any(|namespace| namespace.inum == own));
    assert!(found.namespaces.is_sorted_by_key(|namespace| namespace.inum));
}

#[test]
fn namespaces_of_processes_and_mounts_are_discovered_and_entered() {
    in_private_network("namespaces_of_processes_and_mounts_are_discovered_and_entered", || {
        let own = Namespace::own().expect("its own namespace").inum;
        let is_here = |name: &Name| {
            let found = discover([]).expect("namespaces").namespaces;
            found.iter().any(|namespace| (namespace.inum, &namespace.name) == (own, name))
        };

        let mut cat = Command::new("cat");
        let cat = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut cat = cat.expect("a process in the namespace");
        let by_pid = Name::Pid(cat.id());
        assert!(is_here(&by_pid));

        // In this mount namespace alone, so that nothing stays behind.
        let directory = std::env::temp_dir();
        mount(Some("tmpfs"), &directory, Some("tmpfs"), MsFlags::empty(), None::<&str>).expect("mounted");
        let point = directory.join("a b");
        fs::write(&point, "").expect("a place to mount on");
        mount(Some("/proc/thread-self/ns/net"), &point, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .expect("mounted");
        let by_path = Name::Path(point.clone());
        assert!(is_here(&by_path) && !is_here(&by_pid), "a mount says more than a pid");

        let namespace = Namespace::open(&point).expect("opened by its mount");
        let descriptor = namespace.as_fd().as_raw_fd();
        let again =
            discover([Namespace { name: by_pid.clone(), ..namespace }]).expect("namespaces").namespaces;
        let known = again.into_iter().find(|again| again.inum == own).expect("still in sight");
        assert_eq!((known.as_fd().as_raw_fd(), &known.name), (descriptor, &by_path), "open as it was");
        let namespace = known;
        umount2(&point, MntFlags::MNT_DETACH).expect("unmounted");
        assert!(!is_here(&by_path));

        cat.stdin.take().expect("piped").write_all(b"end").expect("written");
        assert!(cat.wait().expect("ended").success());
        assert!(!is_here(&by_pid));
        let known = [Namespace::own().expect("this namespace")];
        let found = discover(known).expect("namespaces").namespaces;
        assert!(found.iter().all(|namespace| namespace.inum != own), "what is out of sight is let go");

        let inside = thread::spawn(move || {
            let before = Namespace::own().expect("before").inum;
            unshare(CloneFlags::CLONE_NEWNET).expect("another namespace");
            let outside = Namespace::own().expect("outside").inum;
            let inside = enter(&namespace, || Namespace::own().expect("inside").inum).expect("entered");
            assert_eq!(Namespace::own().expect("after").inum, outside, "this thread stayed where it was");
            (before, outside, inside)
        });
        let (before, outside, inside) = inside.join().expect("no panic");
        assert_eq!((before, inside), (own, own));
        assert_ne!(outside, own);
    });
}
