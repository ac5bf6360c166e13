//! The `throughline` command.

use std::process::ExitCode;

/// A span is made by a thread that carries requests and freed by the one that exports it, a thousand
/// bytes each time. The system's allocator keeps what is freed at hand for the thread that freed it,
/// which makes none; this one gives it back to the thread that does. `benches/race` has the figure.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    throughline_proxy::cli::main(std::env::args_os())
}
