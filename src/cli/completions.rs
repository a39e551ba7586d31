//! `completions`: for shells.

use clap::Args;
use clap_complete::Shell;

use super::output::Console;
use super::status::{Failure, Status};

/// Print a completion script for a shell
#[derive(Args)]
#[command(after_help = "Example:
  sbtool completions bash > ~/.local/share/bash-completion/completions/sbtool")]
pub struct Options {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(options: &Options, console: &Console) -> Result<Status, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut super::command(), "sbtool", &mut script);
    console.print(script)?;
    Ok(Status::Holds)
}
