"""Agreement of clusterings with labels, by scikit-learn; purity from its contingency table."""

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from pattern import write

rng = np.random.default_rng(7)
cases = []
for samples, clusters, classes, noise in [
    (200, 30, 5, 0.3), (200, 30, 5, 1.0), (120, 5, 5, 0.0), (60, 60, 4, 0.5), (50, 1, 3, 0.0), (40, 7, 1, 0.2),
    (30, 1, 1, 0.0),
]:
    labels = rng.integers(0, classes, samples)
    found = labels * max(clusters // classes, 1) % clusters + rng.integers(0, max(clusters // classes, 1), samples)
    found = np.where(rng.random(samples) < noise, rng.integers(0, clusters, samples), found % clusters)
    table = contingency_matrix(labels, found)
    cases.append({
        "clusters": found.tolist(), "labels": labels.tolist(),
        "nmi": float(normalized_mutual_info_score(labels, found)),
        "ari": float(adjusted_rand_score(labels, found)),
        "purity": float(table.max(axis=0).sum() / samples),
    })
write("clusters", cases)
