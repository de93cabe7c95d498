//! What is in the way on some hosts: each trap is a script for the shell of a virtual machine, and what must come of it.
//!
//! Traps of one kernel with the same parameters share a machine: each has mounts of its own.

mod list;

use crate::{
    misuse,
    tally::Tally,
    vm::{Machine, Ran, Run, side_by_side},
};
use anyhow::Result;
use list::TRAPS;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Something that is in the way.
#[derive(Debug)]
struct Trap {
    name: &'static str,
    /// Where it is tried.
    kernels: &'static [&'static str],
    /// What the kernel is told besides.
    parameters: &'static str,
    /// What the shell does, with what [`PRELUDE`] has.
    script: &'static str,
    /// Its exit code.
    code: i32,
    /// What it writes, in this order; lines of several traps do not mix.
    says: &'static [&'static str],
    /// What it must not write.
    never: &'static [&'static str],
}

/// What the scripts share.
const PRELUDE: &str = include_str!("traps/prelude.sh");
/// Where they find it.
const SHARED: &str = "/tmp/prelude";
/// A machine that takes longer is ended: half of that is enough for the slowest.
const LIMIT: Duration = Duration::from_mins(3);
/// Seconds after which a script is ended.
const PATIENCE: u32 = 60;
/// Processors of a machine.
const PROCESSORS: u32 = 1;

/// What is missing wherever there is no kernel probe at a module's function: no trap's doing.
const KNOWN: &str = "\"nf_send_reset\",\"why_not\"";

/// Begins the output of a trap; its name follows.
const BEGUN: &str = "@trap ";
/// Ends it; the exit code of its script follows.
const ENDED: &str = "@code ";
/// Tells why it could not be tried.
const SKIPPED: &str = "@skip ";

/// Traps that share a run of a machine.
struct Boot {
    kernel: &'static str,
    parameters: &'static str,
    traps: Vec<&'static Trap>,
}

/// Tries every trap, or one, on those of its kernels that there are machines of, says of each what became of it, and
/// adds that up.
pub(crate) fn run(machines: &[Machine], only: Option<&str>, tally: &mut Tally) -> Result<()> {
    let tally = Mutex::new(tally);
    // The newest take longest to start: they come first.
    let boots = machines
        .iter()
        .rev()
        .flat_map(|machine| boots(machine.kernel.name, only).into_iter().map(move |boot| (machine, boot)));
    side_by_side(boots.collect(), |(machine, boot)| {
        let ran = boot.run(machine)?;
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        boot.traps.iter().for_each(|trap| trap.judge(boot.kernel, &ran, &mut tally));
        Ok(())
    })
}

/// The kernels that the trap called so is tried on.
pub(crate) fn kernels(name: &str) -> Result<&'static [&'static str]> {
    let names = || TRAPS.iter().map(|trap| trap.name).collect::<Vec<_>>().join(", ");
    let trap = TRAPS.iter().find(|trap| trap.name == name);
    Ok(trap.ok_or_else(|| misuse(&format!("there is no trap {name:?}, only {}", names())))?.kernels)
}

/// How often the machine of a kernel is run.
fn boots(kernel: &'static str, only: Option<&str>) -> Vec<Boot> {
    let mut boots: Vec<Boot> = Vec::new();
    let wanted = |trap: &&Trap| only.is_none_or(|name| name == trap.name) && trap.kernels.contains(&kernel);
    for trap in TRAPS.iter().filter(wanted) {
        match boots.iter_mut().find(|boot| boot.parameters == trap.parameters) {
            Some(boot) => boot.traps.push(trap),
            None => boots.push(Boot { kernel, parameters: trap.parameters, traps: vec![trap] }),
        }
    }
    boots
}

impl Boot {
    fn run(&self, machine: &Machine) -> Result<Ran> {
        let prelude = format!("cat >{SHARED} <<'END_OF_FILE'\n{PRELUDE}END_OF_FILE\n");
        let scripts: Vec<String> =
            [prelude].into_iter().chain(self.traps.iter().map(|trap| trap.command())).collect();
        let name =
            format!("traps-{}", self.parameters.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-"));
        let (command, parameters) = (scripts.concat(), self.parameters);
        machine.run(
            Run { name: &name, command: &command, parameters, limit: LIMIT, processors: PROCESSORS },
            |_| {},
        )
    }
}

impl Trap {
    /// Its part of the machine's command.
    fn command(&self) -> String {
        let Self { name, script, .. } = self;
        format!(
            "cat >/tmp/{name} <<'END_OF_FILE'\n. {SHARED}\n{script}\nEND_OF_FILE\n\
             echo '{BEGUN}{name}'; timeout {PATIENCE} unshare -m sh /tmp/{name} 2>&1; echo \"{ENDED}$?\"\n"
        )
    }

