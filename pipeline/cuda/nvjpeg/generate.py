#!/usr/bin/env python3
"""Writes trampolines.c: one function for each that nvjpeg-sys declares, with the prototype it declares.

    python3 pipeline/cuda/nvjpeg/generate.py [--check] [BINDINGS]

BINDINGS is `src/bindings.rs` of the nvjpeg-sys that Cargo.lock names; without it cargo's copy is taken. `--check`
writes nothing and fails where the file in the repository is not what would be written.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUTPUT = HERE / "trampolines.c"
PRIMITIVES = {
    "::std::os::raw::c_int": "int",
    "::std::os::raw::c_uint": "unsigned int",
    "::std::os::raw::c_uchar": "unsigned char",
    "::std::os::raw::c_ushort": "unsigned short",
    "::std::os::raw::c_void": "void",
    "usize": "size_t",
}


class Types:
    """Turns Rust types of the bindings into C, and keeps which names they need."""

    def __init__(self, text: str):
        self.aliases = dict(re.findall(r"pub type (\w+) = ([^;]+);", text))
        # bindgen exports an enum under two names.
        for name, new in re.findall(r"pub use self::(\w+) as (\w+);", text):
            self.aliases[new] = name
        self.structs = set(re.findall(r"pub struct (\w+)", text))
        self.declared: dict[str, str] = {}

    def c(self, rust: str) -> str:
        rust = rust.strip()
        if rust in PRIMITIVES:
            return PRIMITIVES[rust]
        pointer = re.fullmatch(r"\*(mut|const) (.+)", rust, re.S)
        if pointer:
            target = self.c(pointer[2])
            const = " const" if pointer[1] == "const" else ""
            return f"{target}{const} *"
        if rust in self.aliases:
            if rust not in self.declared:
                target = self.c(self.aliases[rust])
                self.declared[rust] = f"typedef {target} {rust};".replace("* ", "*")
            return rust
        if rust in self.structs:
            self.declared.setdefault(rust, f"typedef struct {rust} {rust};")
            return rust
        raise SystemExit(f"generate.py: no C type for {rust!r}")


def functions(text: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Name and parameters of each function; all of them give a status."""
    found = []
    for name, parameters, result in re.findall(r"pub fn (nvjpeg\w+)\(([^)]*)\) -> (\w+);", text):
        if result != "nvjpegStatus_t":
            raise SystemExit(f"generate.py: {name} gives {result}, expected nvjpegStatus_t")
        pairs = [part.split(":", 1) for part in re.split(r",\s*", parameters.strip()) if part]
        found.append((name, [(key.strip(), kind.strip()) for key, kind in pairs]))
    declared = len(re.findall(r"pub fn nvjpeg", text))
    if len(found) != declared:
        raise SystemExit(f"generate.py: {declared} functions are declared and {len(found)} were understood")
    return found


def declaration(kind: str, name: str) -> str:
    return f"{kind}{name}" if kind.endswith("*") else f"{kind} {name}"


def write(text: str) -> str:
    types = Types(text)
    types.c("nvjpegStatus_t")
    names, bodies = [], []
    for index, (name, parameters) in enumerate(functions(text)):
        kinds = [types.c(kind) for _, kind in parameters]
        full = ", ".join(declaration(kind, key) for kind, (key, _) in zip(kinds, parameters))
        arguments = ", ".join(key for key, _ in parameters)
        names.append(f'    "{name}",')
        bodies.append(
            f"nvjpegStatus_t {name}({full}) {{\n"
            f"    nvjpegStatus_t (*real)({', '.join(kinds)}) = smog_nvjpeg_function({index});\n"
            f"    return real ? real({arguments}) : smog_nvjpeg_missing();\n"
            "}\n"
        )
    head = (
        "/* Written by generate.py from the declarations of nvjpeg-sys; not to be edited. See loader.c. */\n\n"
        '#include <stddef.h>\n\n#include "loader.h"\n\n'
    )
    table = f"const char *const smog_nvjpeg_names[] = {{\n{chr(10).join(names)}\n}};\n"
    count = f"const unsigned smog_nvjpeg_num_names = {len(names)};\n"
    check = f'_Static_assert({len(names)} <= SMOG_NVJPEG_MAX, "raise SMOG_NVJPEG_MAX in loader.h");\n'
    return "\n".join([head + "\n".join(types.declared.values()) + "\n", table, count + check, *bodies])


def bindings() -> Path:
    """Where cargo keeps the crate."""
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--manifest-path", str(HERE.parent / "Cargo.toml")]
    packages = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["packages"]
    manifest = next(package["manifest_path"] for package in packages if package["name"] == "nvjpeg-sys")
    return Path(manifest).parent / "src/bindings.rs"


def main(arguments: list[str]) -> int:
    check = "--check" in arguments
    paths = [Path(argument) for argument in arguments if argument != "--check"]
    wanted = write((paths[0] if paths else bindings()).read_text())
    if check:
        if OUTPUT.read_text() != wanted:
            print(f"{OUTPUT} is not what generate.py writes; call it", file=sys.stderr)
            return 1
        return 0
    OUTPUT.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
