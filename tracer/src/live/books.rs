//! The kernel's own counters of every namespace, set against what the programs saw there.

use super::{
    Live,
    balance::{Balances, Reading},
    share::Look,
};
use crate::kernel::{
    clock,
    counted::Counters,
    namespace::Namespace,
    probes::{Key, Probes},
};
use anyhow::{Result, ensure};
use hashbrown::HashSet;
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};
use tracer_common::reconcile::NAMESPACES;

/// How often it is looked whether something happened in a namespace that is not known.
const STRANGERS_PERIOD: Duration = Duration::from_secs(1);
/// How often the counters are asked for.
const COUNTERS_PERIOD: Duration = Duration::from_secs(10);
/// Who asks may be so much too early.
const EARLY: Duration = Duration::from_secs(1);
/// Namespaces whose counters are held open, two descriptors each.
const MOST_OPEN: usize = 512;
/// Namespaces that have gone and are remembered.
const MOST_GONE: usize = 1_024;
/// A counter rises while it is read: the reading is repeated at most so often.
const TRIES: usize = 4;

/// The reconciliation of a run.
pub(super) struct Books {
    open: BTreeMap<u32, (Account, Counters)>,
    /// Those that have gone, the newest last.
    gone: VecDeque<(u32, Account)>,
    /// How many more have gone.
    forgotten: usize,
    /// The sum of theirs.
    rest: Balances,
    /// The keys of both.
    known: HashSet<Key>,
    /// Namespaces that are not known, though something happened there.
    hidden: HashSet<Key>,
    /// Namespaces that were found, but could not be read when that was last tried.
    unread: usize,
    strangers_due: Instant,
    reading_due: Instant,
}

/// What is kept of a namespace.
#[derive(Clone, Copy)]
struct Account {
    key: Key,
    /// Found during the run.
    appeared: bool,
    base: Reading,
    last: Reading,
}

/// What is known of all namespaces.
#[derive(Clone, Debug, Default)]
pub struct Reconciliation {
    /// Those that are known.
    pub namespaces: Vec<Reconciled>,
    /// The sum of theirs, and of those that were known.
    pub total: Balances,
    /// Those that have gone and are remembered no more.
    pub forgotten: usize,
    /// Those that could not be found, though something happened there, or not be read.
    pub hidden: usize,
}

/// What is known of one.
#[derive(Clone, Copy, Debug)]
pub struct Reconciled {
    /// Its inode number.
    pub netns: u32,
    /// Found during the run: its counters are taken to have begun at zero.
    pub appeared: bool,
    /// No process and no mount is known to hold it any more; it was read for the last time when that was noticed.
    pub gone: bool,
    /// Its counters.
    pub balances: Balances,
}

impl Books {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            open: BTreeMap::new(),
            gone: VecDeque::new(),
            forgotten: 0,
            rest: Balances::default(),
            known: HashSet::new(),
            hidden: HashSet::new(),
            unread: 0,
            strangers_due: now,
            reading_due: now,
        }
    }

    /// Opens an account for a namespace; one found during the run began at zero, as did what was seen there.
    fn open(&mut self, namespace: &Namespace, appeared: bool, probes: &Probes) -> Result<()> {
        if self.open.contains_key(&namespace.inum) {
            return Ok(());
        }
        ensure!(self.open.len() < MOST_OPEN, "there are too many namespaces");
        let mut counters = Counters::open(namespace)?;
        let key = Key(counters.cookie.unwrap_or(namespace.inum.into()));
        let last = read(&mut counters, key, probes)?;
        // Its last process may have gone, and another come.
        let known = self.gone.iter().position(|(_, account)| account.key == key);
        let known = known.filter(|_| counters.cookie.is_some()).and_then(|place| self.gone.remove(place));
        let base = if appeared { Reading::default() } else { last };
        let account = known.map_or(Account { key, appeared, base, last }, |(_, account)| account);
        self.hidden.remove(&key);
        self.known.insert(key);
        self.open.insert(namespace.inum, (Account { last, ..account }, counters));
        Ok(())
    }

    /// Reads once more what nobody else holds any more, and lets go of it.
    fn close(&mut self, wanted: impl Fn(u32) -> bool, probes: &mut Probes) -> Result<()> {
        let unwanted: Vec<u32> = self.open.keys().copied().filter(|netns| !wanted(*netns)).collect();
        for netns in unwanted {
            let Some((mut account, mut counters)) = self.open.remove(&netns) else { continue };
            account.last = read(&mut counters, account.key, probes)?;
            self.gone.push_back((netns, account));
            if counters.cookie.is_none() {
                self.forget(account.key, probes); // its number may be another's soon
            }
        }
        while self.gone.len() > MOST_GONE
            && let Some((_, account)) = self.gone.pop_front()
        {
            self.forgotten += 1;
            self.rest.add(&Balances::between(&account.base, &account.last));
            self.forget(account.key, probes);
        }
        Ok(())
    }

    fn forget(&mut self, key: Key, probes: &mut Probes) {
        self.known.remove(&key);
        probes.forget(key);
    }

    /// Whether something happened in namespaces that are not known and were not looked for.
    fn strangers(&mut self, probes: &mut Probes) -> Result<bool> {
        let mut found = false;
        let keys = probes.explained_namespaces()?;
        for key in &keys {
            found |= !self.known.contains(key) && self.hidden.insert(*key);
        }
        // Those that cannot be found must not take the place of others.
        if keys.len() > NAMESPACES as usize / 4 * 3 {
            self.forgotten += self.hidden.len();
            self.hidden.drain().for_each(|key| probes.forget(key));
        }
        Ok(found)
    }

    /// What is known.
    pub(super) fn reconciliation(&self) -> Reconciliation {
        let reconciled = |netns: u32, account: &Account, gone| Reconciled {
            netns,
            appeared: account.appeared,
            gone,
            balances: Balances::between(&account.base, &account.last),
        };
        let open = self.open.iter().map(|(netns, (account, _))| reconciled(*netns, account, false));
        let gone = self.gone.iter().map(|(netns, account)| reconciled(*netns, account, true));
        let namespaces: Vec<_> = open.chain(gone).collect();
        let mut total = self.rest;
        for one in &namespaces {
            total.add(&one.balances);
        }
        Reconciliation {
            namespaces,
            total,
            forgotten: self.forgotten,
            hidden: self.hidden.len() + self.unread,
        }
    }
}

