//! What can be made to happen: each documented pattern, and what looks like one and is none.

mod accept_fd_exhausted;
mod accept_queue_fin;
mod accept_queue_overflow;
mod accept_queue_reset;
mod attempt;
mod broken_pipe;
mod close_wait_leak;
mod close_with_unread_data;
mod connect_abandoned;
mod connect_retry_aborted;
mod connect_timeout;
mod connection_refused;
mod connection_reset;
mod decoy;
mod embryonic_reset;
mod fin_wait2_write_reset;
mod forged_reset;
mod half_open_suspect;
mod icmp_unreachable;
mod keepalive_timeout;
mod linger2_abort;
mod linger_close_timeout;
mod linger_zero_abort;
mod listener_closed_with_queue;
mod local_unreachable;
mod memory_pressure_reset;
mod peer_lost_state;
mod peer_stuck_in_close_wait;
mod pmtu_blackhole;
mod port_exhausted;
mod premature_eof;
mod process_died;
mod reset_rejected;
mod retransmission_storm;
mod retransmission_timeout;
mod scene;
mod shutdown_self_reset;
mod sigpipe_killed;
mod simultaneous_close;
mod socket_destroyed;
mod socket_option_error;
mod soft_error;
mod stale_connection_killed;
mod stuck_closing;
mod syn_queue_overflow;
mod synack_lost;
mod time_wait_collision;
mod user_timeout;
mod zero_window_stall;

use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::actor::{Actor, Program};
use super::path::{Family, Medium, Path};
use super::world::World;
use scene::Scene;

/// Between two namespaces or inside one.
const ANY: &[Medium] = &[Medium::Loopback, Medium::Wire];
/// Only between two namespaces.
const WIRE: &[Medium] = &[Medium::Wire];
/// Only where the router can take part.
const ROUTED: &[Medium] = &[Medium::Routed];

/// Patterns that are made to happen only on a host of their own, and why.
pub const NOT_PLAYED: &[(&str, &str)] = &[(
    "memory_pressure_reset",
    "the limits of orphans and of TCP memory are the whole host's, no namespace has its own",
)];

/// One thing that can be made to happen.
#[derive(Debug)]
pub struct Case {
    /// The pattern a tracer has to find; `None` for a decoy, which must give no finding of warning or above.
    pub pattern: Option<&'static str>,
    /// What tells this case from others of the pattern.
    pub variant: &'static str,
    media: &'static [Medium],
    families: &'static [Family],
    play: fn(&Scene<'_>) -> Result<Outcome>,
}

/// What a tracer has to tell about the incident; only what the processes' own calls answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The pattern id.
    pub pattern: &'static str,
    /// The service's port, by which the incident is found among others.
    pub port: u16,
    /// `ns.inum` of the namespace of the end that the finding is about.
    pub netns: u32,
    /// The process that the finding is about.
    pub local_pid: Option<u32>,
    /// Its descriptor of the socket.
    pub fd: Option<i32>,
    /// The process at the other end.
    pub peer_pid: Option<u32>,
    /// Whether nothing has to happen to the other end, so that it may be told of or not: a slow one sends again.
    pub peer_is_silent: bool,
    /// The name of the errno that the process of this end got, when it got one.
    pub errno: Option<String>,
    /// Other ids that hold as well, as `also` of the finding or as findings of their own on this port.
    pub allowed: &'static [&'static str],
}

impl Expected {
    /// The process that is to be named at the other end, where one is `told`, and where none is.
    pub fn peer(&self, told: bool) -> Option<u32> {
        self.peer_pid.filter(|_| told || !self.peer_is_silent)
    }
}

/// A case that has happened. Its processes and what they hold stay until this is dropped or released.
#[derive(Debug)]
pub struct Staged {
    /// The case and its path, for messages: `connection_reset/server wire/ipv4`.
    pub name: String,
    /// What has to be found; `None` for a decoy.
    pub expected: Option<Expected>,
    /// The service's port.
    pub port: u16,
    /// Every process that took part, also those that have ended.
    pub pids: Vec<u32>,
    // Before the world: what the processes still send at their end must have a network.
    actors: Vec<Actor>,
    world: Arc<World>,
}

