//! Ports and ranges of ports.

use super::{digits_of, meant};
use tracer_common::settings::{FILTER_ENTRIES, PortRange};

/// Ports and ranges of ports, at most [`FILTER_ENTRIES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(pub Vec<PortRange>);

/// Reads `443`, `8000-8100` and lists of both.
pub(in crate::cli) fn ports(text: &str) -> Result<Ports, String> {
    let ranges: Vec<PortRange> = text.split(',').map(range).collect::<Result<_, _>>()?;
    if ranges.len() > FILTER_ENTRIES {
        return Err(format!(
            "{} ports or ranges; at most {FILTER_ENTRIES} fit into one filter",
            ranges.len()
        ));
    }
    Ok(Ports(ranges))
}

fn range(text: &str) -> Result<PortRange, String> {
    let text = text.trim();
    let Some((first, last)) = text.split_once('-').filter(|(first, _)| !first.is_empty()) else {
        let port = port(text)?;
        return Ok(PortRange { first: port, last: port });
    };
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(format!("a range begins with its smaller port; did you mean '{last}-{first}'?"));
    }
    Ok(PortRange { first, last })
}

fn port(text: &str) -> Result<u16, String> {
    let wrong = |nearest: Option<u32>| {
        format!("'{text}' is no port (1 to 65535) and no range such as 8000-8100{}", meant(nearest))
    };
    if let Some((first, last)) = text.split_once(':').or_else(|| text.split_once("..")) {
        let range = digits_of(first).zip(digits_of(last)).map(|(first, last)| format!("{first}-{last}"));
        return Err(format!("'{text}' is no range of ports{}", meant(range)));
    }
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(0) => Err(wrong(Some(1))),
        Ok(port) if digits => Ok(port),
        // So many digits that no u16 holds them.
        Err(_) if digits => Err(wrong(Some(u16::MAX.into()))),
        _ => Err(wrong(digits_of(text).filter(|number| u16::try_from(*number).is_ok()))),
    }
}

#[cfg(test)]
mod tests {
    use super::{Ports, ports};
    use tracer_common::settings::{FILTER_ENTRIES, PortRange};

    #[test]
    fn ports_and_ranges_are_read() {
        let range = |first, last| PortRange { first, last };
        assert_eq!(ports("443"), Ok(Ports(vec![range(443, 443)])));
        assert_eq!(
            ports("80,8000-8100, 443"),
            Ok(Ports(vec![range(80, 80), range(8_000, 8_100), range(443, 443)]))
        );
        assert_eq!(ports("1-65535"), Ok(Ports(vec![range(1, 65_535)])));
        assert!(
            ports(&"80,".repeat(FILTER_ENTRIES + 1)).is_err_and(|error| error.contains("is no port")),
            "an empty entry"
        );
        let many = ["80"; FILTER_ENTRIES + 1].join(",");
        assert!(ports(&many).is_err_and(|error| error.contains("at most")));
    }

    #[test]
    fn nonsense_is_refused_with_the_nearest_spelling() {
        for (text, says) in [
            ("0", "'1'"),
            ("65536", "'65535'"),
            ("99999999999", "'65535'"),
            ("90-80", "'80-90'"),
            ("80:90", "'80-90'"),
            ("80..90", "'80-90'"),
            ("80a", "'80'"),
            ("+80", "'80'"),
            ("-80", "'80'"),
            ("http", "is no port"),
            ("80-", "is no port"),
            ("", "is no port"),
        ] {
            let error = ports(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
