//! The few numbers of a `stop` record that are measured here.
//!
//! They are cut out of the line as they stand: a JSON library here would have to be built before every build of
//! tcptrace, whose build script waits for this crate.

use anyhow::{Context as _, Result};

/// Programs that run when asked to, not at events of a connection.
const ITERATORS: &[&str] = &["sample", "holder"];

/// What a run of `watch` counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    /// Records the kernel handed over.
    pub(crate) delivered: f64,
    /// Events lost, whatever the cause.
    pub(crate) lost: f64,
    /// Those of them that found the ring full.
    pub(crate) ring_full: f64,
    /// Those of them at which both programs of their hook were running already.
    pub(crate) recursion: f64,
    /// Programs at events that ran at least once; empty without `--probe-stats`.
    pub(crate) probes: Vec<Probe>,
}

/// The run time of one program.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Probe {
    pub(crate) name: String,
    pub(crate) runs: f64,
    /// Nanoseconds in all.
    pub(crate) ns: f64,
}

impl Counts {
    /// Reads a `stop` record.
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let probes = between(line, "\"probes\":{", "}}").map_or(Some(Vec::new()), probes);
        let losses = between(line, "\"lost\":{", "}").and_then(losses);
        let delivered = between(line, "\"delivered\":", ",").and_then(|number| number.parse().ok());
        match (delivered, losses, probes) {
            (Some(delivered), Some(losses), Some(probes)) => {
                let of =
                    |cause| losses.iter().filter(|(name, _)| *name == cause).map(|(_, count)| count).sum();
                Ok(Self {
                    delivered,
                    lost: losses.iter().map(|(_, count)| count).sum(),
                    ring_full: of("ring_full"),
                    recursion: of("recursion"),
                    probes,
                })
            }
            _ => None.with_context(|| format!("the stop record is not as expected: {line}")),
        }
    }
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    Some(text.split_once(begin)?.1.split_once(end)?.0)
}

/// Of `"a":1,"b":2`.
pub(crate) fn losses(members: &str) -> Option<Vec<(&str, f64)>> {
    let pairs = members.split(',').map(|member| member.split_once(':'));
    pairs
        .map(|pair| pair.and_then(|(name, count)| Some((name.trim_matches('"'), count.parse().ok()?))))
        .collect()
}

/// Of `"a":{"runs":1,"ns":2},"b":{"runs":3,"ns":4`.
fn probes(members: &str) -> Option<Vec<Probe>> {
    let probes = members.split("},").map(|member| {
        let name = between(member, "\"", "\"")?.to_owned();
        let runs = between(member, "\"runs\":", ",")?.parse().ok()?;
        let ns = member.rsplit_once("\"ns\":")?.1.parse().ok()?;
        Some(Probe { name, runs, ns })
    });
    let probes: Vec<Probe> = probes.collect::<Option<_>>()?;
    Some(probes.into_iter().filter(|probe| probe.runs > 0.0 && !ITERATORS.contains(&&*probe.name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOP: &str = r#"{"v":1,"type":"stop","why":"signal","seen":9,"delivered":170,"received":425,"lost":{"no_storage":1,"recursion":0,"ring_full":2},"losses":[],"suppressed":{"filtered":0},"user_cpu_seconds":0.02,"probes":{"error":{"runs":0,"ns":0},"sample":{"runs":7,"ns":70},"state_change":{"runs":155,"ns":325401}}}"#;

    #[test]
    fn a_stop_record_is_read() -> Result<()> {
        let probe = Probe { name: "state_change".to_owned(), runs: 155.0, ns: 325_401.0 };
        assert_eq!(
            Counts::parse(STOP)?,
            Counts { delivered: 170.0, lost: 3.0, ring_full: 2.0, recursion: 0.0, probes: vec![probe] }
        );
        let plain = STOP.split_once(",\"probes\"").map(|(before, _)| format!("{before}}}"));
        assert_eq!(Counts::parse(&plain.unwrap_or_default())?.probes, []);
        Ok(())
    }

    #[test]
    fn another_record_is_refused() {
        assert!(Counts::parse(r#"{"v":1,"type":"start"}"#).is_err());
    }
}
