//! Values of flags; an error names the nearest thing that would have been valid.

use crate::{
    finding::Severity,
    pattern::{self, CATALOGUE, Value},
};
use ipnet::IpNet;
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};
use tracer_common::settings::{FILTER_ENTRIES, PortRange};

/// Ports and ranges of ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(pub Vec<PortRange>);

/// A network; IPv4-mapped IPv6 has become IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpNet);

/// A network namespace, as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// An inode number.
    Inode(u32),
    /// A process in it.
    Pid(u32),
    /// A file that leads to it.
    Path(PathBuf),
}

/// A changed threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// Which.
    pub key: &'static str,
    /// Its value.
    pub value: Value,
}

/// Process ids end here (`PID_MAX_LIMIT`), and inode numbers of namespaces lie far above: from 4026531840 on, or
/// a little below for the host's own since Linux 6.18.
/// <https://github.com/torvalds/linux/blob/v6.12/include/linux/threads.h#L33-L38>
const LAST_PID: u32 = 4_194_304;
/// Bytes of a page, which a ring is counted in.
const PAGE: u64 = 4_096;

/// `80`, `80,443`, `8000-8999`
pub(super) fn ports(text: &str) -> Result<Ports, String> {
    let port = |text: &str| match text.trim().parse::<u32>() {
        Ok(0) => Err("port 0 is no port; the first is 1".to_owned()),
        Ok(number) => u16::try_from(number).map_err(|_| format!("{number} is no port; the last is 65535")),
        Err(_) => Err(format!("`{text}` is no port; a port is a number from 1 to 65535")),
    };
    let ranges = text.split(',').map(|part| match part.split_once('-') {
        None => port(part).map(|port| PortRange { first: port, last: port }),
        Some((first, last)) => {
            let (first, last) = (port(first)?, port(last)?);
            if first > last {
                return Err(format!("{first}-{last} holds no port; did you mean {last}-{first}?"));
            }
            Ok(PortRange { first, last })
        }
    });
    let ranges: Vec<PortRange> = ranges.collect::<Result<_, _>>()?;
    if ranges.len() > FILTER_ENTRIES {
        return Err(format!("{} ranges; at most {FILTER_ENTRIES} fit into one filter", ranges.len()));
    }
    Ok(Ports(ranges))
}

/// `10.0.0.0/8`, `::1`
pub(super) fn network(text: &str) -> Result<Network, String> {
    let parsed = IpNet::from_str(text).or_else(|_| IpAddr::from_str(text).map(IpNet::from));
    let network =
        parsed.map_err(|_| format!("`{text}` is no address and no network like 10.0.0.0/8 or fd00::/8"))?;
    if network.trunc() != network {
        return Err(format!("{network} has bits set beyond its prefix; did you mean {}?", network.trunc()));
    }
    let mapped = match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => {
            v6.addr().to_ipv4_mapped().map(|v4| (v4, v6.prefix_len() - 96))
        }
        _ => None,
    };
    let network = match mapped {
        Some((v4, prefix)) => IpNet::new(v4.into(), prefix).map_err(|error| error.to_string())?,
        None => network,
    };
    Ok(Network(network))
}

/// `/run/netns/x`, `4026531840`, `4242`
pub(super) fn namespace(text: &str) -> Result<Namespace, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        let number: u32 = text.parse().map_err(|_| format!("{text} is no pid and no inode number"))?;
        return match number {
            0 => Err("0 is no pid; did you mean a path like /proc/self/ns/net?".to_owned()),
            inode if inode > LAST_PID => Ok(Namespace::Inode(inode)),
            pid => Ok(Namespace::Pid(pid)),
        };
    }
    let path = Path::new(text);
    if path.exists() {
        return Ok(Namespace::Path(path.to_owned()));
    }
    let named = Path::new("/run/netns").join(text);
    if named.exists() {
        return Err(format!("{text} is no file; did you mean {}?", named.display()));
    }
    Err(format!("{text} is no file, no pid and no inode number (`ls -L -i /proc/PID/ns/net` prints one)"))
}

/// The id of a pattern.
pub(super) fn pattern(text: &str) -> Result<&'static str, String> {
    let ids = || CATALOGUE.iter().map(|pattern| pattern.id);
    ids().find(|id| *id == text).ok_or_else(|| match nearest(text, ids()) {
        Some(id) => format!("there is no pattern {text}; did you mean {id}?"),
        None => format!("there is no pattern {text}; `tcptrace list` names all"),
    })
}

/// `info`, `warning`, `critical`
pub(super) fn severity(text: &str) -> Result<Severity, String> {
    Severity::from_str(text).map_err(|()| {
        let near = nearest(text, Severity::ALL.iter().map(|severity| severity.name())).unwrap_or("warning");
        format!("{text} is no severity (info, warning, critical); did you mean {near}?")
    })
}

/// `30s`, `1.5h`, `250ms`
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let usage = || format!("`{text}` is no time; write a number and ns, us, ms, s, m or h");
    let seconds = match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "" if number.parse::<f64>().is_ok() => {
            return Err(format!("{text} has no unit; did you mean {text}s?"));
        }
        _ => return Err(usage()),
    };
    let number: f64 = number.parse().map_err(|_| usage())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| format!("{text} is too long a time"))
}

