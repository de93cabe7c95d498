//! `tcptrace`: parse, dispatch, exit code.

use clap::Parser;
use std::{io, process::ExitCode};
use tracer::{
    cli::{Cli, Command, exit::Exit},
    command::{demo, doctor, explain, list, schema, sockets, watch},
    kernel::refusal::Refusal,
    lab,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match &cli.command {
        Command::Watch(arguments) => watch::run(arguments),
        Command::Demo(arguments) => demo::run(arguments),
        Command::Sockets(arguments) => sockets::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
        Command::List(arguments) => list::run(arguments),
        Command::Doctor(arguments) => doctor::run(arguments),
        Command::Schema => schema::run(),
        Command::Actor => lab::actor::run().map(|()| Exit::Done),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) if closed_pipe(&error) => Exit::Done.into(),
        Err(error) => {
            // Standard error is the last resort: when it is closed as well, the exit code tells.
            let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("tcptrace: {error:#}\n"));
            match error.downcast_ref::<Refusal>() {
                Some(Refusal::Rights(_)) => Exit::Degraded.into(),
                Some(Refusal::Kernel(_)) => Exit::Impossible.into(),
                Some(Refusal::File(_)) => Exit::Usage.into(),
                None => Exit::Failure.into(),
            }
        }
    }
}

/// Whether a reader of standard output had enough: no error.
fn closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
