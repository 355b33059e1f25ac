"""Build a tiny vision encoder (a projector, mmproj) for a small text model: no training run, no download.

    python scripts/make_mmproj.py MODEL.gguf OUT.gguf

It lets the model see a large shape in the middle of a picture (circle, square, triangle), its colour (11 names), and a
digit that is cut out of it. Each picture becomes sixteen tokens, chosen from the model's own word embeddings:

    image colour: <red>, image shape: <circle or none>, image digit: <7 or none>.

It is a LLaVA style ("mlp") encoder with one transformer layer, whose weights are written down, not learnt:

 1. Patches    The picture is stretched to 48x48 pixels; each patch of 12x12 is averaged to 3x3 RGB cells.
 2. Positions  A large one-hot number tells the sixteen patches, and so the sixteen output tokens, apart.
 3. Attention  Head h of every token looks at patch h only and copies its cells: each token sees all 12x12.
 4. FFN        |cell - background| for each cell; the background is the mean of the four corner cells.
 5. Projector  Random GELU features, each gated to one position, then a linear map to the word embeddings that is fitted
               by ridge regression (in closed form) on drawn examples.

It takes half a minute. The model's vocabulary must be of the GPT-2 style (Qwen, Llama 3, SmolLM) and hold each of the
words as one token.
"""

import argparse
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

Array = np.ndarray[Any, np.dtype[Any]]

GRID, PATCH, CELL = 4, 12, 4  # 4x4 patches of 12 pixels, cells of 4 pixels
TOKENS, SIDE, PER = GRID * GRID, GRID * PATCH, (PATCH // CELL) ** 2
BLOCK = PER * 4  # channels of a head: 9 cells of RGB, and 9 contrasts
HEADS = TOKENS + 2  # the last two blocks: the token's own cells and its position
WIDTH, OWN = HEADS * BLOCK, TOKENS * BLOCK
POS = OWN + PER * 3
MARK, EDGE, GATE = 256.0, 8.0, 60.0  # of positions (large: layer norms stay linear), of contrasts, of hidden units
RGB = np.arange(TOKENS)[:, None, None] * BLOCK + np.arange(PER)[:, None] * 3 + np.arange(3)  # [patch, cell, rgb]
CONTRAST = (np.arange(TOKENS)[:, None] * BLOCK + PER * 3 + np.arange(PER)).ravel()  # [patch * cell]
CORNERS = RGB[[0, 3, 12, 15], [0, 2, 6, 8]]  # [cell, rgb]
INSIDE = RGB[[5, 6], [5, 3]]  # in every shape, above its digit

COLOURS = {
    "red": "red crimson firebrick darkred #a52828",
    "green": "lime green forestgreen darkgreen #00ff80 #80ff00",
    "blue": "blue navy royalblue dodgerblue",
    "yellow": "yellow gold #f0e64a #d8d010",
    "white": "white snow",
    "black": "black #181818 #0c0018",
    "orange": "orange darkorange #ff7518 #eb9628",
    "purple": "purple indigo blueviolet darkorchid #c846ff",
    "pink": "pink lightpink hotpink deeppink orchid",
    "brown": "saddlebrown sienna #46280f #8a5a2b #a06e37",
    "gray": "gray dimgray darkgray silver",
}
SHAPES = ["none", "circle", "square", "triangle"]
DIGITS = ["", *map(str, range(10))]
THINGS = [("none", ""), *((shape, digit) for shape in SHAPES[1:] for digit in DIGITS)]
TEMPLATE = "image| colour|:||,| image| shape|:||,| image| digit|:||.|\n".split("|")
FIXED = {position: text for position, text in enumerate(TEMPLATE) if text}
COLOUR_AT, SHAPE_AT, DIGIT_AT = 3, 8, 13  # the tokens that depend on the picture
WORDS = [*FIXED.values(), *(f" {name}" for name in [*COLOURS, *SHAPES]), *(digit or " none" for digit in DIGITS)]


def build(model: Path, out: Path, *, num_examples: int = 300, seed: int = 7) -> None:
    """Write the projector of `model` to `out`. Fewer examples of each thing make a faster, and worse, one."""
    edges = _edges()
    units = _Units(model, edges, np.random.default_rng(seed), num_examples)
    weights, bias, output = units.fitted()
    tensors = _encoder(edges) | {"mm.0.weight": weights, "mm.0.bias": bias, "mm.2.weight": output.T}
    _write(out, tensors | {"mm.2.bias": np.zeros(output.shape[1])})


def draw(shape: str, digit: str, rng: np.random.Generator) -> Array:
    """One example, 48x48 with values from -1 to 1, in two well-parted colours: the digit has that of the ground."""
    inks = rng.integers(0, 256, (2, 3))
    while np.ptp(inks, axis=0).max() < 90:
        inks = rng.integers(0, 256, (2, 3))
    ground, fill = map(tuple, inks.tolist())
    wide, high = SIDE * 4 * np.exp(rng.uniform(-0.1, 0.1, 2))  # stretched to a square below
    picture, r = Image.new("RGB", (int(wide), int(high)), ground), rng.uniform(0.4, 0.46) * min(wide, high)
    (x, y), pen = np.array([wide, high]) * rng.uniform(0.48, 0.52, 2), ImageDraw.Draw(picture)
    _draw_shape(pen, shape, (x, y), r, fill)
    font, stroke = ImageFont.load_default(size=rng.uniform(0.95, 1.15) * r), int(rng.integers(2, 6))
    pen.text((x, y + 0.27 * r), digit, ground, font=font, anchor="mm", stroke_width=stroke)
    values = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float64)
    return np.clip(values + rng.normal(0, rng.uniform(0, 12), values.shape), 0, 255) / 127.5 - 1


