//! The size of the ring.

use nix::unistd::{SysconfVar, sysconf};

/// The largest power of two that the kernel's 32-bit number of bytes holds.
const LARGEST: u64 = 1 << 31;

/// Reads a number of bytes, K or M allowed, that the kernel takes for a ring: a power of two of at least a page.
/// <https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/ringbuf.c#L189-L208>
pub(in crate::cli) fn ring_size(text: &str) -> Result<u32, String> {
    let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|page| u64::try_from(page).ok());
    of_pages(text, page.unwrap_or(4_096))
}

fn of_pages(text: &str, page: u64) -> Result<u32, String> {
    let expected = format!(
        "expected a power of two from {} to {} bytes, such as '4M' or '262144'",
        spelled(page),
        spelled(LARGEST)
    );
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(expected);
    }
    let bytes = digits.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(unit);
    let nearest = nearest(bytes, page);
    match u32::try_from(bytes) {
        Ok(bytes) if u64::from(bytes) == nearest => Ok(bytes),
        _ => Err(format!("{expected}; did you mean '{}'?", spelled(nearest))),
    }
}

/// The valid size that differs least.
fn nearest(bytes: u64, page: u64) -> u64 {
    let sizes = (0..u64::BITS).map(|shift| 1 << shift).filter(|size| (page..=LARGEST).contains(size));
    sizes.min_by_key(|size| size.abs_diff(bytes)).unwrap_or(LARGEST)
}

/// `256K`, `4M`.
fn spelled(bytes: u64) -> String {
    match bytes {
        b if b % (1 << 20) == 0 => format!("{}M", b >> 20),
        b if b % (1 << 10) == 0 => format!("{}K", b >> 10),
        b => b.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{of_pages, ring_size};

    #[test]
    fn powers_of_two_are_read() {
        for (text, bytes) in
            [("4M", 4 << 20), ("256k", 256 << 10), ("4096", 4_096), ("2048M", 1 << 31), ("1024K", 1 << 20)]
        {
            assert_eq!(of_pages(text, 4_096), Ok(bytes), "{text}");
        }
        assert_eq!(ring_size("4M"), Ok(4 << 20));
    }

    #[test]
    fn nonsense_is_refused_with_the_nearest_spelling() {
        for (text, page, says) in [
            ("100000", 4_096, "'128K'"),
            ("3M", 4_096, "'2M'"),
            ("1", 4_096, "'4K'"),
            ("0", 4_096, "'4K'"),
            ("4096", 65_536, "'64K'"),
            ("4096M", 4_096, "'2048M'"),
            ("99999999999999999999999M", 4_096, "'2048M'"),
            ("4G", 4_096, "such as '4M'"),
            ("-4M", 4_096, "such as '4M'"),
            ("M", 4_096, "such as '4M'"),
            ("", 4_096, "such as '4M'"),
        ] {
            let error = of_pages(text, page).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
