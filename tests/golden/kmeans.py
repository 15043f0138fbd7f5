"""Mean cosine to the own centroid that scikit-learn reaches on directions in blobs."""

import numpy as np
from sklearn.cluster import KMeans

from pattern import pattern, write


def points(name, num_blobs, per_blob, dim, spread):
    centers = pattern(f"{name} centers", (num_blobs, 1, dim))
    noise = pattern(f"{name} noise", (num_blobs, per_blob, dim))
    x = (centers + np.float32(spread) * noise).reshape(-1, dim).astype(np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def mean_cosine(x, labels, k):
    total = 0.0
    for group in range(k):
        total += np.linalg.norm(x[labels == group].sum(axis=0))
    return total / len(x)


cases = []
for name, num_blobs, per_blob, dim, spread, k in [
    ("apart", 12, 50, 8, 0.15, 12),
    ("overlapping", 10, 80, 6, 0.8, 20),
    ("many", 40, 30, 16, 0.5, 64),
]:
    x = points(name, num_blobs, per_blob, dim, spread)
    labels = KMeans(k, n_init=10, random_state=0).fit_predict(x)
    cases.append(
        {
            "name": name, "num_blobs": num_blobs, "per_blob": per_blob, "dim": dim, "spread": spread,
            "num_groups": k, "mean_cosine": mean_cosine(x, labels, k),
        }
    )  # fmt: skip
write("kmeans", cases)
