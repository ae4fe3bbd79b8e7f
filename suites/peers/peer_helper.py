"""Serves one attention implementation in Python to the benchmark, over stdin and stdout.

    python3 -u peer_helper.py MODULE.py [OPTION]

The benchmark writes one JSON object a line; each is answered with one JSON object on a line,
followed by `bytes` raw bytes where it says so. What the module prints goes to stderr.

Long because it is one file: a user's Python starts it from wherever this package lies.

A module of a user's (`--peer python:FILE`) has

    name = "my-attention"          # what reports call it
    computes = "dense"             # or "lighthouse"
    scorer = "norm"                # of a Lighthouse layer: norm, dilated or gla
    directions = ["forward", "forward-backward"]   # default: these two and "backward"
    shared_keys = False            # whether k and v may have fewer heads than q
    arrays = "torch"               # what inputs are: torch (CUDA), numpy or list
    versions = {"torch": "2.11.0"} # or a function that returns such a dict

    def prepare(shape):            # may raise Unsupported("why not")
        return layer

`shape` has `heads`, `kv_heads` (of k and v: query head h reads key head h // (heads // kv_heads)),
`context`, `head_dim`, `dtype` ("f16", "f32"), `direction`, `lighthouse` (a dict
of levels, pooling, k, scorer, dilation; None for dense attention) and
`tensor(name, layout="HNd")`: the seeded input "q", "k", "v" or "output_gradient" as a contiguous
array in the layout "HNd" or "NHd". The layer has

    forward()            # the output: causal attention at scale 1/sqrt(d)
    backward()           # (dQ, dK, dV) of the last forward(); not needed for forward alone
    layout = "HNd"       # of what both return; axes of length 1 in front do not count
    log_sum_exp()        # optional: natural log-sum-exp of the scaled logits, [H, rows]
    selection()          # Lighthouse: pyramid indices in gathered order, [H, S]
    scores(head)         # optional: (query, key) scores that selection ranked by, [N] each
    gathered()           # optional: attention of the gathered rows before the scatter, [H, S, d]

A module that trains whole models has prepare_training(run) instead: training_run.py says how.

For the direction "backward" forward() is called once and backward() many times. Times are taken
with CUDA events where arrays are torch's, else with the clock of the host.
"""

import array
import importlib.util
import json
import os
import signal
import sys
import time
import traceback

MASK = 0xFFFFFFFF
CHUNK = 1 << 24
INPUTS = ("q", "k", "v", "output_gradient")


class Unsupported(Exception):
    """The implementation cannot run here, or cannot compute such a layer."""


def pcg(x):
    """The PCG output permutation; of integers, numpy or torch int64 below 2^32."""
    s = (x * 747796405 + 2891336453) & MASK
    w = (((s >> ((s >> 28) + 4)) ^ s) * 277803737) & MASK
    return (w >> 22) ^ w


def centred(seed_hash, i):
    """32768 times the value of pcg-sum4 at counter i: a whole number."""
    a = pcg((2 * i + seed_hash) & MASK)
    c = pcg((2 * i + (seed_hash + 1)) & MASK)
    return (a & 65535) + (a >> 16) + (c & 65535) + (c >> 16) - 131070