/// What a case leaves behind.
struct Outcome {
    expected: Option<Expected>,
    port: u16,
    pids: Vec<u32>,
    actors: Vec<Actor>,
}

impl Case {
    /// The id of the pattern, or `decoy`, and the variant: `connection_reset/server`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.pattern.unwrap_or("decoy"), self.variant)
    }

    /// The paths on which it can happen.
    pub fn paths(&self) -> impl Iterator<Item = Path> {
        self.media
            .iter()
            .flat_map(|&medium| self.families.iter().map(move |&family| Path::new(medium, family)))
    }

    /// Makes it happen on one path of a world, and returns when it has.
    ///
    /// The rules of a world's router are the case's own, so a routed case needs a world for itself.
    ///
    /// # Errors
    /// When the path cannot be had, or a call ends otherwise than the case says.
    pub fn stage(&self, world: Arc<World>, path: Path) -> Result<Staged> {
        let name = format!("{} {path}", self.name());
        if !self.paths().any(|own| own == path) || !world.has(path) {
            bail!("{name} cannot be had in this world");
        }
        let Outcome { expected, port, pids, actors } =
            (self.play)(&Scene::new(&world, path)).with_context(|| name.clone())?;
        Ok(Staged { name, expected, port, pids, actors, world })
    }

    /// Makes it happen in a world of its own, whose namespaces tell it from everything else.
    ///
    /// # Errors
    /// As [`Case::stage`], or when no world can be made.
    pub fn stage_alone(&self, program: &Program, path: Path) -> Result<Staged> {
        let routed = path.medium == Medium::Routed;
        let world = if routed { World::with_router(program.clone()) } else { World::new(program.clone()) }?;
        self.stage(Arc::new(world), path)
    }
}

impl Staged {
    /// The world it happened in.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Lets the processes end, and with them what they hold; their namespaces go when nobody else has the world.
    pub fn release(self) {
        let Self { actors, world, .. } = self;
        drop(actors);
        drop(world);
    }
}

/// Every case of a pattern.
pub fn patterns() -> impl Iterator<Item = &'static Case> {
    [
        accept_fd_exhausted::CASES,
        accept_queue_fin::CASES,
        accept_queue_overflow::CASES,
        accept_queue_reset::CASES,
        close_wait_leak::CASES,
        connect_abandoned::CASES,
        connect_retry_aborted::CASES,
        connect_timeout::CASES,
        connection_refused::CASES,
        sigpipe_killed::CASES,
        process_died::CASES,
        listener_closed_with_queue::CASES,
        local_unreachable::CASES,
        linger_zero_abort::CASES,
        linger2_abort::CASES,
        close_with_unread_data::CASES,
        broken_pipe::CASES,
        connection_reset::CASES,
        embryonic_reset::CASES,
        fin_wait2_write_reset::CASES,
        forged_reset::CASES,
        half_open_suspect::CASES,
        icmp_unreachable::CASES,
        keepalive_timeout::CASES,
        peer_lost_state::CASES,
        peer_stuck_in_close_wait::CASES,
        port_exhausted::CASES,
        premature_eof::CASES,
        reset_rejected::CASES,
        retransmission_timeout::CASES,
        shutdown_self_reset::CASES,
        socket_destroyed::CASES,
        socket_option_error::CASES,
        soft_error::CASES,
        linger_close_timeout::CASES,
        pmtu_blackhole::CASES,
        retransmission_storm::CASES,
        simultaneous_close::CASES,
        stuck_closing::CASES,
        stale_connection_killed::CASES,
        time_wait_collision::CASES,
        syn_queue_overflow::CASES,
        synack_lost::CASES,
        user_timeout::CASES,
        zero_window_stall::CASES,
    ]
    .into_iter()
    .flatten()
}

/// Every case that needs a host of its own.
pub fn of_own_host() -> impl Iterator<Item = &'static Case> {
    memory_pressure_reset::CASES.iter()
}

/// Every decoy: what looks like a pattern and must give no finding of warning or above.
pub fn decoys() -> impl Iterator<Item = &'static Case> {
    decoy::CASES.iter()
}
