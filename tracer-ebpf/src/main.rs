//! The kernel programs of tcptrace: one hook a file, named as its record in `tracer-common` is.
#![no_std]
#![no_main]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

mod attach;
mod beside;
mod counter;
mod emit;
mod filter;
mod flood;
mod hook;
mod kernel;
mod matching;
mod nest;
mod packet;
mod past;
mod reconcile;
mod refused;
mod repeats;
mod retry;
mod slot;
mod sock;
mod task;

/// Helpers such as `bpf_probe_read_kernel` are open to programs of GPL-compatible licences only.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: the verifier refuses any program that can get here.
    unsafe { core::hint::unreachable_unchecked() }
}
