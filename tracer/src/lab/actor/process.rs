//! The actor's own process: reads requests from the socket on its standard input, makes one call for each.

use std::collections::HashMap;
use std::ffi::CString;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::exit;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::gettid;
use serde_json::{Value, json};

use super::call::{Answer, Call, Request};
use super::table::Table;

/// Plays one actor until its parent lets it go; the whole life of the hidden sub-command.
///
/// # Errors
/// When standard input is not the socket of a parent, or a request makes no sense.
pub fn run() -> Result<()> {
    let channel =
        std::io::stdin().as_fd().try_clone_to_owned().context("taking the socket on standard input")?;
    let mut answers = UnixStream::from(channel);
    let mut lines = BufReader::new(answers.try_clone().context("sharing the socket")?);
    let Request::Name(name) = read(&mut lines).context("this command is for tcptrace itself")? else {
        return Err(anyhow!("the first request must be a name"));
    };
    take_name(&name)?;
    write(&mut answers, &Answer::Done(json!(std::process::id())))?;

    // Read on a thread of its own, so that the end of the parent is seen even inside a call that never returns.
    let (sender, requests) = sync_channel(1);
    thread::spawn(move || {
        while let Ok(request) = read(&mut lines) {
            if sender.send(request).is_err() {
                break;
            }
        }
        exit(0)
    });
    serve(&requests, &mut answers)
}

/// Names the process and this thread; threads started later inherit it.
fn take_name(name: &str) -> Result<()> {
    std::fs::write("/proc/self/comm", name).context("naming the process")?;
    // The file names the leader of the process; a test harness calls from another thread.
    prctl::set_name(&CString::new(name)?).context("naming the thread")
}

fn read(lines: &mut impl BufRead) -> Result<Request> {
    let mut line = String::new();
    lines.read_line(&mut line).context("reading a request")?;
    serde_json::from_str(&line).context("decoding a request")
}

fn write(answers: &mut UnixStream, answer: &Answer) -> Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    answers.write_all(&line).context("answering")
}

fn serve(requests: &Receiver<Request>, answers: &mut UnixStream) -> Result<()> {
    let table = Table::default();
    let mut started: HashMap<i32, JoinHandle<Answer>> = HashMap::new();
    for request in requests {
        let answer = match request {
            Request::Call(call) => table.answer(call),
            Request::Start(call) => {
                let (tid, thread) = start(&table, call)?;
                started.insert(tid, thread);
                Answer::Done(json!(tid))
            }
            Request::Join(tid) => match started.remove(&tid).map(JoinHandle::join) {
                Some(Ok(answer)) => answer,
                Some(Err(_)) => Answer::Fault("the call panicked".to_owned()),
                None => Answer::Fault(format!("no call was started as thread {tid}")),
            },
            Request::DefaultSigpipe => {
                sigpipe::reset();
                Answer::Done(Value::Null)
            }
            Request::DescriptorLimit(limit) => limit_descriptors(limit),
            Request::Exit(code) => exit(code),
            Request::Abort => {
                // The end is meant; it must not fill the host's core dumps.
                prctl::set_dumpable(false).context("turning core dumps off")?;
                std::process::abort()
            }
            Request::Name(_) => Answer::Fault("the actor has a name".to_owned()),
        };
        write(answers, &answer)?;
    }
    Ok(())
}

/// Changes the soft limit of descriptors alone, so that the old one can be had again.
fn limit_descriptors(limit: u64) -> Answer {
    let change = || {
        let (before, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, limit, hard)?;
        Ok::<_, Errno>(before)
    };
    change().map_or_else(|errno| Answer::Failed(errno as i32), |before| Answer::Done(json!(before)))
}

/// Makes the call on a new thread; its id is known once the call is the next thing it does.
fn start(table: &Table, call: Call) -> Result<(i32, JoinHandle<Answer>)> {
    let (sender, about_to_call) = sync_channel(1);
    let table = table.clone();
    let thread = thread::spawn(move || match sender.send(gettid().as_raw()) {
        Ok(()) => table.answer(call),
        Err(_) => Answer::Fault("nobody waits for the call".to_owned()),
    });
    Ok((about_to_call.recv().context("starting a thread")?, thread))
}
