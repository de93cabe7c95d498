//! Loads of kernel memory at offsets that user space resolved from BTF.
//!
//! The statics here are read-only once the programs are loaded, so the verifier knows their values: it folds
//! the offsets and removes what a constant makes unreachable.

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_probe_read_user};
use core::ptr;
use tracer_common::{
    layout::{ABSENT, Numbers, Offsets, PROBED},
    settings::Settings,
};

/// Where the running kernel keeps things.
#[unsafe(no_mangle)]
static OFFSETS: Offsets = Offsets::ABSENT;

/// What the running kernel calls things.
#[unsafe(no_mangle)]
static NUMBERS: Numbers = Numbers::ABSENT;

/// What the user asked for.
#[unsafe(no_mangle)]
static SETTINGS: Settings = Settings::NONE;

macro_rules! global {
    ($name:ident, $static:ident, $type:ty) => {
        #[doc = concat!("One value of `", stringify!($static), "` as the loader set it.")]
        #[inline(always)]
        pub(crate) fn $name<T: Copy>(select: impl FnOnce(&'static $type) -> *const T) -> T {
            // SAFETY: `select` points into the static; volatile because the loader changes it after the build.
            unsafe { ptr::read_volatile(select(&$static)) }
        }
    };
}

global!(offset_at, OFFSETS, Offsets);
global!(number_at, NUMBERS, Numbers);
global!(setting_at, SETTINGS, Settings);

/// The byte offset of a member, by its name in [`Offsets`].
macro_rules! offset {
    ($field:ident) => {
        $crate::kernel::offset_at(|all| &raw const all.$field)
    };
}

/// A kernel number, by its name in [`Numbers`].
macro_rules! number {
    ($field:ident) => {
        $crate::kernel::number_at(|all| &raw const all.$field)
    };
}

/// A setting, by its name in [`Settings`].
macro_rules! setting {
    ($($field:tt)+) => {
        $crate::kernel::setting_at(|all| &raw const all.$($field)+)
    };
}

pub(crate) use {number, offset, setting};

/// Reads a member through a pointer whose type the verifier knows; `T::default()` where the kernel has none. Where it
/// knows none, as in all of a kernel probe, the offset says so.
#[inline(always)]
pub(crate) fn load<T: Copy + Default>(base: *const u8, offset: u32) -> T {
    if offset == ABSENT {
        return T::default();
    }
    if offset & PROBED != 0 {
        return peek(base as usize, offset);
    }
    // SAFETY: the verifier checks the member against BTF; a fault in such a load reads as zero.
    unsafe { ptr::read_volatile(base.add(offset as usize).cast()) }
}

/// Reads a member through a plain number that is a kernel address; zero where the kernel has none, or there is nothing
/// to read: the helper clears what it cannot fill.
/// <https://github.com/torvalds/linux/blob/v6.12/kernel/trace/bpf_trace.c#L216-L226>
#[inline(always)]
pub(crate) fn peek<T: Copy + Default>(base: usize, offset: u32) -> T {
    let mut value = T::default();
    if offset == ABSENT {
        return value;
    }
    let from = (base + (offset & !PROBED) as usize) as *const core::ffi::c_void;
    // SAFETY: the helper checks the address, and writes no more than the value's size. Each look at its result would
    // double the paths that the verifier walks.
    unsafe { bpf_probe_read_kernel((&raw mut value).cast(), size_of::<T>() as u32, from) };
    value
}

/// Reads what a process wrote at an address of its own; none when there is nothing to read.
#[inline(always)]
pub(crate) fn peek_user<T: Copy + Default>(address: usize) -> Option<T> {
    let mut value = T::default();
    // SAFETY: the helper checks the address, and writes no more than the value's size.
    let error =
        unsafe { bpf_probe_read_user((&raw mut value).cast(), size_of::<T>() as u32, address as *const _) };
    (error == 0).then_some(value)
}
