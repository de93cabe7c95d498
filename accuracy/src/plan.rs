//! What will happen in a run, and in which order.

use crate::PER_ID;
use fastrand::Rng;
use std::collections::BTreeMap;
use tracer::lab::{
    case::{self, Case},
    path::Path,
};

/// A case and where it happens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene {
    pub(crate) case: &'static Case,
    pub(crate) path: Path,
}

impl Scene {
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.case.name(), self.path)
    }
}

/// Every wanted case of the lab on every path that can be had here, again and again until there are at least `per_id`
/// incidents of each pattern and as many decoys, in an order that the seed decides.
pub(crate) fn scenes(
    seed: u64,
    per_id: usize,
    wanted: impl Fn(&Case) -> bool,
    can: impl Fn(Path) -> bool,
) -> Vec<Scene> {
    let mut by_id: BTreeMap<Option<&str>, Vec<Scene>> = BTreeMap::new();
    for case in case::patterns().chain(case::decoys()).filter(|case| wanted(case)) {
        let scenes = case.paths().filter(|path| can(*path)).map(|path| Scene { case, path });
        by_id.entry(case.pattern).or_default().extend(scenes);
    }
    let mut rng = Rng::with_seed(seed);
    let mut all = Vec::new();
    for scenes in by_id.values_mut().filter(|scenes| !scenes.is_empty()) {
        rng.shuffle(scenes);
        let whole = per_id.next_multiple_of(scenes.len());
        let count = if per_id < usize::from(PER_ID) { per_id } else { whole };
        all.extend(scenes.iter().cycle().take(count));
    }
    rng.shuffle(&mut all);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn names(seed: u64, per_id: usize) -> Vec<String> {
        scenes(seed, per_id, |_| true, |_| true).iter().map(Scene::name).collect()
    }

    #[test]
    fn every_case_happens_on_every_path_and_every_pattern_often_enough() {
        let all = scenes(7, 30, |_| true, |_| true);
        let mut by_id: HashMap<_, usize> = HashMap::new();
        for scene in &all {
            *by_id.entry(scene.case.pattern).or_default() += 1;
        }
        assert!(by_id.values().all(|count| *count >= 30), "{by_id:?}");
        let names = names(7, 30);
        for case in case::patterns().chain(case::decoys()) {
            assert!(case.paths().all(|path| names.contains(&Scene { case, path }.name())), "{}", case.name());
        }
    }

    #[test]
    fn the_seed_decides_the_order() {
        assert_eq!(names(1, 30), names(1, 30));
        assert_ne!(names(1, 30), names(2, 30));
    }

    #[test]
    fn a_few_are_a_few() {
        let ids: std::collections::BTreeSet<_> = case::patterns().map(|case| case.pattern).collect();
        assert_eq!(names(1, 2).len(), 2 * (ids.len() + 1));
    }
}
