//! What the kernel programs count, per CPU.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

macro_rules! counters {
    ($($variant:ident $name:literal $meaning:literal;)+) => {
        /// One counter of every CPU.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Counter {
            $(#[doc = $meaning] $variant,)+
        }

        impl Counter {
            /// Every counter, in the order of its index.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name `stats` gives it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

counters! {
    Delivered "delivered" "Records handed to the ring.";
    RingFull "ring_full" "Records lost because the ring was full.";
    NoStorage "no_storage" "Sockets whose past could not be kept: the kernel had no memory for it.";
    NoDistance "no_distance" "Resets of which it was not seen from how far away they came.";
    Recursion "recursion" "Events lost because both programs of their hook were running on that CPU.";
    Nested "nested" "Events taken by the second program of a hook, because the first was running on that CPU.";
    Filtered "filtered" "Events left out by a filter.";
    Unneeded "unneeded" "State changes no pattern, flag or timer needs.";
    Scanned "scanned" "Sockets older than the tracer that the scan has marked.";
    CallFlood "call_flood" "Failed system calls of one kind beyond 1,000 a second on a CPU.";
    DropFlood "drop_flood" "Refused segments beyond 1,000 a second on a CPU.";
    SynackFlood "synack_flood" "SYN-ACKs sent again beyond 1,000 a second on a CPU.";
    ResetFlood "reset_flood" "Resets without a socket beyond 1,000 a second on a CPU.";
}

impl Counter {
    /// Whether this counts what was lost, not what was left out on purpose.
    #[must_use]
    pub const fn is_loss(self) -> bool {
        matches!(self, Self::RingFull | Self::NoStorage | Self::NoDistance | Self::Recursion)
    }

    /// Whether this counts what was left out on purpose.
    #[must_use]
    pub const fn is_suppressed(self) -> bool {
        matches!(
            self,
            Self::Filtered
                | Self::Unneeded
                | Self::ResetFlood
                | Self::CallFlood
                | Self::DropFlood
                | Self::SynackFlood
        )
    }
}

/// One cell: how often, and between which times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Cell {
    /// How often since the programs were loaded.
    pub count: u64,
    /// First time, `CLOCK_BOOTTIME` in nanoseconds; kept for losses only.
    pub first_ns: u64,
    /// Last time, likewise.
    pub last_ns: u64,
}
