"""Golden values for `smog_pipeline::draw`, from a ChaCha8 written here from RFC 8439's description.

Run: python3 make_draw_golden.py > draw.json
"""

import json
import struct

MASK32 = 0xFFFFFFFF
CONSTANTS = struct.unpack("<4I", b"expand 32-byte k")


def rotate(value, bits):
    return ((value << bits) | (value >> (32 - bits))) & MASK32


def quarter(state, a, b, c, d):
    for x, y, z, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        state[x] = (state[x] + state[y]) & MASK32
        state[z] = rotate(state[z] ^ state[x], bits)


def words(key, rounds=8):
    """Endless 32-bit words of ChaCha with a 64-bit block counter and a zero nonce."""
    counter = 0
    while True:
        start = [*CONSTANTS, *key, counter & MASK32, counter >> 32, 0, 0]
        state = list(start)
        for _ in range(rounds // 2):
            for column in range(4):
                quarter(state, column, 4 + column, 8 + column, 12 + column)
            for diagonal in range(4):
                quarter(
                    state,
                    diagonal,
                    4 + (diagonal + 1) % 4,
                    8 + (diagonal + 2) % 4,
                    12 + (diagonal + 3) % 4,
                )
        yield from ((x + y) & MASK32 for x, y in zip(state, start))
        counter += 1


class Draw:
    def __init__(self, seed, domain, key):
        self.words = words([seed & MASK32, seed >> 32, domain, *key])

    def bits32(self):
        return next(self.words)

    def bits64(self):
        low = self.bits32()
        return low | self.bits32() << 32

    def unit(self):
        return (self.bits64() >> 11) * 2.0**-53

    def below(self, bound):
        while True:
            product = self.bits32() * bound
            if product & MASK32 >= (2**32 - bound) % bound:
                return product >> 32


def case(seed, domain, key):
    fresh = lambda: Draw(seed, domain, key)
    bits, units, ints, order = fresh(), fresh(), fresh(), fresh()
    items = list(range(12))
    for last in range(11, 0, -1):
        other = order.below(last + 1)
        items[last], items[other] = items[other], items[last]
    return {
        "seed": seed,
        "domain": domain,
        "key": key,
        "bits32": [bits.bits32() for _ in range(40)],
        "unit": [units.unit() for _ in range(8)],
        "below_1000": [ints.below(1000) for _ in range(16)],
        "shuffle_12": items,
    }


print(
    json.dumps(
        [
            case(0, 4, [0, 0, 0, 0, 0]),
            case(42, 4, [3, 1_281_166, 5, 1, 0]),
            case(2**63 + 12345, 2, [7, 0, 0, 0, 0]),
        ],
        indent=1,
    )
)
