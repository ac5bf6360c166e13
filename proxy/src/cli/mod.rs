//! The command line: verbs, what they print, and how they end.
//!
//! Flags come from the table of settings, so that a setting cannot lack its flag or its help. What a
//! verb prints goes to standard output; a reader that has seen enough (`| head`) is no failure. What
//! goes wrong is one sentence on standard error, and the exit code says whose it is to put right: 64
//! for the configuration, 1 for everything else, and after `run -- COMMAND` the command's own.

mod arguments;
mod forwarders;
mod print;
mod verbs;

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
};

use clap::error::ErrorKind;

/// The exit code for a configuration that cannot be used: `EX_USAGE` of `sysexits.h`.
const CONFIGURATION: u8 = 64;

/// Runs the command with these arguments, the first of which is the program's name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let outcome = match arguments::command().try_get_matches_from(args) {
        Ok(matches) => verbs::run(&matches),
        Err(error) => refused(&error),
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            // There is nobody left to tell if this fails.
            let _ = writeln!(io::stderr(), "throughline: {}", failure.sentence());
            failure.code()
        }
    }
}

/// Why a verb ended without having done its work.
#[derive(Debug)]
enum Failure {
    /// What was asked for cannot be.
    Configuration(String),
    /// It could not be done.
    Runtime(anyhow::Error),
}

impl Failure {
    fn sentence(&self) -> String {
        match self {
            Self::Configuration(sentence) => sentence.clone(),
            Self::Runtime(error) => format!("{error:#}"),
        }
    }

    fn code(&self) -> ExitCode {
        match self {
            Self::Configuration(_) => ExitCode::from(CONFIGURATION),
            Self::Runtime(_) => ExitCode::FAILURE,
        }
    }
}

impl From<crate::config::Error> for Failure {
    fn from(error: crate::config::Error) -> Self {
        Self::Configuration(error.to_string())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<crate::config::Error>() {
            Ok(error) => error.into(),
            Err(error) => match error.downcast::<crate::tls::Error>() {
                Ok(error) => Self::Configuration(error.to_string()),
                Err(error) => Self::Runtime(error),
            },
        }
    }
}

/// Help and version are answers; everything else that clap has to say is a mistake.
fn refused(error: &clap::Error) -> Result<ExitCode, Failure> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print::finished(error.print())?;
            Ok(ExitCode::SUCCESS)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            print::finished(error.print())?;
            Ok(ExitCode::from(CONFIGURATION))
        }
        _ => Err(Failure::Configuration(arguments::sentence(error))),
    }
}
