//! The `kvaudit` binary: parse, dispatch, print an error once, choose the exit code.

use std::process::ExitCode;

use clap::Parser;
use kvaudit::cli::{self, Cli};

fn main() -> ExitCode {
    cli::execute(Cli::parse())
}
