//! What a record tells of a socket.

use super::{Tcp, has};
use crate::{
    kernel::{load, number, offset, setting},
    task,
};
use core::ptr::addr_of_mut;
use tracer_common::record::socket::{
    DEAD, DONE, EXITING, FAST_OPEN, IN_CGROUP, KEEPALIVE, KERNEL_THREAD, LINGER, LINGER_ZERO, MPTCP,
    NO_SOCKET, OWNED, Socket, Tuple,
};

impl Tcp {
    /// Writes everything but the tuple and the cookie, which the caller has.
    #[inline(always)]
    pub(crate) fn fill(self, to: *mut Socket) {
        macro_rules! copy {
            ($($field:ident <- $offset:ident),+ $(,)?) => {
                // SAFETY: `to` is a record that the caller reserved or keeps on its stack.
                $(unsafe { addr_of_mut!((*to).$field).write(load(self.0, offset!($offset))) };)+
            };
        }
        copy!(
            bytes_received <- bytes_received,
            bytes_acked <- bytes_acked,
            rcv_nxt <- rcv_nxt,
            copied_seq <- copied_seq,
            snd_nxt <- snd_nxt,
            snd_una <- snd_una,
            write_seq <- write_seq,
            snd_wnd <- snd_wnd,
            err <- err,
            err_soft <- err_soft,
            ack_backlog <- ack_backlog,
            max_ack_backlog <- max_ack_backlog,
            total_retrans <- total_retrans,
            data_segs_out <- data_segs_out,
            srtt <- srtt,
            linger2 <- linger2,
            user_timeout <- user_timeout,
            uid <- uid,
            state <- state,
            shutdown <- shutdown,
            retransmits <- retransmits,
            probes <- probes_out,
        );
        let net = self.common().net();
        let task = task::Current::get();
        // SAFETY: as above.
        unsafe {
            addr_of_mut!((*to).fin_timeout).write(load(net, offset!(net_fin_timeout)));
            addr_of_mut!((*to).silence).write(if self.err() == 0 { 0 } else { self.silence() });
            addr_of_mut!((*to).linger).write(self.linger());
            addr_of_mut!((*to).exit_code).write(task.exit_code());
            addr_of_mut!((*to).flags).write(self.flags(task));
        }
    }

    #[inline(always)]
    fn flags(self, task: task::Current) -> u32 {
        let kernel: u64 = load(self.0, offset!(flags));
        let bit = |set: bool, bit: u32| if set { bit } else { 0 };
        bit(self.owned(), OWNED)
            | bit(has(kernel, number!(sock_dead)), DEAD)
            | bit(has(kernel, number!(sock_done)), DONE)
            | bit(has(kernel, number!(sock_keepopen)), KEEPALIVE)
            | bit(self.common().lingers(), LINGER)
            | bit(self.lingers_zero(), LINGER_ZERO)
            | bit(load::<usize>(self.0, offset!(socket)) == 0, NO_SOCKET)
            | bit(load::<usize>(self.0, offset!(fastopen_rsk)) != 0, FAST_OPEN)
            | bit(self.mptcp(), MPTCP)
            | bit(setting!(cgroup_count) != 0, IN_CGROUP) // what is not passes no filter
            | bit(task.exiting(), EXITING)
            | bit(task.kernel_thread(), KERNEL_THREAD)
    }
}

/// A record's socket for a hook that has none, or only a remainder: all zero but what is known.
#[inline(always)]
pub(crate) fn fill_none(to: *mut Socket) {
    // SAFETY: `to` is a record that the caller reserved.
    unsafe { to.write(NONE) }
}

const NONE: Socket = Socket {
    cookie: 0,
    tuple: Tuple { local: [0; 2], remote: [0; 2], local_port: 0, remote_port: 0, netns: 0 },
    bytes_received: 0,
    bytes_acked: 0,
    rcv_nxt: 0,
    copied_seq: 0,
    snd_nxt: 0,
    snd_una: 0,
    write_seq: 0,
    snd_wnd: 0,
    err: 0,
    err_soft: 0,
    ack_backlog: 0,
    max_ack_backlog: 0,
    total_retrans: 0,
    srtt: 0,
    linger: 0,
    data_segs_out: 0,
    linger2: 0,
    fin_timeout: 0,
    user_timeout: 0,
    silence: 0,
    exit_code: 0,
    uid: 0,
    flags: 0,
    state: 0,
    shutdown: 0,
    retransmits: 0,
    probes: 0,
};
