//! The records: what a hook tells, one file a hook, named as the hook is.

pub mod answer;
pub mod call;
pub mod cgroup;
pub mod clock;
pub mod drop;
pub mod error;
pub mod exit;
pub mod firewall_reset;
pub mod holder;
pub mod loss;
pub mod queue;
pub mod receive_length;
pub mod reset_received;
pub mod reset_sent;
pub mod retransmit;
pub mod sample;
pub mod send_length;
pub mod signal;
pub mod socket;
pub mod state_change;
pub mod synack;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Which record follows a [`Header`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Kind {
    /// [`state_change::StateChange`]
    StateChange = 1,
    /// [`reset_sent::ResetSent`]
    ResetSent = 2,
    /// [`reset_received::ResetReceived`]
    ResetReceived = 3,
    /// [`error::ErrorReport`]
    Error = 4,
    /// [`send_length::SendLength`]
    SendLength = 5,
    /// [`receive_length::ReceiveLength`]
    ReceiveLength = 6,
    /// [`sample::Sample`]
    Sample = 7,
    /// [`holder::Holder`]
    Holder = 8,
    /// [`signal::Signal`]
    Signal = 9,
    /// [`exit::Exit`]
    Exit = 10,
    /// [`call::Call`]
    Call = 11,
    /// [`retransmit::Retransmit`]
    Retransmit = 12,
    /// [`drop::Drop`]
    Drop = 13,
    /// [`synack::Synack`]
    Synack = 14,
    /// [`firewall_reset::FirewallReset`]
    FirewallReset = 15,
    /// [`cgroup::Cgroup`], those that were there before made by user space
    Cgroup = 63,
    /// [`answer::Answer`], made by user space
    Answer = 64,
    /// [`loss::Loss`], made by user space
    Loss = 65,
    /// [`clock::Clock`], made by user space
    Clock = 66,
    /// A bare [`Header`], made by user space: the engine was told the time.
    Tick = 67,
    /// [`queue::Queue`], made by user space
    Queue = 68,
}

impl Kind {
    /// Every kind, in the order of its number.
    pub const ALL: &[Self] = &[
        Self::StateChange,
        Self::ResetSent,
        Self::ResetReceived,
        Self::Error,
        Self::SendLength,
        Self::ReceiveLength,
        Self::Sample,
        Self::Holder,
        Self::Signal,
        Self::Exit,
        Self::Call,
        Self::Retransmit,
        Self::Drop,
        Self::Synack,
        Self::FirewallReset,
        Self::Cgroup,
        Self::Answer,
        Self::Loss,
        Self::Clock,
        Self::Tick,
        Self::Queue,
    ];

    /// The kind with this number.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| *kind as u16 == number)
    }
}

impl Header {
    /// The length of the first of many records in a row; none when there is no whole one.
    #[must_use]
    pub fn length_of(records: &[u8]) -> Option<usize> {
        let (header, _) = Self::read_from_prefix(records).ok()?;
        let length = usize::from(header.len);
        (size_of::<Self>() <= length && length <= records.len()).then_some(length)
    }
}

/// How every record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// Time of the event, `CLOCK_BOOTTIME` in nanoseconds.
    pub at_ns: u64,
    /// A [`Kind`].
    pub kind: u16,
    /// Length of the whole record in bytes.
    pub len: u16,
    /// The CPU the hook ran on.
    pub cpu: u32,
    /// Process (thread group) that ran at the event: the actor, or a bystander of a softirq
    /// (see [`socket::OWNED`]).
    pub pid: u32,
    /// Its thread.
    pub tid: u32,
    /// The process's name, padded with zeros; bytes that it chose.
    pub comm: [u8; 16],
}
