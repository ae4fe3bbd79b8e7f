"""PyTorch's scaled_dot_product_attention with one backend forced: a peer of dense attention."""

import re
import warnings

import torch
import torch.nn.functional as functional
from torch.nn.attention import SDPBackend, sdpa_kernel

BACKENDS = {
    "torch-cudnn": SDPBackend.CUDNN_ATTENTION,
    "torch-fa2": SDPBackend.FLASH_ATTENTION,
}

name = "torch"
computes = "dense"
shared_keys = True
_backend = None


def configure(option):
    global name, _backend
    name, _backend = option, BACKENDS[option]


def versions():
    found = {"torch": torch.__version__}
    if torch.version.cuda:
        found["CUDA"] = torch.version.cuda
    if name == "torch-cudnn" and torch.backends.cudnn.is_available():
        number = torch.backends.cudnn.version()
        # 8902 is 8.9.2; from 9 on 91900 is 9.19.0.
        step = 10000 if number >= 90000 else 1000
        found["cuDNN"] = "%d.%d.%d" % (number // step, number % step // 100, number % 100)
    return found


class Layer:
    """Inputs and outputs are [1, H, N, d], K and V [1, Hkv, N, d]."""

    def __init__(self, shape):
        self.direction = shape.direction
        self.gradients = shape.direction != "forward"
        self.q, self.k, self.v = (
            shape.tensor(one).unsqueeze(0).requires_grad_(self.gradients) for one in "qkv"
        )
        if self.gradients:
            self.output_gradient = shape.tensor("output_gradient").unsqueeze(0)
        # Older versions have no such argument, and layers with a key head a head need none.
        self.options = {"enable_gqa": True} if shape.kv_heads < shape.heads else {}
        self.output = None

    def forward(self):
        self.output = None
        with sdpa_kernel(_backend), torch.set_grad_enabled(self.gradients):
            self.output = functional.scaled_dot_product_attention(
                self.q, self.k, self.v, is_causal=True, **self.options)
        return self.output

    def backward(self):
        return torch.autograd.grad(
            self.output, (self.q, self.k, self.v), self.output_gradient,
            retain_graph=self.direction == "backward")

    def log_sum_exp(self):
        """Of FlashAttention-2's forward pass, whichever backend is timed: SDPA itself tells none."""
        with torch.no_grad():
            group = self.q.shape[1] // self.k.shape[1]
            k, v = (x.repeat_interleave(group, 1) if group > 1 else x for x in (self.k, self.v))
            if not self.q.is_cuda:
                logits = (self.q.float() @ k.float().transpose(-1, -2)) * self.q.shape[-1] ** -0.5
                rows = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
                return logits.masked_fill(~rows, float("-inf")).logsumexp(-1)[0]
            found = torch.ops.aten._scaled_dot_product_flash_attention(
                self.q, k, v, 0.0, True, False)
            return found[1][0, :, :self.q.shape[2]]


def prepare(shape):
    layer = Layer(shape)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            layer.forward()
        except RuntimeError as error:
            # The dispatcher's words when the forced backend cannot take such inputs; why not, it warns.
            if re.search(r"no (available|viable|valid) (kernel|backend)", str(error), re.I):
                why = [str(one.message).split(" (Triggered")[0].strip() for one in caught]
                # It also goes through the backends that were not asked for.
                why = [one for one in why if not re.search("because|runtime disabled", one)]
                text = "; ".join(dict.fromkeys(why)) or str(error)
                raise Unsupported("%s refuses this layer: %s" % (name, text.splitlines()[0]))  # noqa: F821
            raise
    return layer
