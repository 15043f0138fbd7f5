"""What libjpeg-turbo, by way of PIL, reads from the valid files of odd-jpegs.tar.xz.

Run: python3 make_odd_jpegs.py ../../../../shared/data/odd-jpegs.tar.xz     (Pillow 12.0.0, libjpeg-turbo 3.1.2)

Writes odd_jpegs.json: for each valid file its size and the pixels at POINTS places, as hexadecimal RGB, or why it
is refused. The files themselves are not ours to commit.
"""

import io
import json
import pathlib
import sys
import tarfile

from PIL import Image

POINTS = 64
# Kinds that this project refuses, with the word that it has to say.
REFUSED = {
    "jpeg_lossless_sel1-8bit.jpg": "lossless JPEG",
    **{f"jpeg_lossless_sel{selection}.jpg": "lossless JPEG" for selection in range(1, 8)},
    "lossless16bit.jpg": "lossless JPEG",
    "MR4.jpg": "lossless JPEG",
    "XA1.jpg": "lossless JPEG",
}
# Of these, libjpeg-turbo makes pixels up and says so, which PIL passes over; they are refused as damaged unless filling
# in is asked for. mjpeg.jpg has bytes without meaning in every restart interval.
DAMAGED = {
    "mjpeg.jpg": "bad Huffman code",
    "partial_progressive.jpg": "premature end of data segment",
    "progressive-missing-dc.jpg": "Inconsistent progression sequence",
}


def points(image):
    """Pixels at places that are spread over the image by a multiplicative hash."""
    width, height = image.size
    pixels = image.load()
    places = [((number * 2654435761) % 2**32) * width * height >> 32 for number in range(POINTS)]
    return "".join("%02x%02x%02x" % pixels[place % width, place // width] for place in places)


def main():
    table = []
    with tarfile.open(sys.argv[1]) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            path = pathlib.PurePosixPath(member.name)
            if not member.isfile() or path.parent.name != "valid":
                continue
            entry = {"file": path.name}
            if path.name in REFUSED:
                entry["refused"] = REFUSED[path.name]
            else:
                with Image.open(io.BytesIO(archive.extractfile(member).read())) as image:
                    image = image.convert("RGB")
                entry |= {"width": image.width, "height": image.height, "points": points(image)}
                if path.name in DAMAGED:
                    entry["damaged"] = DAMAGED[path.name]
            table.append(entry)
    out = pathlib.Path(__file__).with_name("odd_jpegs.json")
    out.write_text("[\n" + ",\n".join(" " + json.dumps(entry) for entry in table) + "\n]\n")


if __name__ == "__main__":
    main()
