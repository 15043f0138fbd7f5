#!/usr/bin/env python3
"""Golden digests of the sample orders: ChaCha8, the windowed and the full shuffle, written anew.

Prints the values that pipeline/src/order/tests.rs holds. Needs the blake3 package; nothing else.
"""

import struct

import blake3

GROUP_ORDER, ROW_SHIFT = 2, 3
M32, M64 = (1 << 32) - 1, (1 << 64) - 1


def chacha8_words(key):
    """Endless 32-bit words of ChaCha with 8 rounds, 64-bit counter and zero nonce."""
    counter = 0
    words = struct.unpack("<8I", key)
    while True:
        start = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *words, counter & M32, counter >> 32, 0, 0]
        state = list(start)

        def quarter(a, b, c, d):
            for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                state[x] = (state[x] + state[y]) & M32
                mixed = state[z] ^ state[x]
                state[z] = ((mixed << turn) | (mixed >> (32 - turn))) & M32

        for _ in range(4):
            for i in range(4):
                quarter(i, 4 + i, 8 + i, 12 + i)
            for i in range(4):
                quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
        yield from ((now + before) & M32 for now, before in zip(state, start))
        counter += 1


def draw(seed, domain, *key):
    key = (list(key) + [0] * 5)[:5]
    return chacha8_words(struct.pack("<QI5I", seed, domain, *key))


def below(words, bound):
    threshold = (1 << 32) % bound
    while True:
        product = next(words) * bound
        if product & M32 >= threshold:
            return product >> 32


def shuffle(words, items):
    for last in range(len(items) - 1, 0, -1):
        other = below(words, last + 1)
        items[last], items[other] = items[other], items[last]
    return items


def windowed(rows, window, seed, epoch):
    permuted = shuffle(draw(seed, GROUP_ORDER, epoch), list(range(len(rows))))
    end = len(rows) << 32
    keyed = []
    for group, count in enumerate(rows):
        words = draw(seed, ROW_SHIFT, epoch, group)
        centre = (permuted.index(group) << 32) + (1 << 31)
        for _ in range(count):
            place = centre + (next(words) - (1 << 31)) * window
            if place < 0:
                place = -1 - place
            elif place >= end:
                place = 2 * end - 1 - place
            keyed.append((place, len(keyed)))
    return [sample for _, sample in sorted(keyed)]


def full(rows, seed, epoch):
    return shuffle(draw(seed, ROW_SHIFT, epoch, M32), list(range(sum(rows))))


def digest(samples):
    return blake3.blake3(struct.pack(f"<{len(samples)}I", *samples)).hexdigest()[:16]


ROWS = [5, 7, 1, 9, 4, 6, 8, 3, 2, 10, 5, 5]
print("window 4, seed 42, epoch 0:", digest(windowed(ROWS, 4, 42, 0)))
print("window 4, seed 42, epoch 1:", digest(windowed(ROWS, 4, 42, 1)))
print("full, seed 42, epoch 0:    ", digest(full(ROWS, 42, 0)))
print("full, seed max, epoch 9:   ", digest(full(ROWS, M64, 9)))
