//! The TCP states: number, name, meaning. The only such table.

macro_rules! states {
    ($($number:literal $variant:ident $name:literal $meaning:literal;)+) => {
        /// A state of a TCP socket.
        ///
        /// The numbers are the kernel's, and part of its user-space interface: `tcp_init()` refuses to build
        /// when `BPF_TCP_*` differs from them.
        /// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/tcp.c#L2866-L2879>
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum State {
            $(#[doc = $meaning] $variant = $number,)+
        }

        impl State {
            /// Every state, in the kernel's order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The state with this kernel number.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The kernel's name without its `TCP_`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

states! {
    1 Established "ESTABLISHED" "Data flows in both directions.";
    2 SynSent "SYN_SENT" "A SYN has left, nothing has come back.";
    3 SynRecv "SYN_RECV" "A SYN has been answered, the last ACK of the handshake is awaited.";
    4 FinWait1 "FIN_WAIT1" "This end has closed; its FIN is not acknowledged.";
    5 FinWait2 "FIN_WAIT2" "This end has closed and that was acknowledged; the other end has not closed.";
    6 TimeWait "TIME_WAIT" "Both ends have closed; late segments are awaited.";
    7 Close "CLOSE" "No connection.";
    8 CloseWait "CLOSE_WAIT" "The other end has closed; this end has not.";
    9 LastAck "LAST_ACK" "Both ends have closed; the acknowledgement of this end's FIN is awaited.";
    10 Listen "LISTEN" "Connections are accepted.";
    11 Closing "CLOSING" "Both ends have closed at the same time.";
    12 NewSynRecv "NEW_SYN_RECV" "A half-open connection, not yet a socket.";
}

impl State {
    /// The number the kernel gives this state.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Reads a state in any spelling that tools use: `FIN_WAIT2`, `FIN-WAIT-2`, `fin_wait_2`, `ESTAB`, `CLOSED`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let letters = || text.bytes().filter(|b| !matches!(b, b'_' | b'-')).map(|b| b.to_ascii_uppercase());
        let is = |name: &str| letters().eq(name.bytes().filter(|b| *b != b'_'));
        // ss and OpenTelemetry shorten or stretch four names.
        let other = [
            ("ESTAB", Self::Established),
            ("SYNRECEIVED", Self::SynRecv),
            ("CLOSED", Self::Close),
            ("UNCONN", Self::Close),
        ];
        Self::ALL
            .iter()
            .copied()
            .find(|state| is(state.name()))
            .or_else(|| other.iter().find(|(name, _)| is(name)).map(|(_, state)| *state))
    }
}

#[cfg(test)]
mod tests {
    use super::State;

    #[test]
    fn every_spelling_is_read() {
        for text in ["FIN_WAIT2", "FIN-WAIT-2", "fin_wait_2", "finwait2"] {
            assert_eq!(State::parse(text), Some(State::FinWait2), "{text}");
        }
        assert_eq!(State::parse("ESTAB"), Some(State::Established));
        assert_eq!(State::parse("FIN_WAIT3"), None);
        assert_eq!(State::parse(""), None);
    }

    #[test]
    fn numbers_and_names_are_one_to_one() {
        for state in State::ALL {
            assert_eq!(State::from_number(state.number()), Some(*state));
            assert_eq!(State::parse(state.name()), Some(*state));
        }
        assert_eq!(State::from_number(0), None);
        assert_eq!(State::from_number(13), None);
    }
}