    /// Says what became of it.
    fn judge(&self, kernel: &str, ran: &Ran, tally: &mut Tally) {
        let name = format!("{} on {kernel}", self.name);
        let (lines, code) = part(self.name, &ran.output);
        if let Some(reason) = lines.iter().find_map(|line| line.strip_prefix(SKIPPED)) {
            println!("SKIP {name}: {reason}");
            tally.skip(format!("{name}: {reason}"));
            return;
        }
        let Some(wrong) = self.wrong(&lines, code) else {
            println!("ok {name}");
            tally.pass(1);
            return;
        };
        println!("FAILED {name}: {wrong}; the kernel's messages are in {}", ran.console.display());
        for line in lines {
            println!("    {line}");
        }
        tally.fail(format!("trap {name}: {wrong}"));
    }

    /// What is wrong with what it did, if anything is.
    fn wrong(&self, lines: &[String], code: Option<i32>) -> Option<String> {
        let Some(code) = code else { return Some("the machine ended before it did".to_owned()) };
        if code != self.code {
            return Some(format!("exit code {code} and not {}", self.code));
        }
        let text = lines.join("\n");
        let mut rest = text.as_str();
        for words in self.says {
            let Some(at) = rest.find(words) else { return Some(format!("{words:?} is not said")) };
            rest = &rest[at + words.len()..];
        }
        let text = text.replace(KNOWN, "");
        self.never.iter().find(|words| text.contains(**words)).map(|words| format!("{words:?} is said"))
    }
}

/// The lines of a trap in the output of a machine, and the exit code of its script.
fn part(name: &str, output: &[String]) -> (Vec<String>, Option<i32>) {
    let mut begun = output.iter().skip_while(|line| line.strip_prefix(BEGUN) != Some(name)).skip(1);
    let lines: Vec<String> = begun.clone().take_while(|line| !line.starts_with(ENDED)).cloned().collect();
    let code = begun.nth(lines.len()).and_then(|line| line.strip_prefix(ENDED)?.trim().parse().ok());
    (lines, code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::kernel::{KERNELS, Kernel};

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn each_trap_is_on_a_kernel_that_there_is_and_has_a_name_of_its_own() {
        for (index, trap) in TRAPS.iter().enumerate() {
            assert!(TRAPS[..index].iter().all(|other| other.name != trap.name), "{}", trap.name);
            assert!(!trap.kernels.is_empty() && !trap.says.is_empty(), "{}", trap.name);
            assert!(trap.kernels.iter().all(|kernel| Kernel::named(kernel).is_ok()), "{}", trap.name);
        }
    }

    #[test]
    fn traps_with_the_same_parameters_share_a_machine() {
        let mut tried = 0;
        for kernel in KERNELS {
            let boots = boots(kernel.name, None);
            for (index, boot) in boots.iter().enumerate() {
                let same = |other: &Boot| other.parameters == boot.parameters;
                assert!(!boots[..index].iter().any(same), "{} {}", kernel.name, boot.parameters);
            }
            tried += boots.iter().map(|boot| boot.traps.len()).sum::<usize>();
        }
        assert_eq!(tried, TRAPS.iter().map(|trap| trap.kernels.len()).sum());
    }

    #[test]
    fn a_trap_holds_when_code_and_words_do() {
        let trap = Trap {
            name: "two",
            kernels: &["6.1"],
            parameters: "",
            script: "",
            code: 3,
            says: &["first", "second"],
            never: &["third", "why_not"],
        };
        let (found, code) =
            part("two", &lines("@trap one\nfirst\n@code 0\n@trap two\nsecond first\n second\n@code 3\n"));
        assert_eq!((found.len(), code), (2, Some(3)));
        assert_eq!(trap.wrong(&found, code), None);
        assert_eq!(trap.wrong(&lines("first second \"nf_send_reset\",\"why_not\""), code), None);
        for (text, code, wrong) in [
            ("first second", Some(0), "exit code 0 and not 3"),
            ("second first", Some(3), "\"second\" is not said"),
            ("first second third", Some(3), "\"third\" is said"),
            ("first second \"other\",\"why_not\"", Some(3), "\"why_not\" is said"),
            ("first second", None, "the machine ended before it did"),
        ] {
            assert_eq!(trap.wrong(&lines(text), code).as_deref(), Some(wrong));
        }
        assert_eq!(part("two", &lines("@trap two\nfirst")), (lines("first"), None));
    }
}
