//! Two hosts on one machine: namespaces A and B, joined by a wire and, when asked for, by a router of our own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context, Result};

use super::actor::{Actor, Program};
use super::link::Links;
use super::namespace::Namespace;
use super::path::{Family, Medium, Path, ROUTED_NETWORK, Side, WIRE_NETWORK};
use super::router::Router;

/// The veth pair between the two namespaces.
const WIRE: &str = "wire";
/// Links come up within milliseconds.
const LINK_LIMIT: Duration = Duration::from_secs(5);

/// Two private hosts, and the program that plays the processes on them.
#[derive(Debug)]
pub struct World {
    // First, so that it is the first to go; the actors have ended by then and their last segments are forwarded.
    router: Option<Router>,
    a: Namespace,
    b: Namespace,
    program: Program,
    ipv6: bool,
}

impl World {
    /// Makes the two hosts and the wire between them, ready to carry packets.
    ///
    /// # Errors
    /// Without `CAP_SYS_ADMIN` and `CAP_NET_ADMIN`, or when the kernel lacks network namespaces or veth.
    pub fn new(program: Program) -> Result<Self> {
        let (a, b) = (Namespace::new()?, Namespace::new()?);
        let ipv6 = a.has_ipv6() && b.has_ipv6();
        let links = [Links::open(&a)?, Links::open(&b)?];
        links[0].add_veth(WIRE, &b)?;
        for (link, side) in links.iter().zip([Side::A, Side::B]) {
            link.set_up(link.index("lo")?)?;
            let index = link.index(WIRE)?;
            link.set_up(index)?;
            add_addresses(link, index, WIRE_NETWORK.host(side.number()), ipv6)?;
        }
        for (link, namespace) in links.iter().zip([&a, &b]) {
            link.wait_running(WIRE, LINK_LIMIT, namespace)?;
        }
        Ok(Self { router: None, a, b, program, ipv6 })
    }

    /// Makes the two hosts, the wire and the router.
    ///
    /// # Errors
    /// As [`World::new`], or when the kernel has no TUN devices.
    pub fn with_router(program: Program) -> Result<Self> {
        let mut world = Self::new(program)?;
        let router =
            Router::between([(&world.a, router_addresses(Side::A)), (&world.b, router_addresses(Side::B))])?;
        for side in [Side::A, Side::B] {
            let namespace = world.namespace(side);
            let link = Links::open(namespace)?;
            let index = link.index(Router::LINK)?;
            link.set_up(index)?;
            add_addresses(&link, index, ROUTED_NETWORK.host(side.number()), world.ipv6)?;
            // An orphan whose FIN the router swallowed would hold its namespace for 100 s.
            namespace.set_sysctl("net.ipv4.tcp_orphan_retries", "2")?;
        }
        world.router = Some(router);
        Ok(world)
    }

    /// The namespace of a host.
    pub fn namespace(&self, side: Side) -> &Namespace {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    /// The router.
    ///
    /// # Errors
    /// When the world was made without one.
    pub fn router(&self) -> Result<&Router> {
        self.router.as_ref().context("this world has no router")
    }

    /// Whether connections can run on this path here.
    pub fn has(&self, path: Path) -> bool {
        (path.medium != Medium::Routed || self.router.is_some()) && (path.family == Family::V4 || self.ipv6)
    }

    /// The `ns.inum` of A and B.
    pub fn inodes(&self) -> [u32; 2] {
        [self.a.inode(), self.b.inode()]
    }

    /// Starts a process called `comm` (at most 15 bytes) on a host.
    ///
    /// # Errors
    /// When it cannot be started or does not report for duty.
    pub fn actor(&self, side: Side, comm: &str) -> Result<Actor> {
        Actor::spawn(&self.program, self.namespace(side), comm)
    }
}

fn router_addresses(side: Side) -> [IpAddr; 2] {
    let (v4, v6) = ROUTED_NETWORK.host(side.number());
    [v4.into(), v6.into()]
}

fn add_addresses(link: &Links, index: u32, (v4, v6): (Ipv4Addr, Ipv6Addr), ipv6: bool) -> Result<()> {
    link.add_address(index, v4.into(), 24)?;
    if ipv6 {
        link.add_address(index, v6.into(), 64)?;
    }
    Ok(())
}