/// `close_wait_leak.after=30s`
pub(super) fn threshold(text: &str) -> Result<Threshold, String> {
    let Some((key, value)) = text.split_once('=') else {
        return Err(format!("`{text}` sets nothing; write ID.KEY=VALUE"));
    };
    let keys = || pattern::settings().map(|setting| setting.key);
    let setting =
        pattern::settings().find(|setting| setting.key == key).ok_or_else(|| match nearest(key, keys()) {
            Some(near) => format!("there is no threshold {key}; did you mean {near}?"),
            None => {
                format!("there is no threshold {key}; there are {}", keys().collect::<Vec<_>>().join(", "))
            }
        })?;
    let value = match setting.default {
        Value::Time(_) => Value::Time(duration(value)?),
        Value::Count(_) => Value::Count(value.parse().map_err(|_| format!("{value} is no whole number"))?),
        Value::Share(_) => {
            let share = value.strip_suffix('%').and_then(|percent| percent.parse::<f64>().ok());
            let share = share.filter(|percent| (0.0..=100.0).contains(percent));
            Value::Share(share.ok_or_else(|| format!("{value} is no share; write 5%"))? / 100.0)
        }
    };
    Ok(Threshold { key: setting.key, value })
}

/// `4M`: a power of two, at least a page, at most 1 GiB.
pub(super) fn ring_size(text: &str) -> Result<u32, String> {
    let (number, unit) = match text.strip_suffix(['K', 'k', 'M', 'm']) {
        Some(number) if text.ends_with(['K', 'k']) => (number, 1 << 10),
        Some(number) => (number, 1 << 20),
        None => (text, 1),
    };
    let number: u64 =
        number.parse().map_err(|_| format!("`{text}` is no size; write bytes, or 512K, or 4M"))?;
    let bytes = number.saturating_mul(unit);
    let near = bytes.clamp(PAGE, 1 << 30);
    let near = if near.is_power_of_two() { near } else { near.next_power_of_two().min(1 << 30) };
    if near != bytes {
        return Err(format!(
            "a ring has a power of two of bytes, from {PAGE} to 1 GiB; did you mean {near}?"
        ));
    }
    u32::try_from(bytes).map_err(|_| format!("{text} is too large a ring"))
}

/// The candidate most like `text`, if one is like it at all.
fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.map(|candidate| (strsim::jaro_winkler(text, candidate), candidate));
    let (score, candidate) = scored.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (score > 0.7).then_some(candidate)
}

#[cfg(test)]
mod tests {
    use super::{Namespace, duration, namespace, network, pattern, ports, ring_size, severity, threshold};
    use std::time::Duration;
    use tracer_common::settings::PortRange;

    #[test]
    fn what_is_valid_is_read() {
        let read = ports("80,8000-8999").expect("ports").0;
        assert_eq!(read, [PortRange { first: 80, last: 80 }, PortRange { first: 8000, last: 8999 }]);
        assert_eq!(network("::ffff:10.0.0.0/104").expect("a network").0.to_string(), "10.0.0.0/8");
        assert_eq!(network("10.1.2.3").expect("an address").0.to_string(), "10.1.2.3/32");
        assert_eq!(namespace("4026531840"), Ok(Namespace::Inode(4_026_531_840)));
        assert_eq!(namespace("4026531833"), Ok(Namespace::Inode(4_026_531_833)));
        assert_eq!(namespace("4242"), Ok(Namespace::Pid(4_242)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(ring_size("512K"), Ok(524_288));
        assert!(threshold("close_wait_leak.after=250ms").is_ok());
    }

    #[test]
    fn an_error_names_what_would_be_valid() {
        let cases: &[(Result<(), String>, &str)] = &[
            (ports("90-80").map(drop), "80-90"),
            (ports("70000").map(drop), "65535"),
            (ports("0").map(drop), "1"),
            (ports("http").map(drop), "1 to 65535"),
            (network("10.1.0.0/8").map(drop), "10.0.0.0/8"),
            (network("10.1.0/8").map(drop), "10.0.0.0/8"),
            (namespace("0").map(drop), "/proc/self/ns/net"),
            (namespace("/no/such/file").map(drop), "/proc/PID/ns/net"),
            (pattern("conection_refused").map(drop), "connection_refused"),
            (severity("warn").map(drop), "warning"),
            (duration("30").map(drop), "30s"),
            (duration("-3s").map(drop), "ns, us, ms, s, m or h"),
            (duration("1e400s").map(drop), "no time"),
            (threshold("close_wait_leak.afer=3s").map(drop), "close_wait_leak.after"),
            (threshold("join.hold=often").map(drop), "no time"),
            (ring_size("5000").map(drop), "8192"),
        ];
        for (result, named) in cases {
            let error = result.as_ref().expect_err(named);
            assert!(error.contains(named), "`{error}` does not name {named}");
        }
    }
}
