//! Deaths that no record told: the ring was full, or the kernel ran no program. The call that fails of it tells.

use super::{Engine, case::CaseKind};
use crate::{
    errno::Errno,
    event::Snapshot,
    pattern::{Moment, Occasion},
    time::Time,
};
use tracer_common::{State, record::socket};

/// Errnos that only a connection that is gone gives, once.
const FATAL: &[Errno] = &[Errno::ECONNRESET, Errno::ETIMEDOUT, Errno::EHOSTUNREACH];

impl Engine {
    /// Begins the incident that a call has come upon, unless its record was told, or the socket is too old to know.
    pub(super) fn recover(&mut self, at: Time, end: &Snapshot, call: &'static str, errno: Errno) {
        let tracked = end.past.born_ns != 0 && !end.preexisting() && !end.end_told() && !end.mptcp();
        // connect(AF_UNSPEC) leaves ECONNRESET to its own caller, and no remote port.
        let own = end.past.source == socket::OWNER_CLOSE || end.tuple().remote_port == 0;
        if end.state != State::Close || !tracked || own || !FATAL.contains(&errno) {
            return;
        }
        let old = state_before(end);
        let mut then = *end;
        // The call owns the socket and has taken its error; whatever ended the connection did neither.
        then.socket.flags &= !socket::OWNED;
        then.socket.err = errno.number();
        let entry = self.ends.update(&then);
        entry.observe(at, call, errno);
        let seen = entry.seen();
        seen.failed = Some((at, old, errno));
        seen.unseen = true;
        if errno == Errno::ECONNRESET {
            seen.reset_received = Some((at, Snapshot { state: old, ..then }));
        }
        self.ends.leave(end.cookie, at);
        self.open(end.cookie, CaseKind::On(Moment::Failed), Occasion::Failed { at, old, errno });
    }
}

/// In which state it was, by what is kept beside it.
fn state_before(end: &Snapshot) -> State {
    let past = &end.past;
    match (past.established_ns, past.fin_received_ns, past.fin_sent_ns) {
        (0, ..) => State::SynSent,
        (_, 0, 0) => State::Established,
        (_, 0, _) => State::FinWait1,
        (_, _, 0) => State::CloseWait,
        _ => State::LastAck,
    }
}
