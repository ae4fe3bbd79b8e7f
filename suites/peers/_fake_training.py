"""A peer for tests that trains nothing: its losses and gradients are sums of what it was given."""

import os

name = "fake-training"
computes = "training"
trains = ["dense", "norm"]
arrays = "list"
versions = {"fake": "1.2"}

_fault = os.path.basename(__file__)[:-3].partition("fault_")[2]


class Model:
    notes = ["it only adds"]

    def __init__(self, run):
        self.run = run
        self.tensors = {name: run.tensor(name) for name in run.parameters}
        self.steps = run.state["updates"]

    def step(self, batch):
        """The steps so far and the mean first weight of the targets' embeddings."""
        if _fault == "infinite":
            return float("inf")
        self.steps += 1
        targets = [token for row in batch for token in row[1:]]
        table = self.tensors["embedding"]
        return self.steps + sum(table[token][0] for token in targets) / len(targets)

    def gradients(self, batch):
        return 0.5 * batch[0][0], {
            name: [[2 * x for x in row] for row in tensor] if isinstance(tensor[0], list)
            else [2 * x for x in tensor]
            for name, tensor in self.tensors.items()
        }

    def weights(self, name):
        return self.tensors[name]


def prepare_training(run):
    if _fault == "refusal":
        raise Unsupported("%d layers are too many" % run.model["layers"])  # noqa: F821
    return Model(run)