class ListArrays:
    """Plain Python: nested lists [a][b][c]. For tiny shapes."""

    name = "list"
    device = "host"

    def seeded(self, seed, shape, layout, h):
        n, d = shape.context, shape.head_dim
        seed_hash = pcg(seed)
        round_ = _round_half if shape.dtype == "f16" else float

        def row(head, at):
            first = (at * h + head) * d
            return [round_(centred(seed_hash, first + c) / 32768) for c in range(d)]

        if layout == "NHd":
            return [[row(head, at) for head in range(h)] for at in range(n)]
        return [[row(head, at) for at in range(n)] for head in range(h)]

    def normal(self, data, layout):
        """[H][N][d] of a result."""
        while len(data) == 1 and _depth(data) > 3:
            data = data[0]
        if layout == "NHd":
            return [[data[n][h] for n in range(len(data))] for h in range(len(data[0]))]
        return data

    def shape(self, data):
        return len(data), len(data[0]), len(data[0][0])

    def rows(self, data, head, first, count):
        flat = [x for row in data[head][first:first + count] for x in row]
        return array.array("f", flat).tobytes()

    def inspect(self, data, dtype):
        lanes = [0, 0, 0, 0]
        bad = 0
        at = 0
        for head in data:
            flat = [float(x) for row in head for x in row]
            bad += sum(1 for x in flat if x - x != 0)
            if dtype == "f16":
                import struct
                raw = struct.pack("<%de" % len(flat), *flat)
            else:
                raw = array.array("f", flat).tobytes()
            words = array.array("I", raw)
            for i, word in enumerate(words):
                for lane, value in enumerate(_hash(word, at + i)):
                    lanes[lane] = (lanes[lane] + value) & MASK
            at += len(words)
        return lanes, bad

    def numbers(self, data):
        return array.array("f", [float(x) for x in data]).tobytes()

    def flat(self, data):
        """The bytes of all numbers, f32."""
        while data and isinstance(data[0], (list, tuple)):
            data = [x for row in data for x in row]
        return self.numbers(data)

    def integers(self, data):
        return array.array("i", [int(x) for row in data for x in row]).tobytes()

    def loaded(self, memory, kind, begin, shape):
        """Numbers of a file in memory, "f32" or "u32", as nested lists."""
        count = 1
        for size in shape:
            count *= size
        flat = array.array("f" if kind == "f32" else "I")
        flat.frombytes(memory[begin:begin + 4 * count])
        flat = flat.tolist()
        for size in reversed(shape[1:]):
            flat = [flat[at:at + size] for at in range(0, len(flat), size)]
        return flat

    def timed(self, work):
        start = time.perf_counter()
        work()
        return None, time.perf_counter() - start

    def peak_bytes(self):
        return None

    def reset_peak(self):
        pass

    def release(self):
        pass


class NumpyArrays(ListArrays):
    """numpy on the processor."""

    name = "numpy"

    def __init__(self):
        import numpy
        self.np = numpy

    def seeded(self, seed, shape, layout, h):
        np = self.np
        n, d = shape.context, shape.head_dim
        i = np.arange(n * h * d, dtype=np.int64)
        values = (centred(pcg(seed), i).astype(np.float32) / np.float32(32768))
        values = values.astype(np.float16 if shape.dtype == "f16" else np.float32).reshape(n, h, d)
        return values if layout == "NHd" else np.ascontiguousarray(values.transpose(1, 0, 2))

    def normal(self, data, layout):
        while data.ndim > 3 and data.shape[0] == 1:
            data = data[0]
        return data.transpose(1, 0, 2) if layout == "NHd" else data

    def shape(self, data):
        return tuple(data.shape)

    def rows(self, data, head, first, count):
        return self.np.ascontiguousarray(data[head, first:first + count], self.np.float32).tobytes()

    def inspect(self, data, dtype):
        np = self.np
        element = np.float16 if dtype == "f16" else np.float32
        lanes = [0, 0, 0, 0]
        bad = 0
        at = 0
        for head in data:
            flat = np.ascontiguousarray(head, element)
            bad += int((~np.isfinite(flat)).sum())
            words = flat.reshape(-1).view(np.uint32).astype(np.int64)
            index = np.arange(at, at + words.size, dtype=np.int64)
            for lane, value in enumerate(_hash(words, index)):
                lanes[lane] = (lanes[lane] + int(value.sum())) & MASK
            at += words.size
        return lanes, bad

    def loaded(self, memory, kind, begin, shape):
        np = self.np
        count = int(np.prod(shape, dtype=np.int64))
        flat = np.frombuffer(memory, np.float32 if kind == "f32" else np.uint32, count, begin)
        return flat.reshape(shape).copy()

    def numbers(self, data):
        return self.np.ascontiguousarray(data, self.np.float32).tobytes()

    flat = numbers

    def integers(self, data):
        return self.np.ascontiguousarray(data, self.np.int32).tobytes()


