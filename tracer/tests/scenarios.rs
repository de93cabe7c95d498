//! Every pattern against its scenarios, judged by the whole catalogue: a careless new rule breaks its
//! neighbours' tests.

use std::collections::BTreeSet;
use tracer::{
    kernel::hooks::HOOKS,
    lab::case,
    pattern::{CATALOGUE, Lang, by_id, settings},
    scenario::{play, summary},
};

#[test]
fn every_scenario_yields_exactly_what_it_expects() {
    let mut wrong = Vec::new();
    for pattern in CATALOGUE {
        for scenario in pattern.scenarios {
            let findings = play(scenario.trace, |_| true).expect("a history");
            for finding in &findings {
                let known = by_id(finding.pattern).expect("a pattern");
                let errno = finding.errno.map(|(errno, _)| errno.name());
                let declared = errno.as_deref().is_none_or(|errno| known.errnos.contains(&errno));
                assert!(declared, "{}: its page does not name {errno:?}", known.id);
            }
            let told: Vec<String> = findings.iter().map(summary).collect();
            let holds = told.len() == scenario.expect.len()
                && scenario.expect.iter().zip(&told).all(|(expected, told)| {
                    let words: Vec<&str> = told.split(' ').collect();
                    expected.split(' ').all(|word| words.contains(&word)) && words[0] == first(expected)
                });
            if !holds {
                let expected = scenario.expect.join("\n    ");
                wrong.push(format!(
                    "{}: {}\n  expected\n    {expected}\n  told\n    {}",
                    pattern.id,
                    scenario.name,
                    told.join("\n    ")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn first(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

#[test]
fn every_pattern_has_a_hit_a_near_miss_and_a_lossy_run() {
    for pattern in CATALOGUE {
        let told =
            |scenario: &&tracer::pattern::Scenario| scenario.expect.iter().any(|e| first(e) == pattern.id);
        assert!(pattern.scenarios.iter().any(|s| told(&s)), "{} has no hit", pattern.id);
        assert!(pattern.scenarios.iter().any(|s| !told(&s)), "{} has no near miss", pattern.id);
        let lossy =
            pattern.scenarios.iter().any(|s| s.trace.contains(" lost ") || s.trace.contains(" unknown"));
        assert!(lossy, "{} has no lossy run", pattern.id);
    }
}

#[test]
fn a_pattern_that_is_off_tells_nothing() {
    for off in CATALOGUE {
        for scenario in off.scenarios {
            let findings = play(scenario.trace, |pattern| pattern.id != off.id).expect("a history");
            let named =
                findings.iter().any(|finding| finding.pattern == off.id || finding.also.contains(&off.id));
            assert!(!named, "{} is off and told: {}", off.id, scenario.name);
        }
    }
}

#[test]
fn the_catalogue_is_well_formed() {
    let ids: BTreeSet<&str> = CATALOGUE.iter().map(|pattern| pattern.id).collect();
    assert_eq!(ids.len(), CATALOGUE.len(), "an id is used twice");
    let keys: Vec<&str> = settings().map(|setting| setting.key).collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "a setting is defined twice");
    for pattern in CATALOGUE {
        let id = pattern.id;
        assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{id}");
        for lang in [Lang::En, Lang::Zh] {
            let title = pattern.text.of(lang).title;
            assert!(!title.is_empty() && title.chars().count() < 60, "the title of {id}: {title}");
        }
        assert!(!pattern.triggers.is_empty(), "{id} is never asked");
        let known = |program: &&str| HOOKS.iter().any(|hook| hook.program == *program);
        assert!(pattern.needs.iter().all(known), "{id} needs a program that is none");
        for other in pattern.supersedes {
            assert!(ids.contains(other), "{id} supersedes {other}, which is no pattern");
        }
        for lang in [Lang::En, Lang::Zh] {
            let words = pattern.text.of(lang);
            for text in [words.seen, words.means, words.advice, words.confirm] {
                assert!(!text.trim().is_empty(), "{id} says nothing somewhere");
            }
        }
    }
}

#[test]
fn every_pattern_has_a_live_case_or_a_reason_why_not() {
    let played: BTreeSet<&str> = case::patterns().filter_map(|case| case.pattern).collect();
    let not_played: BTreeSet<&str> = case::NOT_PLAYED.iter().map(|(id, _)| *id).collect();
    let elsewhere: BTreeSet<&str> = case::of_own_host().filter_map(|case| case.pattern).collect();
    assert_eq!(not_played, elsewhere, "what needs a host of its own is made to happen there");
    assert!(played.is_disjoint(&not_played), "there is a case after all: {not_played:?}");
    assert_eq!(not_played.len(), 1, "whoever adds a pattern without a case counts it here");
    let all: BTreeSet<&str> = CATALOGUE.iter().map(|pattern| pattern.id).collect();
    let accounted: BTreeSet<&str> = played.union(&not_played).copied().collect();
    assert_eq!(accounted, all);
}
