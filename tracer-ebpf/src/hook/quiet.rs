//! `iter/task_file`: sockets of any namespace to which nothing happens, and something should.
//!
//! All namespaces share one hash table of sockets, so a look by `iter/tcp` walks all of it for each namespace; the
//! descriptors of all processes are walked once for all.
//! <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/inet_hashtables.c#L1183-L1240>

use super::holder::{Context, Seen, note, seen, tell};
use crate::{
    hook,
    kernel::setting,
    past,
    sock::{Tcp, is},
};
use tracer_common::{
    State::{CloseWait, Established},
    record::socket::{IDLE_TOLD, Past},
};

/// Tells those whose peer has closed its window, and once those that have been silent for long.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub(crate) fn quiet(ctx: *mut Context) -> i32 {
    let Some(Seen { meta, task, fd, sk }) = seen(ctx) else { return 0 };
    let state = sk.state();
    if !is(state, Established) && !is(state, CloseWait) {
        return 0;
    }
    let Some(tcp) = sk.tcp() else { return 0 };
    let past = past::get(tcp);
    if (tcp.stalled() || idle(tcp, past)) && hook::passes(tcp) {
        note(past, task);
        tell(meta, tcp, past, task, fd);
    }
    0
}

/// Whether it has been silent for long, and that was not told.
#[inline(always)]
fn idle(tcp: Tcp, past: *mut Past) -> bool {
    let limit = setting!(idle_jiffies);
    if limit == 0 || past.is_null() || !tcp.unwatched() || tcp.silence() < limit {
        return false;
    }
    // SAFETY: a live value, checked above.
    unsafe {
        let news = (*past).flags & IDLE_TOLD == 0;
        (*past).flags |= IDLE_TOLD;
        news
    }
}
