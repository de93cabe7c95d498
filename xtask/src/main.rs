//! `cargo xtask VERB`: set-up, build and test of tcptrace; one file a verb.

mod bench;
mod counts;
mod install;
mod matrix;
mod privilege;
mod tally;
mod traps;
mod vm;
mod verb {
    pub(crate) mod accuracy;
    pub(crate) mod bench;
    pub(crate) mod build;
    pub(crate) mod ebpf;
    pub(crate) mod matrix;
    pub(crate) mod run;
    pub(crate) mod setup;
    pub(crate) mod test;
    pub(crate) mod traps;
    pub(crate) mod verifier;
    pub(crate) mod vm;
}

use anyhow::Result;
use bench::growth::holder;
use std::{
    env,
    process::{Command, ExitCode},
};

/// What can be asked for; help is made from this.
struct Verb {
    /// Its name, and what follows it.
    usage: &'static str,
    about: &'static str,
    run: fn(&[&str]) -> Result<ExitCode>,
}

const VERBS: &[Verb] = &[
    Verb {
        usage: "setup [--bench]",
        about: "install what building and testing need, or what all of bench needs, after saying what",
        run: verb::setup::run,
    },
    Verb {
        usage: "ebpf [ARCH]",
        about: "build the kernel programs and print where they are (x86_64, aarch64)",
        run: verb::ebpf::run,
    },
    Verb { usage: "build [--release]", about: "build tcptrace", run: verb::build::run },
    Verb { usage: "run -- ARGS", about: "set up, build for release, and run tcptrace", run: verb::run::run },
    Verb { usage: "test", about: "set up, check formatting and lints, run every test", run: verb::test::run },
    Verb {
        usage: "bench [PARTS] [OPTIONS]",
        about: "measure what tcptrace costs, all of it or parts by name (--pairs N, --connections N)",
        run: verb::bench::run,
    },
    Verb {
        usage: "accuracy [OPTIONS]",
        about: "measure how often tcptrace is right (--seeds N, --healthy, --floods; --help)",
        run: verb::accuracy::run,
    },
    Verb {
        usage: "matrix [OPTIONS]",
        about: "make every situation happen on other kernels (--kernel K, --backend B; --document)",
        run: verb::matrix::run,
    },
    Verb {
        usage: "vm KERNEL [COMMAND]",
        about: "run a command beside this tree's tcptrace in a virtual machine (5.10, 6.1, 6.12, 7)",
        run: verb::vm::run,
    },
    Verb {
        usage: "verifier [--update]",
        about: "count what each kernel's verifier walks, against what is kept",
        run: verb::verifier::run,
    },
    Verb {
        usage: "traps [NAME]",
        about: "try what is in the way on some hosts, in virtual machines: lockdown, few rights, namespaces, …",
        run: verb::traps::run,
    },
];

impl Verb {
    fn name(&self) -> &'static str {
        self.usage.split(' ').next().unwrap_or_default()
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        [] | ["help" | "--help" | "-h"] => {
            print!("{}", help());
            return ExitCode::SUCCESS;
        }
        [holder::ARGUMENT, rest @ ..] => holder::play(rest),
        [name, rest @ ..] => match VERBS.iter().find(|verb| verb.name() == *name) {
            Some(verb) => (verb.run)(rest),
            None => Err(misuse(&format!("there is no verb {name:?}"))),
        },
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

fn help() -> String {
    let lines = VERBS.iter().map(|Verb { usage, about, .. }| format!("  {usage:<18} {about}\n"));
    ["usage: cargo xtask VERB\n\n".to_owned()].into_iter().chain(lines).collect()
}

/// The error of a wrong command line.
fn misuse(what: &str) -> anyhow::Error {
    anyhow::anyhow!("{what}\n\n{}", help().trim_end())
}

/// Takes the exit code of a command whose output the user has seen.
fn finish(command: &mut Command) -> Result<ExitCode> {
    Ok(if install::status(command)?.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verb_has_its_own_name_and_a_line_of_help() {
        for (index, verb) in VERBS.iter().enumerate() {
            assert!(VERBS[..index].iter().all(|other| other.name() != verb.name()), "{}", verb.name());
            assert!(help().contains(verb.about));
        }
    }
}