def _draw_shape(pen: ImageDraw.ImageDraw, shape: str, at: tuple[float, float], r: float, fill: tuple[int, ...]) -> None:
    x, y = at
    if shape == "circle":
        pen.ellipse((x - r, y - r, x + r, y + r), fill)
    elif shape == "square":
        pen.rectangle((x - r, y - r, x + r, y + r), fill)
    elif shape == "triangle":
        pen.polygon([(x, y - r), (x - r, y + r * 0.8), (x + r, y + r * 0.8)], fill)


def _edges() -> Array:
    """The cell minus the background: a row for each cell and channel."""
    edges = np.zeros((RGB.size, WIDTH))
    edges[np.arange(RGB.size), RGB.ravel()] = EDGE
    for channel in range(3):
        edges[channel::3, CORNERS[:, channel]] -= EDGE / len(CORNERS)
    return edges


def _gather(images: Array) -> Array:
    """What every token holds after the attention layer: the mean colours of all cells, [image, channel]."""
    k = PATCH // CELL
    cells = images.reshape(-1, GRID, k, CELL, GRID, k, CELL, 3).mean((3, 6)).transpose(0, 1, 3, 2, 4, 5)
    seen = np.zeros((len(cells), WIDTH))
    seen[:, RGB.ravel()] = cells.reshape(len(cells), -1)
    return seen


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(0.7978845608 * (x + 0.044715 * x**3)))


def _fit(features: Array, label: Array, penalty: float) -> Array:
    """Ridge regression from features to one-hot labels."""
    gram = features.T @ features + penalty * len(features) * np.eye(features.shape[1])
    return np.linalg.solve(gram, features.T @ np.eye(label.max() + 1)[label])


def _embeddings(model: Path) -> Array:
    """The text model's embeddings of `WORDS`, [word, n_embd]."""
    reader = gguf.GGUFReader(str(model))
    field = reader.fields["tokenizer.ggml.tokens"]
    vocabulary = {bytes(field.parts[part]).decode(): row for row, part in enumerate(field.data)}
    rows = [vocabulary[word.translate({32: "\u0120", 10: "\u010a"})] for word in WORDS]  # GPT-2's space and newline
    table = next(tensor for tensor in reader.tensors if tensor.name == "token_embd.weight")
    return gguf.quants.dequantize(table.data[rows], table.tensor_type)


class _Units:
    """The hidden units of the two-layer projector, in groups: each works at one position only."""

    def __init__(self, model: Path, edges: Array, rng: np.random.Generator, num_examples: int) -> None:
        self._edges = edges
        self._rng = rng
        self._num_examples = num_examples
        sizes = np.cumsum([len(FIXED), len(COLOURS), len(SHAPES)])
        self._fixed, self._colours, self._shapes, self._digits = np.split(_embeddings(model), sizes)
        self._groups: list[tuple[Array, Array, Array]] = []

    def fitted(self) -> tuple[Array, Array, Array]:
        """Input weights [unit, channel], bias [unit], output weights [unit, n_embd]."""
        for position, word in zip(FIXED, self._fixed, strict=True):
            self._add(position, np.zeros((1, WIDTH)), np.full(1, 4.0), word[None] / 4.0)
        self._fit_colours()
        self._fit_things()
        weights, bias, output = zip(*self._groups, strict=True)
        return np.concatenate(weights), np.concatenate(bias), np.concatenate(output)

    def _add(self, position: int, weights: Array, bias: Array, output: Array) -> None:
        """Anywhere else the units' input is far below zero, where GELU is 0."""
        weights[:, POS + position] = GATE / MARK
        self._groups.append((weights, bias - GATE, output))

    def _fit_colours(self) -> None:
        rng = self._rng
        label = np.repeat(np.arange(len(COLOURS)), self._num_examples * 5)
        weights, bias = rng.normal(0, 2.5, (400, 3)), rng.normal(0, 2, 400)
        hues = [np.array([ImageColor.getrgb(hue) for hue in names.split()]) for names in COLOURS.values()]
        mixed = np.array([rng.dirichlet(np.full(len(hues[n]), 0.5)) @ hues[n] for n in label])  # between hues of a name
        rgb = np.clip(mixed + rng.normal(0, 10, mixed.shape), 0, 255) / 127.5 - 1
        wide = np.zeros((len(bias), WIDTH))
        wide[:, INSIDE] = weights[:, None] / len(INSIDE)
        self._add(COLOUR_AT, wide, bias, _fit(_gelu(rgb @ weights.T + bias), label, 1e-5) @ self._colours)

    def _fit_things(self) -> None:
        rng = self._rng
        thing = np.repeat(np.arange(len(THINGS)), self._num_examples)
        seen = _gather(np.array([draw(*THINGS[n], rng) for n in thing])) @ self._edges.T
        contrast = (_gelu(seen) + _gelu(-seen)).reshape(len(seen), -1, 3).sum(2) / EDGE
        weights, bias = rng.normal(0, 0.16, (1200, contrast.shape[1])), rng.normal(0, 1, 1200)
        hidden, wide = _gelu(contrast @ weights.T + bias), np.zeros((len(bias), WIDTH))
        wide[:, CONTRAST] = weights
        digit = np.array([DIGITS.index(digit) for _, digit in THINGS])[thing]
        self._add(DIGIT_AT, wide.copy(), bias, _fit(hidden, digit, 1e-4) @ self._digits)
        shape, few = np.array([SHAPES.index(shape) for shape, _ in THINGS])[thing], slice(400)
        self._add(SHAPE_AT, wide[few], bias[few], _fit(hidden[:, few], shape, 1e-4) @ self._shapes)


