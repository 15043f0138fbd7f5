"""Classes by weighted neighbours, one query at a time."""

import numpy as np

from pattern import pattern, write

N, M, F, C = 120, 40, 10, 6

offsets = pattern("knn offset", (1, F)).astype(np.float64)
classes = pattern("knn classes", (C, F)).astype(np.float64)
labels = np.arange(N) % C
bank = classes[labels] * 0.5 + pattern("knn bank", (N, F)) + offsets
query_labels = np.arange(M) % C
queries = classes[query_labels] * 0.5 + pattern("knn queries", (M, F)) + offsets


def classify(k, temperature, centered):
    mean = bank.mean(axis=0) if centered else 0.0
    guesses = []
    for query in queries - mean:
        cosines = [(row @ query) / np.linalg.norm(row) / np.linalg.norm(query) for row in bank - mean]
        votes = np.zeros(C)
        for neighbour in np.argsort(cosines)[::-1][:k]:
            votes[labels[neighbour]] += np.exp(cosines[neighbour] / temperature)
        guesses.append(int(votes.argmax()))
    return guesses


cases = []
for k, temperature, centered in [(1, 0.07, False), (10, 0.07, False), (20, 0.1, True), (500, 1.0, True)]:
    guesses = classify(k, temperature, centered)
    top1 = float(np.mean(np.array(guesses) == query_labels))
    cases.append({"k": k, "temperature": temperature, "centered": centered, "classes": guesses, "top1": top1})
write("knn", cases)
