//! The ways to a hook: a BTF tracepoint, the start or the end of a function (fentry, fexit), or a kernel probe there.
//! The loader attaches one of them; the body is the same.

use aya_ebpf::{
    btf_maps::LruHashMap,
    macros::btf_map,
    programs::{FEntryContext, FExitContext, ProbeContext},
};

use crate::task;

/// What a function was called with.
pub(crate) trait Arguments {
    /// An argument by its number; at the end of a function the one after the last is what it returns.
    fn at(&self, number: u32) -> u64;
}

macro_rules! arguments {
    ($($context:ty),+) => {$(
        impl Arguments for $context {
            #[inline(always)]
            fn at(&self, number: u32) -> u64 {
                // The verifier wants a constant; it knows the number, and takes the other ways off.
                match number {
                    0 => self.arg(0),
                    1 => self.arg(1),
                    2 => self.arg(2),
                    3 => self.arg(3),
                    4 => self.arg(4),
                    5 => self.arg(5),
                    6 => self.arg(6),
                    _ => 0,
                }
            }
        }
    )+};
}

arguments!(FEntryContext, FExitContext);

impl Arguments for ProbeContext {
    #[inline(always)]
    fn at(&self, number: u32) -> u64 {
        match number {
            0 => self.arg(0),
            1 => self.arg(1),
            2 => self.arg(2),
            3 => self.arg(3),
            4 => self.arg(4),
            5 => self.arg(5),
            _ => None,
        }
        .unwrap_or(0)
    }
}

/// Declares both programs of a hook ([`crate::nest`]); the second may be for preempted processes alone.
macro_rules! nested {
    ($attach:meta, $context:ty, $first:ident, $second:ident, $hook:ident, $run:expr) => {
        nested!($attach, $context, $first, $second, $hook, $run, first);
    };
    ($attach:meta, $context:ty, $first:ident, $second:ident, $hook:ident, $run:expr, $begin:ident) => {
        #[$attach]
        pub(crate) fn $first(ctx: $context) -> i32 {
            $crate::nest::$begin($crate::nest::Hook::$hook, || ($run)(&ctx))
        }

        #[$attach]
        pub(crate) fn $second(ctx: $context) -> i32 {
            $crate::nest::second($crate::nest::Hook::$hook, || ($run)(&ctx))
        }
    };
}

pub(crate) use nested;

/// What threads have called functions with that have not returned: a probe at the end of a function is not told.
#[btf_map]
static ENTERED: LruHashMap<u64, [u64; 4], 16_384> = LruHashMap::new();

/// Functions whose end a kernel probe is at; a thread, and what interrupts it, is in each of them once.
#[derive(Clone, Copy)]
pub(crate) enum Function {
    Send,
    SendPage,
    Receive,
    Retransmit,
    Connect,
    Accept,
    Shutdown,
    SetSockOpt,
    GetSockOpt,
}

#[inline(always)]
fn key(function: Function) -> u64 {
    let (_, tid) = task::ids();
    u64::from(tid) << 32 | function as u64
}

/// Keeps what the running thread calls a function with.
#[inline(always)]
pub(crate) fn enter(function: Function, arguments: [u64; 4]) {
    // A full map evicts its oldest entry; without memory the call is not told.
    let _ = ENTERED.insert(key(function), arguments, 0);
}

/// What the running thread has called the function with from which it returns.
#[inline(always)]
pub(crate) fn leave(function: Function) -> Option<[u64; 4]> {
    let key = key(function);
    // SAFETY: only this thread writes it.
    let arguments = *unsafe { ENTERED.get(key) }?;
    let _ = ENTERED.remove(key); // it is there
    Some(arguments)
}
