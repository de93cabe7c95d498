//! Community ID, version 1: the same hash of a connection in every tool that has one.
//! <https://github.com/corelight/community-id-spec>

use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
use sha1::{Digest, Sha1};
use std::net::{IpAddr, SocketAddr};

/// IP protocol number of TCP.
const TCP: u8 = 6;

/// `1:` and the base64 of a SHA-1 over seed 0, the ordered ends, and the protocol.
pub fn id(one: SocketAddr, other: SocketAddr) -> String {
    let bytes = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    let (one, other) = ((bytes(one.ip()), one.port()), (bytes(other.ip()), other.port()));
    let (first, second) = if one <= other { (one, other) } else { (other, one) };
    let mut hash = Sha1::new();
    hash.update([0, 0]);
    hash.update(first.0);
    hash.update(second.0);
    hash.update([TCP, 0]);
    hash.update(first.1.to_be_bytes());
    hash.update(second.1.to_be_bytes());
    format!("1:{}", STANDARD.encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::id;

    #[test]
    fn the_vectors_of_the_specification_hold() {
        for (one, other, expected) in [
            ("128.232.110.120:34855", "66.35.250.204:80", "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
            (
                "[2001:470:e5bf:dead:4957:2174:e82c:4887]:63943",
                "[2607:f8b0:400c:c03::1a]:25",
                "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=",
            ),
        ] {
            let (one, other) = (one.parse().expect("an address"), other.parse().expect("an address"));
            assert_eq!(id(one, other), expected);
            assert_eq!(id(other, one), expected);
        }
    }
}
