"""The model of the training suite in plain PyTorch, with dense attention through cuDNN: a peer that trains.

Half precision is bf16: weights, gradients and moments in f32, products, attention and the residual
stream in bf16, sums of norms and the cross-entropy in f32, no loss scale and no recompute. Everything but
attention is compiled where torch can. An f32 model computes in f32 throughout, without TF32.
"""

import torch
import torch.nn.functional as functional
from torch.nn.attention import SDPBackend, sdpa_kernel

name = "torch-training"
computes = "training"
trains = ["dense"]

# Logits that exist at once: of all rows with a small vocabulary, of 4,096 with 128,256.
CHUNK_ELEMENTS = 1 << 29


def configure(option):
    pass


def versions():
    found = {"torch": torch.__version__}
    if torch.version.cuda:
        found["CUDA"] = torch.version.cuda
    if torch.backends.cudnn.is_available():
        number = torch.backends.cudnn.version()
        found["cuDNN"] = "%d.%d.%d" % (number // 10000, number % 10000 // 100, number % 100)
    return found


class Compiled:
    """A function that torch compiles; as it is where the compiler fails, with a note."""

    def __init__(self, function, notes, wanted):
        self.function = function
        self.notes = notes
        self.compiled = torch.compile(function, dynamic=False) if wanted else None
        self.ran = False

    def __call__(self, *tensors):
        if self.compiled is None:
            return self.function(*tensors)
        try:
            result = self.compiled(*tensors)
            self.ran = True
            return result
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            # Only a first call compiles.
            if self.ran:
                raise
            self.give_up(error)
            return self.function(*tensors)

    def give_up(self, error):
        lines = [line for line in str(error).splitlines() if line.strip()]
        self.notes.append("%s is not compiled: %s" % (
            self.function.__name__.strip("_"), lines[0] if lines else type(error).__name__))
        self.compiled = None


def rope_table(model, device):
    """Cosines and sines [N, d/2] of f32 angles, as kernels/training/rope/rope.ts makes them."""
    head_dim = model["width"] // model["heads"]
    pairs = torch.arange(head_dim // 2, dtype=torch.float64)
    frequencies = model["ropeTheta"] ** (-2 * pairs / head_dim)
    scaling = model["ropeScaling"]
    if scaling:
        low, high = scaling["lowFactor"], scaling["highFactor"]
        turns = scaling["originalLength"] * frequencies / (2 * torch.pi)
        smooth = ((turns - low) / (high - low)).clamp(0, 1)
        frequencies = (1 - smooth) * frequencies / scaling["factor"] + smooth * frequencies
    positions = torch.arange(model["context"], dtype=torch.float32)
    angles = torch.outer(positions, frequencies.float()).double()
    return angles.cos().float().to(device), angles.sin().float().to(device)


class Model:
    """Parameters by the names of the checkpoint; gates lie before values in ffn.gate_up."""

    def __init__(self, run):
        self.model = model = run.model
        if any(one["kind"] != "dense" for one in model["attention"]):
            raise Unsupported("it trains dense layers alone")  # noqa: F821
        self.notes = []
        self.stored = torch.float32 if model["dtype"] == "f32" else torch.bfloat16
        if self.stored == torch.float32:
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.allow_tf32 = False
        self.parameters = {
            one: _apart(one, run.tensor(one)).requires_grad_() for one in run.parameters
        }
        device = self.parameters["embedding"].device
        self.table = rope_table(model, device)
        self.updates = run.state["updates"]
        self.optimizer = self._optimizer(run, device)
        wanted = device.type == "cuda"
        self.before = Compiled(self._before, self.notes, wanted)
        self.after = Compiled(self._after, self.notes, wanted)
        self.head_loss = Compiled(self._head_loss, self.notes, wanted)
        self.backend = self._backend(device)

    def _optimizer(self, run, device):
        wanted = self.model["optimizer"]
        optimizer = torch.optim.AdamW(
            self.parameters.values(), lr=wanted["learningRate"], eps=wanted["epsilon"],
            betas=(wanted["firstDecay"], wanted["secondDecay"]),
            weight_decay=wanted["weightDecay"], fused=device.type == "cuda")
        if self.updates > 0:
            for one, parameter in self.parameters.items():
                optimizer.state[parameter] = {
                    "step": torch.tensor(float(self.updates), device=device),
                    "exp_avg": _apart(one, run.tensor(one + ".first_moment")),
                    "exp_avg_sq": _apart(one, run.tensor(one + ".second_moment")),
                }
        return optimizer

    def _backend(self, device):
        """The first backend that takes such layers; undefined on a processor, where torch chooses."""
        if device.type != "cuda":
            self.notes.append("attention on a processor, as torch chooses")
            return None
        model = self.model
        shape = (model["batch"], model["heads"], model["context"], model["width"] // model["heads"])
        tensors = [torch.zeros(shape, dtype=self.stored, device=device, requires_grad=True)
                   for _ in range(3)]
        order = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION,
                 SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
        for backend in order:
            try:
                with sdpa_kernel(backend):
                    out = functional.scaled_dot_product_attention(*tensors, is_causal=True)
                    out.sum().backward()
            except torch.OutOfMemoryError:
                raise
            except RuntimeError:
                continue
            if backend != order[0]:
                self.notes.append("attention through %s, cuDNN refuses such layers in %s" %
                                  (backend.name, str(self.stored).replace("torch.", "")))
            return backend
        raise Unsupported("no backend of attention takes such layers")  # noqa: F821

    def _norm(self, x, gain):
        x = x.float()
        inverse = torch.rsqrt(x.square().mean(-1, keepdim=True) + self.model["normEpsilon"])
        return (x * inverse * gain).to(self.stored)

    def _linear(self, x, weight):
        return functional.linear(x, weight.to(self.stored))

    def _before(self, x, gain, weight, cosines, sines):
        """Q, K and V [B, H, N, d], rotated, of the residual stream [B, N, width]."""
        batch, context, width = x.shape
        heads = self.model["heads"]
        product = self._linear(self._norm(x, gain), weight)
        parts = product.view(batch, context, 3, heads, width // heads).permute(2, 0, 3, 1, 4)

        def rotated(part):
            a, b = part.float().unflatten(-1, (-1, 2)).unbind(-1)
            turned = torch.stack((a * cosines - b * sines, b * cosines + a * sines), -1)
            return turned.flatten(-2).to(self.stored)

        return rotated(parts[0]), rotated(parts[1]), parts[2].contiguous()

    def _after(self, x, attended, output, gain, gate_up, down):
        """The residual stream after the layer."""
        x = x + self._linear(attended.transpose(1, 2).flatten(2), output)
        gate, value = self._linear(self._norm(x, gain), gate_up).float().chunk(2, -1)
        return x + self._linear((functional.silu(gate) * value).to(self.stored), down)

    def _head_loss(self, normed, weight, targets):
        """Sum of the losses of rows; logits are rounded to storage first."""
        logits = self._linear(normed, weight).float()
        return functional.cross_entropy(logits, targets, reduction="sum")

    def _attend(self, q, k, v):
        if self.backend is None:
            return functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        with sdpa_kernel(self.backend):
            return functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    def _accumulate(self, tokens):
        """Adds the gradients of some sequences [batch, N + 1]; returns the sum of their losses."""
        model, weights = self.model, self.parameters
        x = functional.embedding(tokens[:, :-1], weights["embedding"]).to(self.stored)
        for layer in range(model["layers"]):
            def of(rest):
                return weights["layers.%d.%s" % (layer, rest)]
            q, k, v = self.before(x, of("attention_norm"), of("attention.qkv"), *self.table)
            x = self.after(x, self._attend(q, k, v), of("attention.output"), of("ffn_norm"),
                           of("ffn.gate_up"), of("ffn.down"))
        normed = self._norm(x, weights["final_norm"]).flatten(0, 1)
        targets = tokens[:, 1:].flatten()
        everything = model["batch"] * model["accumulate"] * model["context"]
        rows = max(128, CHUNK_ELEMENTS // model["vocabulary"] // 128 * 128)
        total, gradients = 0, []
        # Logits of all rows at once may not fit.
        for first in range(0, normed.shape[0], rows):
            chunk = normed[first:first + rows].detach().requires_grad_()
            loss = self.head_loss(chunk, weights["head"], targets[first:first + rows])
            (loss / everything).backward()
            total = total + loss.detach()
            gradients.append(chunk.grad)
        normed.backward(torch.cat(gradients))
        return total / everything

    def _gradients(self, batch):
        self.optimizer.zero_grad(set_to_none=True)
        return sum(self._accumulate(part) for part in batch.split(self.model["batch"]))

    def step(self, batch):
        loss = self._gradients(batch)
        wanted = self.model["optimizer"]
        if wanted["mostNorm"] is not None:
            torch.nn.utils.clip_grad_norm_(self.parameters.values(), wanted["mostNorm"])
        self.updates += 1
        warmup = wanted["warmup"]
        share = min(1, self.updates / warmup) if warmup > 0 else 1
        for group in self.optimizer.param_groups:
            group["lr"] = wanted["learningRate"] * share
        self.optimizer.step()
        return loss

    def gradients(self, batch):
        loss = self._gradients(batch)
        found = {one: _joined(one, tensor.grad) for one, tensor in self.parameters.items()}
        self.optimizer.zero_grad(set_to_none=True)
        return loss, found

    def weights(self, one):
        return _joined(one, self.parameters[one])


def _apart(one, tensor):
    """Gates before values, where rows have them in turn."""
    return torch.cat((tensor[0::2], tensor[1::2])) if one.endswith("ffn.gate_up") else tensor


def _joined(one, tensor):
    """Gates and values in turn again."""
    tensor = tensor.detach()
    if not one.endswith("ffn.gate_up"):
        return tensor
    return torch.stack(tensor.chunk(2), 1).flatten(0, 1)


def prepare_training(run):
    model = Model(run)
    # Compilers and autotuners do their work here and not in the first step.
    try:
        model.gradients(run.batch(0))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        # The backward pass is compiled when it first runs.
        compiled = [one for one in (model.before, model.after, model.head_loss) if one.compiled]
        if not compiled:
            raise
        for one in compiled:
            one.give_up(error)
        model.gradients(run.batch(0))
    return model
