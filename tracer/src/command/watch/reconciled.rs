//! How the kernel's own counters are told.

use crate::{
    live::{Balances, Reconciled, Reconciliation},
    record::reconciliation::{CounterRecord, NamespaceRecord, ReconciliationRecord},
};
use std::collections::BTreeMap;
use tracer_common::reconcile::KernelCounter;

/// As a part of `stats` and `stop`.
pub(super) fn record(reconciliation: &Reconciliation) -> ReconciliationRecord {
    let namespaces = reconciliation.namespaces.iter().map(namespace).collect();
    let counters = counters(&reconciliation.total);
    ReconciliationRecord::new(counters, namespaces, reconciliation.forgotten, reconciliation.hidden)
}

fn namespace(one: &Reconciled) -> NamespaceRecord {
    let balances = &one.balances;
    NamespaceRecord {
        netns: one.netns,
        appeared: one.appeared,
        gone: one.gone,
        counters: counters(balances),
        counter_only: [
            ("ListenOverflows", balances.listen_overflows),
            ("ListenDrops", balances.listen_drops),
            ("EmbryonicRsts", balances.embryonic_resets),
        ]
        .into(),
    }
}

fn counters(balances: &Balances) -> BTreeMap<&'static str, CounterRecord> {
    let counter = |counter: &KernelCounter| {
        let balance = balances.counters[*counter as usize];
        let attempts = *counter == KernelCounter::AttemptFails;
        let record = CounterRecord {
            counted: balance.counted,
            explained: balance.explained,
            unexplained: balance.unexplained,
            by_embryonic: attempts.then_some(balances.by_embryonic),
        };
        (counter.name(), record)
    };
    KernelCounter::ALL.iter().map(counter).collect()
}

/// For people: a line for each namespace with something unexplained, and nothing else.
pub(super) fn lines(reconciliation: Reconciliation) -> impl Iterator<Item = String> {
    let unexplained = reconciliation.namespaces.into_iter().filter(|one| one.balances.unexplained() > 0);
    unexplained.map(|one| {
        let counters = KernelCounter::ALL.iter().zip(&one.balances.counters);
        let counters = counters.filter(|(_, balance)| balance.unexplained > 0);
        let said: Vec<String> = counters
            .map(|(counter, balance)| {
                format!("{} of {} {}", balance.unexplained, balance.counted, counter.name())
            })
            .collect();
        format!("not seen in network namespace {}: {}", one.netns, said.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::{lines, record};
    use crate::live::{Balance, Balances, Reconciled, Reconciliation};
    use tracer_common::reconcile::KernelCounter;

    fn reconciliation() -> Reconciliation {
        let mut balances = Balances { by_embryonic: 2, embryonic_resets: 3, ..Balances::default() };
        balances.counters[KernelCounter::OutRsts as usize] =
            Balance { counted: 12, explained: 9, unexplained: 3 };
        balances.counters[KernelCounter::AttemptFails as usize] =
            Balance { counted: 4, explained: 4, unexplained: 0 };
        let one = |netns, balances| Reconciled { netns, appeared: false, gone: true, balances };
        Reconciliation {
            namespaces: vec![one(1, Balances::default()), one(2, balances)],
            total: balances,
            forgotten: 0,
            hidden: 0,
        }
    }

    #[test]
    fn people_read_of_what_was_not_seen_alone() {
        let lines: Vec<String> = lines(reconciliation()).collect();
        assert_eq!(lines, ["not seen in network namespace 2: 3 of 12 OutRsts"]);
    }

    #[test]
    fn programs_read_all() {
        let value = serde_json::to_value(record(&reconciliation())).expect("JSON");
        let one = &value["namespaces"][0];
        assert_eq!((&value["quiet"], &one["netns"], &one["gone"]), (&1.into(), &2.into(), &true.into()));
        let attempts =
            serde_json::json!({"counted": 4, "explained": 4, "unexplained": 0, "by_embryonic_rsts": 2});
        assert_eq!(one["counters"]["AttemptFails"], attempts);
        assert_eq!(value["counters"], one["counters"]);
        assert!(one["counters"]["OutRsts"].get("by_embryonic_rsts").is_none());
        assert_eq!(one["counters"].as_object().map(serde_json::Map::len), Some(KernelCounter::ALL.len()));
        assert_eq!(one["counter_only"]["EmbryonicRsts"], 3);
    }
}
