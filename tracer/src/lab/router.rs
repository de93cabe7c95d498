//! A router of our own between the two hosts: a thread that forwards between two TUN devices and can drop, delay
//! and forge.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use super::namespace::Namespace;
use super::packet::{self, Segment};

/// No packet of a TUN device without offloads is longer than its MTU of 1,500.
const PACKET: usize = 2048;
/// What Linux hosts send with, so that a forged packet looks like one of them.
pub const HOPS: u8 = 64;
/// What is left of that when a packet has come some routers further than the hosts are apart.
pub const FAR: u8 = HOPS - 7;

/// What becomes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes on.
    Pass,
    /// It is swallowed.
    Drop,
    /// It goes on this much later.
    Delay(Duration),
    /// It waits for [`Router::release`].
    Hold,
    /// It is swallowed, and a RST that fits its numbers goes to these ends.
    Reset(Ends),
    /// It is swallowed, and its sender is told by ICMP (type 3) or `ICMPv6` (type 1) with this code.
    Unreachable(u8),
}

/// Ends of a connection, seen from one of its segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// Who sent the segment.
    Sender,
    /// Who would have got it.
    Receiver,
    /// Both.
    Both,
}

type Rule = Box<dyn FnMut(&Segment) -> Action + Send>;

/// The router; it stops when dropped, after what it had been given has been forwarded.
pub struct Router {
    roads: Arc<Roads>,
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").finish_non_exhaustive()
    }
}

impl Router {
    /// The name of its device in either namespace.
    pub(super) const LINK: &str = "routed";

    /// A router between two hosts with these addresses; its devices are still down.
    pub(super) fn between(hosts: [(&Namespace, [IpAddr; 2]); 2]) -> Result<Self> {
        // tun-rs would make the device node, which is the host's.
        if !Path::new("/dev/net/tun").exists() {
            bail!("there is no /dev/net/tun: the kernel has no TUN devices");
        }
        let [near, far] = hosts.map(|(namespace, addresses)| -> Result<Host> {
            let device = namespace.enter(|| {
                let builder = DeviceBuilder::new().name(Self::LINK).layer(Layer::L3).inherit_enable_state();
                builder.build_sync().context("making a TUN device")
            })?;
            device.set_nonblocking(true).context("preparing a TUN device")?;
            Ok(Host { device, addresses })
        });
        let roads = Arc::new(Roads { hosts: [near?, far?], rules: Mutex::new(Rules::default()) });
        let (stop, stopped) = UnixStream::pair().context("making the router's off switch")?;
        let thread = thread::Builder::new().name("lab-router".to_owned()).spawn({
            let roads = Arc::clone(&roads);
            move || {
                if let Err(error) = roads.forward(&stopped) {
                    tracing::error!("the router of the lab has stopped: {error:#}");
                }
            }
        })?;
        Ok(Self { roads, stop: Some(stop), thread: Some(thread) })
    }

    /// From now on this rule is asked about every TCP segment; before, all passed.
    pub fn set_rule(&self, rule: impl FnMut(&Segment) -> Action + Send + 'static) {
        self.roads.rules().rule = Box::new(rule);
    }

    /// Lets all go on that is held, in the order it came, before anything that comes later; all pass from then on.
    pub fn release(&self) {
        let mut rules = self.roads.rules();
        rules.rule = Box::new(|_| Action::Pass);
        for (to, packet) in std::mem::take(&mut rules.held) {
            self.roads.deliver(&packet, to);
        }
    }

    /// Forges a RST towards `victim` as if its peer had sent it, with the sequence number the victim expects.
    ///
    /// # Errors
    /// When no segment from `peer` to `victim` has passed.
    pub fn reset(&self, victim: SocketAddr, peer: SocketAddr) -> Result<()> {
        self.forge_reset(victim, peer, 0, HOPS)
    }

    /// Forges a RST likewise, `distance` numbers from the expected one, that has this time to live when it arrives.
    ///
    /// # Errors
    /// When no segment from `peer` to `victim` has passed.
    pub fn forge_reset(&self, victim: SocketAddr, peer: SocketAddr, distance: i32, hops: u8) -> Result<()> {
        let (victim, peer) = (canonical(victim), canonical(peer));
        let rules = self.roads.rules();
        let next_seq =
            *rules.next_seq.get(&(peer, victim)).context("no segment has passed towards the victim")?;
        let seq = next_seq.wrapping_add_signed(distance);
        self.roads.deliver(&packet::reset(peer, victim, seq, None, hops)?, victim.ip());
        Ok(())
    }

    /// Forges a SYN from `source`, which nobody needs to have, to `destination`.
    ///
    /// # Errors
    /// When the two are of different families.
    pub fn syn(&self, source: SocketAddr, destination: SocketAddr, seq: u32) -> Result<()> {
        let (source, destination) = (canonical(source), canonical(destination));
        self.roads.deliver(&packet::syn(source, destination, seq, HOPS)?, destination.ip());
        Ok(())
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the router has been printed; the world goes down all the same.
            _ = thread.join();
        }
    }
}

