//! Which of the kernel's counters the events that reach the programs explain.

macro_rules! counters {
    ($($variant:ident $name:literal $meaning:literal;)+) => {
        /// A counter of the kernel whose every increment should come with an event.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum KernelCounter {
            $(#[doc = $meaning] $variant,)+
        }

        impl KernelCounter {
            /// Every one, in the order of its index.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The kernel's name.
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
    OutRsts "OutRsts" "RSTs sent.";
    EstabResets "EstabResets" "Ends from `ESTABLISHED` or `CLOSE_WAIT` without an orderly close.";
    AbortOnClose "TCPAbortOnClose" "Closes with unread data.";
    AbortOnData "TCPAbortOnData" "Closes with `SO_LINGER` 0, and data that met a closed socket.";
    AbortOnLinger "TCPAbortOnLinger" "Closes with a negative `TCP_LINGER2`.";
    AbortOnMemory "TCPAbortOnMemory" "Orphans killed for want of memory, or because there are too many.";
    AbortOnTimeout "TCPAbortOnTimeout" "Connections and attempts that a timer ended.";
    AttemptFails "AttemptFails" "Attempts to connect, in or out, that failed.";
}

/// Index in [`Explained`]: RSTs that answered a connection for which the accept queue had no room. They raise
/// `EmbryonicRsts` and are no failed attempt.
pub const OVERFLOW_RESETS: usize = KernelCounter::ALL.len();
/// Words of an [`Explained`].
pub const WORDS: usize = OVERFLOW_RESETS + 1;

/// What the programs know of one namespace, CPU by CPU: how often an event explained each [`KernelCounter`], then the
/// above.
pub type Explained = [u64; WORDS];

/// Namespaces for which this is kept at most.
pub const NAMESPACES: u32 = 4_096;
