use tracer::{decode::decode, event::*, recording::Reader};
fn main() {
    let port: u16 = std::env::args().nth(2).unwrap().parse().unwrap();
    let mut r =
        Reader::open(std::io::BufReader::new(std::fs::File::open(std::env::args().nth(1).unwrap()).unwrap()))
            .unwrap();
    let mut n = 0;
    while let Some(b) = r.next_record().unwrap() {
        n += 1;
        let e = match decode(&b) {
            Ok(e) => e,
            Err(x) => {
                println!("{n} BAD {x}");
                continue;
            }
        };
        let (t, s) = match &e.what {
            What::StateChange { end, old, new } => (
                Some(end.socket.tuple),
                format!(
                    "{:?} {}>{} flags {:x} err {} past {:?}",
                    end.cookie,
                    old.name(),
                    new.name(),
                    end.socket.flags,
                    end.socket.err,
                    (
                        end.past.owner,
                        end.past.source,
                        end.past.established_ns,
                        end.past.fin_sent_ns,
                        end.past.fin_received_ns
                    )
                ),
            ),
            What::Holder { end, .. } => {
                (Some(end.socket.tuple), format!("holder {:?} {:?}", end.cookie, end.state))
            }
            What::Sample { end } => (Some(end.socket.tuple), format!("sample {:?}", end.state)),
            What::ResetSent { origin, .. } => (None, format!("{origin:?}")),
            What::Answer { .. } => (None, format!("{:?}", e.what)),
            o => (None, format!("{o:?}")),
        };
        if t.is_some_and(|t| t.local_port == port || t.remote_port == port)
            || (t.is_none() && s.contains(&format!("_port: {port}")))
            || s.contains("asked: None")
        {
            println!("{n} {} cpu{} {}[{}] {s}", e.at.0, e.cpu, e.task.comm, e.task.pid);
        }
    }
    println!("{n} records");
}
