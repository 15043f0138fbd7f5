//! A clustering against labels: normalised mutual information, adjusted Rand index, purity.
//!
//! Definitions are scikit-learn's: mutual information over the arithmetic mean of both entropies; the Rand index
//! adjusted for chance by the permutation model.

use std::collections::BTreeMap;

use serde::Serialize;

/// How well a clustering agrees with labels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Samples with a label.
    pub num_samples: u64,
    /// Clusters that hold at least one of them.
    pub num_used: usize,
    /// Normalised mutual information, 0 to 1.
    pub nmi: f64,
    /// Adjusted Rand index: 0 for chance, 1 for the same partition.
    pub ari: f64,
    /// Share of samples that have the commonest label of their cluster. Rises with the number of clusters.
    pub purity: f64,
}

/// A cluster and its labels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cluster {
    /// Number of the cluster.
    pub cluster: i64,
    /// Samples in it.
    pub num_samples: u64,
    /// Its commonest label.
    pub label: i64,
    /// Name of that label.
    pub class: String,
    /// Share of its samples that have it.
    pub share: f64,
}

/// Counts of every pair of cluster and label.
#[derive(Clone, Debug, Default)]
pub struct Contingency {
    counts: BTreeMap<i64, BTreeMap<i64, u64>>,
}

impl Contingency {
    /// Counts pairs; samples without a label (-1) are left out.
    pub fn new(clusters: &[i64], labels: &[i64]) -> Self {
        let mut table = Self::default();
        for (&cluster, &label) in clusters.iter().zip(labels).filter(|(_, label)| **label >= 0) {
            *table.counts.entry(cluster).or_default().entry(label).or_default() += 1;
        }
        table
    }

    /// The figures; `None` where no sample has a label.
    pub fn agreement(&self) -> Option<Agreement> {
        let mut by_label: BTreeMap<i64, u64> = BTreeMap::new();
        let mut by_cluster = Vec::new();
        for labels in self.counts.values() {
            by_cluster.push(labels.values().sum::<u64>());
            for (&label, &count) in labels {
                *by_label.entry(label).or_default() += count;
            }
        }
        let num_samples: u64 = by_cluster.iter().sum();
        if num_samples == 0 {
            return None;
        }
        let total = num_samples as f64;
        let entropy = |counts: &mut dyn Iterator<Item = u64>| -> f64 {
            counts.map(|count| count as f64 / total).map(|share| -share * share.ln()).sum()
        };
        let entropies =
            [entropy(&mut by_cluster.iter().copied()), entropy(&mut by_label.values().copied())];
        let mut information = 0.0;
        let mut purity = 0;
        let (mut pairs, mut same_cluster, mut same_label) = (0.0, 0.0, 0.0);
        for (labels, &in_cluster) in self.counts.values().zip(&by_cluster) {
            purity += labels.values().max().copied().unwrap_or(0);
            same_cluster += choose_two(in_cluster);
            for (label, &count) in labels {
                let share = count as f64 / total;
                let expected = in_cluster as f64 / total * (by_label[label] as f64 / total);
                information += share * (share / expected).ln();
                pairs += choose_two(count);
            }
        }
        by_label.values().for_each(|&count| same_label += choose_two(count));
        let mean = (entropies[0] + entropies[1]) / 2.0;
        // Both partitions have one part: they are the same.
        let nmi = if mean == 0.0 { 1.0 } else { (information / mean).clamp(0.0, 1.0) };
        let expected = same_cluster * same_label / choose_two(num_samples).max(1.0);
        let largest = (same_cluster + same_label) / 2.0;
        let ari = if largest == expected { 1.0 } else { (pairs - expected) / (largest - expected) };
        Some(Agreement {
            num_samples,
            num_used: by_cluster.len(),
            nmi,
            ari,
            purity: purity as f64 / total,
        })
    }

    /// The `count` largest clusters.
    pub fn largest(&self, count: usize, classes: &[String]) -> Vec<Cluster> {
        let mut all: Vec<Cluster> = self
            .counts
            .iter()
            .filter_map(|(&cluster, labels)| {
                let num_samples: u64 = labels.values().sum();
                let (&label, &most) =
                    labels.iter().max_by_key(|(label, count)| (**count, -**label))?;
                let class = classes.get(label as usize).cloned();
                Some(Cluster {
                    cluster,
                    num_samples,
                    label,
                    class: class.unwrap_or_else(|| label.to_string()),
                    share: most as f64 / num_samples as f64,
                })
            })
            .collect();
        all.sort_by_key(|cluster| (std::cmp::Reverse(cluster.num_samples), cluster.cluster));
        all.truncate(count);
        all
    }
}

fn choose_two(count: u64) -> f64 {
    count as f64 * (count as f64 - 1.0) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        clusters: Vec<i64>,
        labels: Vec<i64>,
        nmi: f64,
        ari: f64,
        purity: f64,
    }

    #[test]
    fn figures_are_those_of_scikit_learn() {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/clusters.json");
        let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert!(cases.len() >= 6);
        for (number, case) in cases.iter().enumerate() {
            let found = Contingency::new(&case.clusters, &case.labels).agreement().unwrap();
            for (name, found, expected) in [
                ("nmi", found.nmi, case.nmi),
                ("ari", found.ari, case.ari),
                ("purity", found.purity, case.purity),
            ] {
                assert!(
                    (found - expected).abs() < 1e-10,
                    "{number} {name}: {found} for {expected}"
                );
            }
        }
    }

    #[test]
    fn samples_without_a_label_do_not_count() {
        assert_eq!(Contingency::new(&[0, 1], &[-1, -1]).agreement(), None);
        let table = Contingency::new(&[3, 3, 3, 1, 1], &[0, 0, 1, 2, -1]);
        let agreement = table.agreement().unwrap();
        assert_eq!((agreement.num_samples, agreement.num_used, agreement.purity), (4, 2, 0.75));
        let largest = table.largest(1, &["a".to_owned()]);
        assert_eq!((largest[0].cluster, largest[0].num_samples), (3, 3));
        assert_eq!((largest[0].class.as_str(), largest.len()), ("a", 1));
    }
}