class TorchArrays(ListArrays):
    """torch on the CUDA device; `LIGHTHOUSE_TORCH_DEVICE=cpu` to try the same code without one."""

    name = "torch"

    def __init__(self):
        try:
            import torch
        except ImportError as error:
            raise Unsupported("python3 has no torch: %s" % error)
        self.torch = torch
        wanted = os.environ.get("LIGHTHOUSE_TORCH_DEVICE", "cuda")
        if wanted == "cuda" and not torch.cuda.is_available():
            raise Unsupported("torch %s sees no CUDA device" % torch.__version__)
        self.where = torch.device(wanted)
        self.cuda = wanted == "cuda"
        self.device = torch.cuda.get_device_name() if self.cuda else "host"

    def seeded(self, seed, shape, layout, h):
        torch = self.torch
        n, d = shape.context, shape.head_dim
        dtype = torch.float16 if shape.dtype == "f16" else torch.float32
        order = (n, h, d) if layout == "NHd" else (h, n, d)
        out = torch.empty(order, dtype=dtype, device=self.where)
        seed_hash = pcg(seed)
        step = max(1, CHUNK // (h * d))
        for first in range(0, n, step):
            end = min(n, first + step)
            i = torch.arange(first * h * d, end * h * d, dtype=torch.int64, device=self.where)
            # A whole number below 2^18 over a power of two: exact in float32.
            values = centred(seed_hash, i).to(torch.float32).mul_(1 / 32768).to(dtype)
            values = values.view(end - first, h, d)
            if layout == "NHd":
                out[first:end].copy_(values)
            else:
                out[:, first:end].copy_(values.transpose(0, 1))
        return out

    def normal(self, data, layout):
        data = data.detach()
        while data.dim() > 3 and data.shape[0] == 1:
            data = data[0]
        return data.transpose(0, 1) if layout == "NHd" else data

    def shape(self, data):
        return tuple(data.shape)

    def rows(self, data, head, first, count):
        return self.numbers(data[head, first:first + count])

    def inspect(self, data, dtype):
        torch = self.torch
        element = torch.float16 if dtype == "f16" else torch.float32
        lanes = [0, 0, 0, 0]
        bad = 0
        at = 0
        for head in data:
            rows = max(1, CHUNK // head.shape[1])
            for first in range(0, head.shape[0], rows):
                flat = head[first:first + rows].to(element).contiguous().view(-1)
                bad += int((~torch.isfinite(flat)).sum())
                words = flat.view(torch.int32).to(torch.int64) & MASK
                index = torch.arange(at, at + words.numel(), dtype=torch.int64, device=data.device)
                for lane, value in enumerate(_hash(words, index)):
                    lanes[lane] = (lanes[lane] + int(value.sum())) & MASK
                at += words.numel()
        return lanes, bad

    def loaded(self, memory, kind, begin, shape):
        torch = self.torch
        count = 1
        for size in shape:
            count *= size
        dtype = torch.float32 if kind == "f32" else torch.int32
        flat = torch.frombuffer(memory, dtype=dtype, count=count, offset=begin).view(*shape)
        # Tokens are below 2^31.
        return flat.to(self.where, torch.float32 if kind == "f32" else torch.int64, copy=True)

    def numbers(self, data):
        return self._bytes(self.torch.as_tensor(data).detach().to(self.torch.float32))

    flat = numbers

    def integers(self, data):
        return self._bytes(self.torch.as_tensor(data).detach().to(self.torch.int32))

    def _bytes(self, data):
        import ctypes
        host = data.contiguous().cpu()
        # torch may have been installed without numpy.
        return ctypes.string_at(host.data_ptr(), host.numel() * host.element_size())

    def timed(self, work):
        if not self.cuda:
            return super().timed(work)
        cuda = self.torch.cuda
        cuda.synchronize()
        begin, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
        start = time.perf_counter()
        begin.record()
        work()
        end.record()
        end.synchronize()
        wall = time.perf_counter() - start
        cuda.synchronize()
        return begin.elapsed_time(end) / 1e3, wall

    def peak_bytes(self):
        return self.torch.cuda.max_memory_allocated() if self.cuda else None

    def reset_peak(self):
        if self.cuda:
            self.torch.cuda.reset_peak_memory_stats()

    def release(self):
        if self.cuda:
            import gc
            gc.collect()
            self.torch.cuda.empty_cache()


def _hash(word, index):
    """The four lanes that one 32-bit word adds to a digest."""
    index = index & MASK
    a = pcg(word ^ pcg(index))
    b = pcg((word + ((pcg(index) * 2654435769) & MASK)) & MASK)
    return a, b, pcg((a + 0x9E3779B9) & MASK), pcg(b ^ 0x85EBCA6B)


def _round_half(x):
    import struct
    return struct.unpack("<e", struct.pack("<e", x))[0]


def _depth(data):
    depth = 0
    while isinstance(data, (list, tuple)):
        data = data[0]
        depth += 1
    return depth


ARRAYS = {"list": ListArrays, "numpy": NumpyArrays, "torch": TorchArrays}


class Shape:
    """The layer to compute, and its inputs."""

    def __init__(self, request, arrays):
        self.heads = request["heads"]
        self.kv_heads = request.get("kvHeads", self.heads)
        self.context = request["context"]
        self.head_dim = request["headDim"]
        self.dtype = request["dtype"]
        self.direction = request["direction"]
        self.lighthouse = request.get("lighthouse")
        self._seed = request["seed"]
        self._arrays = arrays
        self.inputs = {}

    def tensor(self, name, layout="HNd"):
        if name not in INPUTS or layout not in ("HNd", "NHd"):
            raise ValueError("tensor(%r, %r): names are %s, layouts HNd and NHd" %
                             (name, layout, ", ".join(INPUTS)))
        heads = self.kv_heads if name in ("k", "v") else self.heads
        data = self._arrays.seeded((self._seed + INPUTS.index(name)) & MASK, self, layout, heads)
        self.inputs[name] = self._arrays.normal(data, layout)
        return data


class Server:
    """The one layer that is prepared, and the operations on it."""

    def __init__(self, module):
        self.module = module
        name = getattr(module, "arrays", "torch")
        if name not in ARRAYS:
            raise BadModule("arrays = %r is not one of %s" % (name, ", ".join(ARRAYS)))
        self.arrays = ARRAYS[name]()
        self.layers = {}

    def hello(self, _):
        module = self.module
        versions = getattr(module, "versions", {})
        versions = versions() if callable(versions) else versions
        ready = getattr(module, "ready", None)
        if ready:
            ready()
        computes = getattr(module, "computes", "dense")
        every = [] if computes == "training" else ["forward", "backward", "forward-backward"]
        return {
            "name": str(module.name),
            "computes": computes,
            "scorer": getattr(module, "scorer", "norm"),
            "sharedKeys": bool(getattr(module, "shared_keys", False)),
            "trains": list(getattr(module, "trains", ["dense"])),
            "directions": list(getattr(module, "directions", every)),
            "versions": {str(k): str(v) for k, v in versions.items()},
            "device": self.arrays.device,
        }

    def prepare(self, request):
        shape = Shape(request, self.arrays)
        state = {"shape": shape, "dtype": shape.dtype, "direction": shape.direction}
        # Known before it is complete, so that release frees what a failure left.
        self.layers[request["layer"]] = state
        layer = state["layer"] = self.module.prepare(shape)
        state["layout"] = getattr(layer, "layout", "HNd")
        for name in INPUTS[:3 if shape.direction == "forward" else 4]:
            if name not in shape.inputs:
                raise ValueError("prepare did not take the input %s" % name)
        if shape.direction == "backward":
            state["output"] = layer.forward()
        # Plans, compilers and autotuners do their work here and not in the first sample.
        self._run(state)
        self.arrays.timed(lambda: None)
        return {
            "lse": hasattr(layer, "log_sum_exp"),
            "selection": hasattr(layer, "selection"),
            "scores": hasattr(layer, "scores"),
            "gathered": hasattr(layer, "gathered"),
        }

    def _run(self, state):
        layer, direction = state["layer"], state["direction"]
        # What the last execution left goes first: two outputs at once would be no one's memory use.
        if direction != "backward":
            state["output"] = None
        state["gradients"] = None
        if direction != "backward":
            state["output"] = layer.forward()
        if direction != "forward":
            state["gradients"] = layer.backward()

    def execute(self, request):
        state = self._state(request)
        state.pop("normal", None)
        # Making the seeded inputs takes more room than most layers.
        self.arrays.reset_peak()
        gpu, wall = self.arrays.timed(lambda: self._run(state))
        return {"gpuSeconds": gpu, "wallSeconds": wall, "peakBytes": self.arrays.peak_bytes()}

    def _state(self, request):
        return self.layers[request["layer"]]

    def _tensor(self, request):
        state, name = self._state(request), request["tensor"]
        if name in INPUTS:
            return state["shape"].inputs[name]
        found = state.setdefault("normal", {})
        if name not in found:
            layer, layout = state["layer"], state["layout"]
            if name == "output":
                data = state["output"]
            elif name in ("dq", "dk", "dv"):
                data = state["gradients"][("dq", "dk", "dv").index(name)]
            elif name == "gathered":
                data, layout = layer.gathered(), "HNd"
            elif name == "lse":
                data, layout = _add_axis(layer.log_sum_exp()), "HNd"
            else:
                raise ValueError("no tensor %s" % name)
            found[name] = self.arrays.normal(data, layout)
        return found[name]

    def rows(self, request):
        data = self._tensor(request)
        heads, rows, _ = self.arrays.shape(data)
        head, first, count = request["head"], request["first"], request["count"]
        if head >= heads or first + count > rows:
            raise ValueError("%s has shape %s: no rows %d to %d of head %d" % (
                request["tensor"], self.arrays.shape(data), first, first + count - 1, head))
        return {}, self.arrays.rows(data, head, first, count)

    def inspect(self, request):
        dtype = "f32" if request["tensor"] == "lse" else self._state(request)["dtype"]
        lanes, bad = self.arrays.inspect(self._tensor(request), dtype)
        return {"digest": "".join("%08x" % lane for lane in lanes), "notFinite": bad}

    def selection(self, request):
        return {}, self.arrays.integers(self._state(request)["layer"].selection())

    def scores(self, request):
        query, key = self._state(request)["layer"].scores(request["head"])
        return {}, self.arrays.numbers(query) + self.arrays.numbers(key)

    def train_prepare(self, request):
        # The folder of this file is where Python looks first.
        from training_run import Run, Training
        training = Training(self.module, Run(request, self.arrays), self.arrays)
        self.layers[request["layer"]] = training
        return training.describe()

    def train_step(self, request):
        return self._state(request).step()

    def train_gradients(self, request):
        return self._state(request).gradients(request["batch"])

    def train_tensor(self, request):
        data = self._state(request).tensor(request["parameter"], request["part"])
        return {}, self.arrays.flat(data)

    def release(self, request):
        self.layers.pop(request["layer"], None)
        self.arrays.release()
        return {}


def _add_axis(data):
    if isinstance(data, list):
        return [[[x] for x in head] for head in data]
    while data.ndim > 2 and data.shape[0] == 1:
        data = data[0]
    return data[..., None]


def load(path, option):
    spec = importlib.util.spec_from_file_location("lighthouse_peer", path)
    if spec is None or spec.loader is None:
        raise ValueError("%s is no Python file" % path)
    module = importlib.util.module_from_spec(spec)
    module.Unsupported = Unsupported
    sys.modules["lighthouse_peer"] = module
    spec.loader.exec_module(module)
    if option is not None:
        module.configure(option)
    trains = getattr(module, "computes", "dense") == "training"
    needed, given = ("prepare_training", "run") if trains else ("prepare", "shape")
    if not isinstance(getattr(module, "name", None), str) or not hasattr(module, needed):
        raise ValueError("%s has no name or no %s(%s)" % (path, needed, given))
    return module


class BadModule(Exception):
    """The module cannot be used anywhere: its own mistake."""


def load_module(path, option):
    try:
        return load(path, option)
    except (Unsupported, ImportError, OSError, MemoryError):
        raise  # what this machine does not have
    except Exception as error:
        if isinstance(error, SyntaxError):
            line, text = error.lineno, error.msg
        else:
            own = [one for one in traceback.extract_tb(error.__traceback__) if one.filename == path]
            line, text = own[-1].lineno if own else None, str(error).strip().split("\n")[0]
        where = "line %d: " % line if line else ""
        raise BadModule("%s%s: %s" % (where, type(error).__name__, text)) from error


def describe_error(error):
    kind = "failed"
    if isinstance(error, BadModule):
        kind = "module"
    elif isinstance(error, Unsupported):
        kind = "unsupported"
    elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        kind = "memory"
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = lines[0].strip() if lines else type(error).__name__
    return {"error": text if kind != "failed" else "%s: %s" % (type(error).__name__, text),
            "kind": kind}


def serve(requests, replies, path, option):
    server = None
    for line in requests:
        data = b""
        try:
            request = json.loads(line)
            if server is None:
                server = Server(load_module(path, option))
            reply = getattr(server, request["op"])(request)
            if isinstance(reply, tuple):
                reply, data = reply
                reply = dict(reply, bytes=len(data))
        except Exception as error:  # everything that a module may do wrong is an answer
            if not isinstance(error, (Unsupported, BadModule)):
                traceback.print_exc()
            reply = describe_error(error)
            error = None
        replies.write(json.dumps(reply).encode() + b"\n" + data)
        replies.flush()


def main():
    # Deno may not hand on LD_LIBRARY_PATH, and a dynamic linker reads it at the start only.
    libraries = os.environ.pop("LIGHTHOUSE_LIBRARY_PATH", None)
    if libraries and not os.environ.get("LD_LIBRARY_PATH"):
        os.environ["LD_LIBRARY_PATH"] = libraries
        os.execv(sys.executable, [sys.executable, "-u"] + sys.argv)
    # A terminal's Ctrl-C reaches this process too: the benchmark says when to end, a failed case it is not.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    option = sys.argv[2] if len(sys.argv) > 2 else None
    serve(sys.stdin, replies, sys.argv[1], option)


if __name__ == "__main__":
    main()
