//! Puts the kernel programs where `include_bytes_aligned!` finds them.

fn main() -> std::process::ExitCode {
    xtask::embed::object()
}