def _encoder(edges: Array) -> dict[str, Array]:
    """The weights of the transformer layer, which only move cells about and take differences."""
    own, unit = np.arange(PER * 3), np.arange(len(edges))
    patch, position = np.zeros((WIDTH, 3, PATCH, PATCH)), np.zeros((TOKENS, WIDTH))
    for i in own:
        (y, x), channel = np.multiply(divmod(i // 3, PATCH // CELL), CELL), i % 3
        patch[OWN + i, channel, y : y + CELL, x : x + CELL] = 1 / CELL**2
    position[np.arange(TOKENS), POS + np.arange(TOKENS)] = MARK
    query, (key, value, output) = np.zeros(WIDTH), np.zeros((3, WIDTH, WIDTH))
    for head in range(TOKENS):
        query[head * BLOCK] = 2.0  # scores 2 * MARK / sqrt(BLOCK) = 85 for patch `head`, and 0 for others
        key[head * BLOCK, POS + head] = 1.0
        value[head * BLOCK + own, OWN + own] = 1.0
        output[head * BLOCK + own, head * BLOCK + own] = 1.0
    down = np.zeros((WIDTH, 2 * len(edges)))
    down[CONTRAST[unit // 3], unit] = down[CONTRAST[unit // 3], unit + len(edges)] = 1 / EDGE
    layer = {"attn_q": np.zeros_like(key), "attn_k": key, "attn_v": value, "attn_out": output}
    layer |= {"ffn_up": np.concatenate([edges, -edges]), "ffn_down": down}
    tensors = {f"v.blk.0.{name}.weight": weight for name, weight in layer.items()}
    for norm in ("ln1", "ln2"):  # undo the layer norms' shift and scale
        tensors[f"v.blk.0.{norm}.weight"] = np.full(WIDTH, MARK * np.sqrt(1 / WIDTH - 1 / WIDTH**2))
        tensors[f"v.blk.0.{norm}.bias"] = np.full(WIDTH, MARK / WIDTH)
    return tensors | {"v.blk.0.attn_q.bias": query, "v.patch_embd.weight": patch, "v.position_embd.weight": position}


def _write(out: Path, tensors: dict[str, Array]) -> None:
    writer = gguf.GGUFWriter(str(out), "clip")
    writer.add_name("Tiny colour, shape and digit encoder")
    _describe(writer, tensors["mm.2.bias"].shape[0])
    for name, data in tensors.items():
        half = name.endswith("weight") and data.ndim == 2 and "position" not in name
        writer.add_tensor(name, np.ascontiguousarray(data, np.float16 if half else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: gguf.GGUFWriter, width: int) -> None:
    """`width` is that of the text model's embeddings."""
    writer.add_string("clip.projector_type", "mlp")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_bool("clip.use_gelu", True)
    sizes = {"image_size": SIDE, "patch_size": PATCH, "embedding_length": WIDTH, "block_count": 1}
    sizes |= {"projection_dim": width, "feed_forward_length": 2 * RGB.size, "attention.head_count": HEADS}
    for key, number in sizes.items():
        writer.add_uint32(f"clip.vision.{key}", number)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    writer.add_array("clip.vision.image_mean", [0.5] * 3)
    writer.add_array("clip.vision.image_std", [0.5] * 3)
    writer.add_array(
        "clip.vision.feature_layer", [1]
    )  # llama.cpp's LLaVA graph else skips the last layer, our only one
    writer.add_array("clip.vision.image_grid_pinpoints", [0, 0])  # stretch to a square: no padding, no tiles


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="the text model, a GGUF file")
    parser.add_argument("out", type=Path, help="the projector to write")
    build(**vars(parser.parse_args()))