/// Reads both sides, so that both are of the same moment if that can be had.
fn read(counters: &mut Counters, key: Key, probes: &Probes) -> Result<Reading> {
    let mut explained = probes.explained(key)?;
    let mut counted = counters.read()?;
    for _ in 1..TRIES {
        let now = probes.explained(key)?;
        if now == explained {
            break;
        }
        explained = now;
        counted = counters.read()?;
    }
    Ok(Reading { counted, explained })
}

impl Live {
    /// Opens an account for every namespace that there is.
    pub(super) fn open_books(&mut self, appeared: bool) {
        let Some(books) = &mut self.books else { return };
        books.unread = 0;
        for namespace in self.looks.namespaces() {
            if let Err(error) = books.open(namespace, appeared, &self.probes) {
                tracing::info!("counters of {}: {error:#}", namespace.name);
                books.unread += 1;
            }
        }
    }

    /// After namespaces were found anew: those that came and those that went.
    pub(super) fn turn_books(&mut self) -> Result<()> {
        self.open_books(true);
        let Some(books) = &mut self.books else { return Ok(()) };
        books.close(|netns| self.looks.knows(netns), &mut self.probes)
    }

    /// Looks for namespaces in which something happened and which are not known.
    pub(super) fn find_strangers(&mut self) -> Result<()> {
        let Some(books) = &mut self.books else { return Ok(()) };
        if Instant::now() < books.strangers_due {
            return Ok(());
        }
        let (began, used) = (Instant::now(), clock::own_cpu_time()?);
        if books.strangers(&mut self.probes)? {
            self.looks.refresh()?;
            self.open_books(true);
        }
        let cost = clock::own_cpu_time()?.saturating_sub(used);
        if let Some(books) = &mut self.books {
            books.strangers_due = began + self.polls.shares.apart_by_itself(STRANGERS_PERIOD, cost);
        }
        Ok(())
    }

    /// Reads every counter, if that is due; at the end it always is.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn reconcile(&mut self, at_end: bool) -> Result<()> {
        if let Some(books) = self.books.as_mut().filter(|_| at_end) {
            books.strangers_due = Instant::now();
        }
        self.find_strangers()?;
        let Some(books) = &mut self.books else { return Ok(()) };
        if !at_end && Instant::now() < books.reading_due {
            return Ok(());
        }
        let (began, used) = (Instant::now(), clock::own_cpu_time()?);
        for (account, counters) in books.open.values_mut() {
            account.last = read(counters, account.key, &self.probes)?;
        }
        let cost = clock::own_cpu_time()?.saturating_sub(used);
        tracing::debug!("reading the counters of {} namespaces took {cost:?}", books.open.len());
        let apart = self.polls.shares.apart(Look::Counters, COUNTERS_PERIOD, cost);
        books.reading_due = began + apart.saturating_sub(EARLY);
        Ok(())
    }
}
