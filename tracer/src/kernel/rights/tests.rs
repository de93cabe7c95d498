use super::{INITIAL_USER, Lack, Lockdown, Loss, Purpose, Rights, UnprivilegedBpf};
use caps::{CapSet, Capability, CapsHashSet};

/// Of a root who may do everything, on the host.
fn all() -> Rights {
    Rights {
        effective: caps::all(),
        bounding: caps::all(),
        root: true,
        initial_user_namespace: true,
        initial_pid_namespace: true,
        lockdown: None,
        unprivileged_bpf: Some(UnprivilegedBpf::Off),
        seccomp_filter: false,
    }
}

fn lack(capability: Capability, loss: Loss) -> Lack {
    Lack::Capability { capability, loss }
}

#[test]
fn files_of_the_kernel_are_read() {
    assert_eq!(Lockdown::chosen("[none] integrity confidentiality\n"), Some(Lockdown::None));
    assert_eq!(Lockdown::chosen("none integrity [confidentiality]\n"), Some(Lockdown::Confidentiality));
    assert_eq!(Lockdown::chosen("none integrity confidentiality"), None);
    assert_eq!(UnprivilegedBpf::from_sysctl("2\n"), Some(UnprivilegedBpf::Off));
    assert_eq!(UnprivilegedBpf::from_sysctl("3\n"), None);
}

#[test]
fn root_on_the_host_lacks_nothing() {
    use Purpose::{Attach, Kprobes, Namespaces, Networks, ProbeReads, Processes, Statistics};
    for purpose in [Attach, ProbeReads, Kprobes, Namespaces, Networks, Processes, Statistics] {
        assert_eq!(all().lacking(purpose), [], "{purpose:?}");
    }
}

#[test]
fn what_is_lacking_is_said_with_its_cure() {
    let user = Rights { effective: CapsHashSet::new(), root: false, ..all() };
    let expected = [lack(Capability::CAP_BPF, Loss::NotRoot), lack(Capability::CAP_PERFMON, Loss::NotRoot)];
    assert_eq!(user.lacking(Purpose::Attach), expected);

    let two = CapsHashSet::from([Capability::CAP_BPF, Capability::CAP_PERFMON]);
    let service = Rights { effective: two, root: false, ..all() };
    assert_eq!(service.lacking(Purpose::Attach), []);
    assert_eq!(service.lacking(Purpose::Statistics), [lack(Capability::CAP_SYS_ADMIN, Loss::NotRoot)]);

    let few = CapsHashSet::from([Capability::CAP_PERFMON]);
    let container = Rights { effective: few.clone(), bounding: few, ..all() };
    let lacking = container.lacking(Purpose::Attach);
    assert_eq!(lacking, [lack(Capability::CAP_BPF, Loss::Bounded)]);
    assert!(lacking[0].to_string().contains("--cap-add BPF;"), "{}", lacking[0]);

    let rootless = Rights { initial_user_namespace: false, ..all() };
    assert_eq!(rootless.lacking(Purpose::Attach), [Lack::UserNamespace]);
    assert_eq!(rootless.lacking(Purpose::Networks), []);

    let inside = Rights { initial_pid_namespace: false, ..all() };
    assert_eq!(inside.lacking(Purpose::Attach), []);
    assert_eq!(inside.lacking(Purpose::Processes), [Lack::PidNamespace]);
    assert!(Lack::PidNamespace.to_string().contains("--pid=host"), "{}", Lack::PidNamespace);

    let secretive = Rights { lockdown: Some(Lockdown::Confidentiality), ..all() };
    assert_eq!(secretive.lacking(Purpose::ProbeReads), [Lack::Lockdown]);
    assert_eq!(secretive.lacking(Purpose::Kprobes), [Lack::Lockdown]);
    assert_eq!(secretive.lacking(Purpose::Attach), []);
    let closed = Rights { lockdown: Some(Lockdown::Integrity), ..all() };
    assert_eq!(closed.lacking(Purpose::Kprobes), []);
}

#[test]
fn a_thread_that_gives_capabilities_up_lacks_them() {
    let before = Rights::read().expect("rights can be read");
    let given = [Capability::CAP_BPF, Capability::CAP_PERFMON, Capability::CAP_SYS_ADMIN];
    if !before.root || !before.has(Capability::CAP_SETPCAP) || !given.iter().all(|one| before.has(*one)) {
        println!("SKIP a_thread_that_gives_capabilities_up_lacks_them: it needs root with {given:?}");
        return;
    }
    // Capabilities belong to threads: these end with this one.
    let after = std::thread::spawn(move || {
        caps::drop(None, CapSet::Bounding, Capability::CAP_BPF).expect("bounding");
        for capability in given {
            caps::drop(None, CapSet::Effective, capability).expect("effective");
        }
        Rights::read().expect("rights can still be read")
    });
    let after = after.join().expect("the thread ends");
    let lacking = after.lacking(Purpose::Attach);
    assert!(lacking.contains(&lack(Capability::CAP_BPF, Loss::Bounded)), "{lacking:?}");
    assert!(lacking.contains(&lack(Capability::CAP_PERFMON, Loss::Dropped)), "{lacking:?}");
    let link = std::fs::read_link("/proc/self/ns/user").expect("user namespace");
    assert_eq!(before.initial_user_namespace, link.as_os_str() == INITIAL_USER);
}