/// One host, as the router reaches it.
struct Host {
    device: SyncDevice,
    addresses: [IpAddr; 2],
}

/// What the router's thread and its owner share.
struct Roads {
    hosts: [Host; 2],
    rules: Mutex<Rules>,
}

struct Rules {
    rule: Rule,
    /// By sender and receiver: the sequence number the receiver waits for.
    next_seq: HashMap<(SocketAddr, SocketAddr), u32>,
    /// Where they go, and packets that wait to be released.
    held: Vec<(IpAddr, Vec<u8>)>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { rule: Box::new(|_| Action::Pass), next_seq: HashMap::new(), held: Vec::new() }
    }
}

/// Packets that wait, the first to go on top; the number keeps those of one instant in order.
type Waiting = BinaryHeap<Reverse<(Instant, u64, IpAddr, Vec<u8>)>>;

impl Roads {
    fn rules(&self) -> std::sync::MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forwards until `stopped` is hung up and nothing is left to read.
    fn forward(&self, stopped: &UnixStream) -> Result<()> {
        let mut waiting = Waiting::new();
        let mut number = 0;
        let mut packet = [0; PACKET];
        loop {
            let limit = waiting.peek().map_or(PollTimeout::NONE, |Reverse((due, ..))| until(*due));
            let mut ready = [
                PollFd::new(self.hosts[0].device.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.hosts[1].device.as_fd(), PollFlags::POLLIN),
                PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
            ];
            poll(&mut ready, limit).context("waiting for packets")?;
            let is = |at: usize, flag| ready[at].revents().is_some_and(|flags| flags.contains(flag));
            if is(0, PollFlags::POLLERR) || is(1, PollFlags::POLLERR) {
                bail!("a TUN device has gone");
            }
            if is(2, PollFlags::POLLHUP) && !is(0, PollFlags::POLLIN) && !is(1, PollFlags::POLLIN) {
                return Ok(());
            }
            for host in &self.hosts {
                loop {
                    match host.device.recv(&mut packet) {
                        Ok(length) => {
                            if let Some((due, to)) = self.judge(&packet[..length])? {
                                number += 1;
                                waiting.push(Reverse((due, number, to, packet[..length].to_vec())));
                            }
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error).context("reading a packet"),
                    }
                }
            }
            while waiting.peek().is_some_and(|Reverse((due, ..))| *due <= Instant::now()) {
                if let Some(Reverse((_, _, to, packet))) = waiting.pop() {
                    self.deliver(&packet, to);
                }
            }
        }
    }

    /// Does what the rule says; a packet that has to wait comes back with when it is due and where it goes.
    fn judge(&self, bytes: &[u8]) -> Result<Option<(Instant, IpAddr)>> {
        let Some(((_, to), segment)) = packet::read(bytes) else { return Ok(None) };
        let mut rules = self.rules();
        let Some(segment) = segment else {
            self.deliver(bytes, to);
            return Ok(None);
        };
        let action = (rules.rule)(&segment);
        if matches!(action, Action::Pass | Action::Delay(_) | Action::Hold) {
            rules.next_seq.insert((segment.source, segment.destination), segment.next_seq());
        }
        match action {
            Action::Pass => self.deliver(bytes, to),
            Action::Drop => {}
            Action::Delay(time) => return Ok(Some((Instant::now() + time, to))),
            Action::Hold => rules.held.push((to, bytes.to_vec())),
            Action::Reset(ends) => self.answer_with_resets(&segment, ends)?,
            Action::Unreachable(code) => {
                let sender = segment.source.ip();
                self.deliver(&packet::unreachable(to, bytes, code, HOPS)?, sender);
            }
        }
        Ok(None)
    }

    /// RFC 9293, 3.10.7.1: what a host without the connection would answer; the receiver's RST continues the stream.
    fn answer_with_resets(&self, segment: &Segment, ends: Ends) -> Result<()> {
        let Segment { source, destination, .. } = *segment;
        if ends != Ends::Receiver {
            let (seq, ack) = segment.ack.map_or((0, Some(segment.next_seq())), |ack| (ack, None));
            self.deliver(&packet::reset(destination, source, seq, ack, HOPS)?, source.ip());
        }
        if ends != Ends::Sender {
            self.deliver(
                &packet::reset(source, destination, segment.seq, segment.ack, HOPS)?,
                destination.ip(),
            );
        }
        Ok(())
    }

    /// Hands a packet to the host with this address; nobody has the other addresses of the network.
    fn deliver(&self, packet: &[u8], to: IpAddr) {
        if let Some(host) = self.hosts.iter().find(|host| host.addresses.contains(&to)) {
            // A host whose queue is full loses packets, as on any network.
            _ = host.device.send(packet);
        }
    }
}

/// The time until `due` for poll, rounded up so that it does not wake too early and spin.
fn until(due: Instant) -> PollTimeout {
    let left = due.saturating_duration_since(Instant::now()).as_millis() + 1;
    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
