//! Addresses and networks.

use super::meant;
use ipnet::{IpNet, Ipv4Net, ipv4_mask_to_prefix};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// How many bits of an IPv4-mapped address come before the IPv4 address.
const MAPPED_BITS: u8 = 96;

/// A network; one of IPv4-mapped addresses has become the IPv4 network it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(pub IpNet);

/// Reads an address or a network.
pub(in crate::cli) fn network(text: &str) -> Result<Network, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Network(address.to_canonical().into()));
    }
    let Ok(network) = text.parse::<IpNet>() else {
        return Err(format!("expected an address or a network such as 10.0.0.0/8{}", meant(near(text))));
    };
    let network = canonical(network);
    if network.addr() != network.network() {
        return Err(format!("it has bits beyond its prefix; did you mean '{}'?", network.trunc()));
    }
    Ok(Network(network))
}

/// A network of mapped addresses as the IPv4 network it stands for.
fn canonical(network: IpNet) -> IpNet {
    let mapped = || {
        let address = match network.addr() {
            IpAddr::V6(address) => address.to_ipv4_mapped()?,
            IpAddr::V4(_) => return None,
        };
        Ipv4Net::new(address, network.prefix_len().checked_sub(MAPPED_BITS)?).ok()
    };
    mapped().map_or(network, IpNet::V4)
}

/// What was probably meant.
fn near(text: &str) -> Option<String> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("localhost") {
        return Some("127.0.0.1".to_owned());
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip().to_string());
    }
    let (address, rest) = text.split_once('/').map_or((text, None), |(address, rest)| (address, Some(rest)));
    let address = address.trim_matches(['[', ']']);
    let (address, octets) = match address.parse::<IpAddr>() {
        Ok(address) => (address, 4),
        Err(_) => padded(address)?,
    };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match rest {
        None if octets == 4 => return Some(address.to_string()),
        None => octets * 8,
        Some(rest) => prefix(rest).unwrap_or(longest).min(longest),
    };
    Some(IpNet::new(address, prefix).ok()?.trunc().to_string())
}

/// `10.1` as `10.1.0.0`, with the number of octets given; an octet beyond 255 is taken as 255.
fn padded(text: &str) -> Option<(IpAddr, u8)> {
    let mut octets = [0; 4];
    let mut count = 0;
    for part in text.split('.').filter(|part| !part.is_empty()) {
        *octets.get_mut(usize::from(count))? = u8::try_from(part.parse::<u32>().ok()?).unwrap_or(u8::MAX);
        count += 1;
    }
    (count > 0).then_some((Ipv4Addr::from(octets).into(), count))
}

/// A prefix length, also when written as a mask.
fn prefix(text: &str) -> Option<u8> {
    let mask = text.parse::<Ipv4Addr>().ok().and_then(|mask| ipv4_mask_to_prefix(mask).ok());
    mask.or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::network;

    #[test]
    fn addresses_and_networks_are_read() {
        for (text, read) in [
            ("10.0.0.1", "10.0.0.1/32"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::1", "2001:db8::1/128"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("::ffff:10.0.0.1", "10.0.0.1/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(network(text).map(|network| network.0.to_string()), Ok(read.to_owned()), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_nearest_spelling() {
        for (text, says) in [
            ("10.0.0.1/8", "'10.0.0.0/8'"),
            ("2001:db8::1/32", "'2001:db8::/32'"),
            ("::ffff:10.0.0.1/104", "'10.0.0.0/8'"),
            ("10.0.0.0/33", "'10.0.0.0/32'"),
            ("10.0.0.0/255.0.0.0", "'10.0.0.0/8'"),
            ("10.1", "'10.1.0.0/16'"),
            ("10.0/16", "'10.0.0.0/16'"),
            ("10.0.0.256", "'10.0.0.255'"),
            ("10.0.0.1:80", "'10.0.0.1'"),
            ("[::1]", "'::1'"),
            ("[::1]:80", "'::1'"),
            ("localhost", "'127.0.0.1'"),
            ("example.org", "such as 10.0.0.0/8"),
            ("", "such as 10.0.0.0/8"),
        ] {
            let error = network(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
