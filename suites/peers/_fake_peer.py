"""A peer for tests: dense causal attention in plain Python, with faults to order by its file's name."""

import math
import os
import sys

name = "fake"
arrays = "list"
shared_keys = True
versions = {"fake": "1.2"}

_fault = os.path.basename(__file__)[:-3].partition("fault_")[2]
if _fault == "import":
    raise Unsupported("nothing to run on")  # noqa: F821


class Layer:
    layout = "NHd"

    def __init__(self, shape):
        self.shape = shape
        self.q, self.k, self.v = (shape.tensor(one, "NHd") for one in "qkv")
        if shape.direction != "forward":
            self.output_gradient = shape.tensor("output_gradient", "NHd")

    def forward(self):
        print("a module may print")
        if _fault == "death":
            print("the last words", file=sys.stderr, flush=True)
            os._exit(3)
        n, heads, d = self.shape.context, self.shape.heads, self.shape.head_dim
        group = heads // self.shape.kv_heads
        self.weights = {}
        self.output = [[None] * heads for _ in range(n)]
        for h in range(heads):
            for i in range(n):
                logits = [dot(self.q[i][h], self.k[j][h // group]) / math.sqrt(d) for j in range(i + 1)]
                most = max(logits)
                weights = [math.exp(x - most) for x in logits]
                total = sum(weights)
                self.weights[h, i] = weights = [x / total for x in weights]
                self.output[i][h] = [
                    sum(w * self.v[j][h // group][c] for j, w in enumerate(weights)) for c in range(d)
                ]
        if _fault == "wrong":
            self.output[5][-1][0] += 1
        return self.output

    def backward(self):
        n, heads, d = self.shape.context, self.shape.heads, self.shape.head_dim
        keys = self.shape.kv_heads
        dq, dk, dv = ([[[0.0] * d for _ in range(count)] for _ in range(n)]
                      for count in (heads, keys, keys))
        for h in range(heads):
            key = h // (heads // keys)
            for i in range(n):
                g = self.output_gradient[i][h]
                delta = dot(g, self.output[i][h])
                for j, w in enumerate(self.weights[h, i]):
                    ds = w * (dot(g, self.v[j][key]) - delta) / math.sqrt(d)
                    for c in range(d):
                        dv[j][key][c] += w * g[c]
                        dq[i][h][c] += ds * self.k[j][key][c]
                        dk[j][key][c] += ds * self.q[i][h][c]
        return dq, dk, dv


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def prepare(shape):
    if _fault == "refusal":
        raise Unsupported("d = %d is not for it" % shape.head_dim)  # noqa: F821
    return Layer(shape)
