//! What is wrong now, for people: a head line and what there is to say of it.

use crate::{
    record::socket::{Sight, Wrong},
    terminal::wrap,
    time::Spoken,
};
use std::{fmt::Write as _, net::SocketAddr};

/// Descriptors of one line that are named.
const DESCRIPTORS: usize = 6;

/// Sockets of one process and place with which the same is wrong.
struct Row<'a> {
    first: &'a Sight,
    sights: Vec<&'a Sight>,
}

/// Two lines for each process and place with which the same is wrong, with a newline at their end.
pub fn table(sights: &[Sight], columns: usize) -> String {
    if sights.is_empty() {
        return "Nothing is wrong now: no queue, no CLOSE_WAIT, no stall, no close that is stuck.\n"
            .to_owned();
    }
    let mut rows: Vec<Row> = Vec::new();
    for sight in sights {
        let same = |row: &&mut Row| key(row.first) == key(sight);
        match rows.iter_mut().find(same) {
            Some(row) => row.sights.push(sight),
            None => rows.push(Row { first: sight, sights: vec![sight] }),
        }
    }
    let mut text = String::new();
    for row in rows {
        let process = row.first.party.owner;
        let process =
            process.map_or_else(|| "nobody".to_owned(), |owner| format!("{}[{}]", owner.comm, owner.pid));
        let way = if row.first.serves { "at" } else { "->" };
        let (wrong, count) = (row.first.wrong.name(), row.sights.len());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{wrong:<16} {count:>5}  {process} {way} {}", place(row.first));
        let _ = writeln!(text, "{}", wrap(&what(&row), columns, "  "));
    }
    text
}

/// What makes two sockets one line.
fn key(sight: &Sight) -> (Wrong, Option<u32>, SocketAddr, u32) {
    (sight.wrong, sight.party.owner.map(|owner| owner.pid), place(sight), sight.party.tuple.netns)
}

/// The service.
fn place(sight: &Sight) -> SocketAddr {
    let tuple = sight.party.tuple;
    if sight.serves { tuple.local_address() } else { tuple.remote_address() }
}

fn what(row: &Row<'_>) -> String {
    let bytes = |of: fn(&Sight) -> u32| row.sights.iter().map(|sight| u64::from(of(sight))).sum::<u64>();
    let oldest = row.sights.iter().filter_map(|sight| sight.silent).max();
    let for_so_long = oldest.map_or(String::new(), |oldest| format!("nothing came for {}", Spoken(oldest)));
    let waiting = bytes(|sight| sight.waiting_bytes);
    let mut parts = vec![for_so_long];
    match row.first.wrong {
        Wrong::QueueFull | Wrong::QueueWaits => {
            let queues = row.sights.iter().filter_map(|sight| sight.queue);
            parts
                .extend(queues.map(|queue| {
                    format!("{} of {} wait, {} dropped", queue.depth, queue.limit, queue.drops)
                }));
        }
        Wrong::CloseWait => {
            let unread = bytes(|sight| sight.unread_bytes);
            parts.push(if unread > 0 { format!("{unread} bytes unread") } else { String::new() });
        }
        Wrong::ZeroWindow => parts.push(format!("{waiting} bytes wait")),
        Wrong::StuckClosing => {
            let most = row.sights.iter().map(|sight| sight.retransmits).max().unwrap_or(0);
            parts.push(format!("{waiting} bytes, retransmitted {most} times"));
        }
        Wrong::ParkedFinWait2 => parts.push("the peer has not closed".to_owned()),
    }
    let fds: Vec<String> =
        row.sights.iter().filter_map(|sight| sight.party.owner?.fd).map(|fd| fd.to_string()).collect();
    if !fds.is_empty() {
        let more = if fds.len() > DESCRIPTORS { " …" } else { "" };
        parts.push(format!("fd {}{more}", fds[..fds.len().min(DESCRIPTORS)].join(" ")));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::{
        event::{Owner, Place, Source},
        finding::Party,
        name::Comm,
        record::socket::{QueueRecord, Sight, Wrong},
    };
    use std::time::Duration;
    use tracer_common::record::socket::{Tuple, words};

    fn sight(wrong: Wrong, fd: u32) -> Sight {
        let tuple = Tuple {
            local: words([10, 0, 0, 1].into()),
            remote: words([10, 0, 0, 2].into()),
            local_port: 40_000,
            remote_port: 5_432,
            netns: 1,
        };
        let comm = Comm::from("app");
        Sight {
            wrong,
            party: Party {
                tuple,
                cookie: None,
                state: None,
                direction: None,
                age: None,
                preexisting: true,
                uid: None,
                owner: Some(Owner {
                    pid: 42,
                    comm,
                    source: Source::Scan,
                    fd: Some(fd),
                    place: Place::default(),
                }),
                in_cgroup: false,
                followed: false,
            },
            serves: false,
            silent: Some(Duration::from_mins(1)),
            queue: None,
            waiting_bytes: 0,
            unread_bytes: 5,
            retransmits: 0,
        }
    }

    #[test]
    fn what_is_alike_is_one_entry() {
        let mut queue = sight(Wrong::QueueFull, 3);
        (queue.serves, queue.silent) = (true, None);
        queue.queue = Some(QueueRecord { depth: 129, limit: 129, drops: 7 });
        let all = [queue, sight(Wrong::CloseWait, 5), sight(Wrong::CloseWait, 6)];
        assert_eq!(
            table(&all, 80),
            "\
queue_full           1  app[42] at 10.0.0.1:40000
  129 of 129 wait, 7 dropped, fd 3
close_wait           2  app[42] -> 10.0.0.2:5432
  nothing came for 60.0 s, 10 bytes unread, fd 5 6
"
        );
    }

    #[test]
    fn nothing_wrong_is_said() {
        assert!(table(&[], 80).starts_with("Nothing is wrong now"));
    }
}
