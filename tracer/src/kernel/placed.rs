//! What the programs keep of open sockets, read from their table.

use anyhow::{Context, Result};
use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use tracer_common::{record::socket::Past, slot::Slot};
use zerocopy::{FromBytes as _, IntoBytes as _};

/// Words of a place.
const WORDS: usize = size_of::<Slot>() / size_of::<u64>();

/// The table of open sockets. A socket that has found its place taken is not in it.
pub struct Placed(Array<MapData, [u64; WORDS]>);

impl Placed {
    /// That of the programs.
    pub(super) fn of(ebpf: &mut Ebpf) -> Result<Self> {
        let table = ebpf.take_map("PLACED").context("the table of open sockets is missing")?;
        Ok(Self(Array::try_from(table)?))
    }

    /// What is kept of the socket with this cookie, or was when it ended.
    pub fn past(&self, cookie: u64) -> Option<Past> {
        let before = self.slot(cookie)?;
        past(&before, &self.slot(cookie)?, cookie)
    }

    fn slot(&self, cookie: u64) -> Option<Slot> {
        let place = u32::try_from(cookie % u64::from(self.0.len())).ok()?;
        let words = self.0.get(&place, 0).ok()?;
        Slot::read_from_bytes(words.as_bytes()).ok()
    }
}

/// What was read, if it was this socket's all the time: another that takes the place clears it before it says so, and
/// fills it afterwards.
fn past(before: &Slot, after: &Slot, cookie: u64) -> Option<Past> {
    (before.is_of(cookie) && after.is_of(cookie)).then_some(before.past)
}

#[cfg(test)]
mod tests {
    use super::past;
    use tracer_common::{
        record::socket::Past,
        slot::{ENDED, PLACES, Slot},
    };

    fn slot(tag: u64) -> Slot {
        let past = Past { owner: 42, ..Past::default() };
        Slot { tag, since: 0, bidder: 0, taker: 0, fence: 0, past }
    }

    #[test]
    fn only_the_socket_whose_place_it_is_is_told_of() {
        let own = slot(7);
        assert_eq!(past(&own, &own, 7), Some(own.past));
        assert_eq!(past(&slot(7 | ENDED), &slot(7 | ENDED), 7), Some(own.past), "it has ended since");
        assert_eq!(past(&own, &slot(7 | ENDED), 7), Some(own.past));
        let other = slot(7 + PLACES as u64);
        assert_eq!(past(&other, &other, 7), None, "another has the place");
        assert_eq!(past(&own, &other, 7), None, "another took it meanwhile");
        assert_eq!(past(&slot(0), &slot(0), 0), None, "no socket has this cookie");
    }
}
