"""The Python side of bench_kmeans.py: makes features, clusters them by scikit-learn, judges centroids.

    make FILE DISTANCE COUNT          a safetensors file of `features` [COUNT, 128]
    cluster FILE GROUPS THREADS OUT   for each line on standard input, a seed: writes `centroids` to OUT
    judge FILE DISTANCE               for each line, a file of `centroids`: their inertia by that distance. For
                                      "spherical" centroids and features count by direction, as groups do
"""

import json
import sys
import time

import numpy as np
import threadpoolctl
from safetensors.numpy import load_file, save_file
from sklearn.cluster import KMeans

DIM = 128
COMPONENTS = 1000
# Standard deviation of a component's points, all dimensions together, beside centres of length 1.
SPREAD = 0.7
# What projections measured before they are normalised have for their length.
RAW_LENGTH = 11.0


def make(path, distance, count):
    random = np.random.default_rng(0)
    centers = random.standard_normal((COMPONENTS, DIM), dtype=np.float32)
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    # Some components are ten times as frequent as others, as classes of pictures are.
    odds = random.uniform(0.1, 1.0, COMPONENTS)
    chosen = centers[random.choice(COMPONENTS, int(count), p=odds / odds.sum())]
    points = chosen + random.standard_normal(chosen.shape, dtype=np.float32) * (SPREAD / DIM**0.5)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    if distance == "euclidean":
        points *= RAW_LENGTH * random.uniform(0.8, 1.2, (len(points), 1)).astype(np.float32)
    save_file({"features": points.astype(np.float32)}, path)


def cluster(path, groups, threads, out):
    features = load_file(path)["features"]
    with threadpoolctl.threadpool_limits(int(threads)):
        for line in sys.stdin:
            start = time.perf_counter()
            found = KMeans(int(groups), n_init=1, random_state=int(line)).fit(features)
            answer({"seconds": time.perf_counter() - start, "passes": found.n_iter_}, {"centroids": found.cluster_centers_}, out)


def judge(path, distance):
    spherical = distance == "spherical"
    features = load_file(path)["features"]
    squares = np.einsum("ij,ij->", features, features, dtype=np.float64)
    for line in sys.stdin:
        centroids = load_file(line.strip())["centroids"].astype(np.float32)
        if spherical:
            centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
        offsets = 0.5 * (centroids**2).sum(1)
        nearest = np.concatenate([(block @ centroids.T - offsets).argmax(1) for block in np.array_split(features, 64)])
        counts = np.bincount(nearest, minlength=len(centroids))
        sums = np.zeros(centroids.shape)
        np.add.at(sums, nearest, features)
        if spherical:
            # Sum over a cluster of |x - u|^2 = 2 members - 2 |sum of x|, u the direction of the sum.
            inertia = 2 * len(features) - 2 * np.linalg.norm(sums, axis=1).sum()
        else:
            # Sum over a cluster of |x - mean|^2 = sum of |x|^2 - |sum of x|^2 / members.
            inertia = squares - ((sums**2).sum(1) / np.maximum(counts, 1)).sum()
        answer({"inertia": inertia})


def answer(figures, tensors=None, out=None):
    if tensors:
        save_file(tensors, out)
    print(json.dumps(figures), flush=True)


{"make": make, "cluster": cluster, "judge": judge}[sys.argv[1]](*sys.argv[2:])
