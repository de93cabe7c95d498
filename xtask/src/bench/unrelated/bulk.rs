//! As many bytes as go through one connection, written on one thread and read on another.

use crate::bench::{
    load::{DEADLINE, Load, Outcome},
    machine,
};
use anyhow::{Context as _, Result, anyhow, ensure};
use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// Bytes of a write, and the most of a read.
const BLOCK: u32 = 128 * 1024;
/// 4 GiB in all.
const WRITES: u32 = 32 * 1024;

/// A read or a write that waits longer has been forgotten.
const STILL: Duration = Duration::from_secs(10);

pub(super) fn about() -> String {
    format!(
        "{} MiB through one TCP connection, in writes of {} KiB",
        BLOCK / 1024 * WRITES / 1024,
        BLOCK / 1024
    )
}

pub(super) struct Bulk;

impl Load for Bulk {
    fn run(&self) -> Result<Outcome> {
        transfer(WRITES)
    }
}

fn transfer(writes: u32) -> Result<Outcome> {
    let (mut to, mut from) = connection()?;
    let mut buffer = vec![0; usize::try_from(BLOCK)?];
    let block = buffer.clone();
    let before = machine::cpu_of_thread()?;
    let begin = Instant::now();
    let sender = thread::spawn(move || {
        (0..writes).try_for_each(|_| to.write_all(&block)).context("writing")?;
        drop(to);
        machine::cpu_of_thread()
    });
    let mut read = 0_u64;
    loop {
        match from.read(&mut buffer).context("reading")? {
            0 => break,
            some => read += u64::try_from(some)?,
        }
        ensure!(begin.elapsed() < DEADLINE, "the transfer takes too long");
    }
    let took = begin.elapsed();
    let receiver = machine::cpu_of_thread()?.saturating_sub(before);
    let sender = sender.join().map_err(|_| anyhow!("the writing thread died"))??;
    ensure!(read == u64::from(BLOCK) * u64::from(writes), "{read} bytes came");
    Ok(Outcome { units: f64::from(BLOCK) * f64::from(writes), took, cpu: receiver + sender })
}

fn connection() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening on loopback")?;
    let to =
        TcpStream::connect(listener.local_addr().context("asking for the port")?).context("connecting")?;
    let (from, _) = listener.accept().context("accepting")?;
    to.set_write_timeout(Some(STILL))
        .and_then(|()| from.set_read_timeout(Some(STILL)))
        .context("setting timeouts")?;
    Ok((to, from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_arrives() -> Result<()> {
        assert!(transfer(3)?.took > Duration::ZERO);
        Ok(())
    }
}
