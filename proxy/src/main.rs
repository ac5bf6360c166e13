//! The `throughline` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    throughline_proxy::cli::main(std::env::args_os())
}
