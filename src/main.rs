//! In: the command line. Out: one verb run, and its exit status. Never: work of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    sbtool::cli::main()
}
