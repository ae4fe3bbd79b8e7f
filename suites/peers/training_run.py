"""What peer_helper.py feeds a module that trains a whole model, and what it asks of it.

A module of a user's that trains (`--peer python:FILE`) has, besides name, arrays and versions,

    computes = "training"
    trains = ["dense"]             # layers it can train: dense, or scorers of Lighthouse: norm, dilated …

    def prepare_training(run):     # may raise Unsupported("why not")
        return model

`run` has

    model                # a dict of layers, width, heads, ffn, vocabulary, context, batch, accumulate,
                         # dtype ("f16": half precision with f32 masters; "f32"), attention (one dict for
                         # each layer), ropeTheta, ropeScaling, normEpsilon, optimizer
    parameters           # names of all parameters, as kernels/training/checkpoint/checkpoint.ts has them
    tensor(name)         # a tensor of the checkpoint, f32: a parameter, or its .first_moment, .second_moment
    state                # a dict: updates (made so far), and the other fields of STEP_STATE
    batch(i)             # tokens of step i: whole numbers [accumulate * batch, N + 1]

Weights are [outputs, inputs]; rows of ffn.gate_up are gates and values in turn. The model has

    step(batch)          # forward, backward, clip, update; returns the mean loss before the update
    gradients(batch)     # optional: (mean loss, {parameter: its gradient}), without an update
    weights(name)        # optional: a parameter as it is now
    notes                # optional: lines that readers should know
"""

import json
import mmap
import struct

FORMAT = "lighthouse-attention-training"

# Fields of step_state in their order: kernels/training/optimizer/step_state.ts.
STATE = (
    ("lossScale", "f"), ("cleanSteps", "I"), ("updates", "I"), ("attempts", "I"),
    ("skippedSteps", "I"), ("skip", "I"), ("learningRate", "f"), ("gradientFactor", "f"),
    ("firstPower", "f"), ("secondPower", "f"), ("lossSum", "f"), ("gradientNorm", "f"),
)

MOMENTS = (".first_moment", ".second_moment")


class Run:
    """A model to train: the weights and the tokens of the benchmark."""

    def __init__(self, request, arrays):
        self.model = request["model"]
        self._arrays = arrays
        self._checkpoint = _map(request["checkpoint"])
        self._header, self._begin = _header(self._checkpoint, request["checkpoint"])
        self.parameters = [
            name for name in self._header
            if name not in ("__metadata__", "step_state", "checksums") and not name.endswith(MOMENTS)
        ]
        begin, end = self._place("step_state")
        values = struct.unpack("<" + "".join(kind for _, kind in STATE), self._checkpoint[begin:end])
        self.state = {name: value for (name, _), value in zip(STATE, values)}
        self._tokens = _map(request["tokens"])
        self.batches = request["batches"]
        sequences = self.model["batch"] * self.model["accumulate"]
        self._shape = (sequences, self.model["context"] + 1)
        need = self.batches * sequences * (self.model["context"] + 1) * 4
        if len(self._tokens) != need:
            raise ValueError("the file of tokens has %d bytes, %d batches need %d" %
                             (len(self._tokens), self.batches, need))

    def _place(self, name):
        if name not in self._header:
            raise ValueError("the checkpoint has no tensor %s" % name)
        begin, end = self._header[name]["data_offsets"]
        return self._begin + begin, self._begin + end

    def tensor(self, name):
        begin, end = self._place(name)
        return self._arrays.loaded(self._checkpoint, "f32", begin, self._header[name]["shape"])

    def batch(self, i):
        size = self._shape[0] * self._shape[1] * 4
        return self._arrays.loaded(self._tokens, "u32", i % self.batches * size, self._shape)


class Training:
    """A model of the module, and the operations on it."""

    def __init__(self, module, run, arrays):
        self.run = run
        self.arrays = arrays
        self.steps = 0
        self.gradients_of = {}
        self.model = module.prepare_training(run)
        arrays.timed(lambda: None)
        arrays.reset_peak()

    def describe(self):
        return {
            "notes": [str(line) for line in getattr(self.model, "notes", [])],
            "gradients": hasattr(self.model, "gradients"),
            "weights": hasattr(self.model, "weights"),
        }

    def step(self):
        self.gradients_of = {}
        batch = self.run.batch(self.steps)
        loss = []
        gpu, wall = self.arrays.timed(lambda: loss.append(self.model.step(batch)))
        self.steps += 1
        return {"gpuSeconds": gpu, "wallSeconds": wall, "loss": _finite(float(loss[0])),
                "peakBytes": self.arrays.peak_bytes()}

    def gradients(self, batch):
        loss, self.gradients_of = self.model.gradients(self.run.batch(batch))
        return {"loss": _finite(float(loss))}

    def tensor(self, name, part):
        if name not in self.run.parameters:
            raise ValueError("there is no parameter %s" % name)
        return self.gradients_of[name] if part == "gradient" else self.model.weights(name)


def _finite(value):
    """JSON knows no infinity."""
    return value if value - value == 0 else None


def _map(path):
    with open(path, "rb") as file:
        # A private copy of what is written: torch wants memory that may be written.
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def _header(data, path):
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    found = header.get("__metadata__", {}).get("format")
    if found != FORMAT:
        raise ValueError("%s is of the format %s, not %s" % (path, found, FORMAT))
    return header, 8 + length
