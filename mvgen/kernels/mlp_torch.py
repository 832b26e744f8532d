"""`mlp.train` on a device of PyTorch: all stays there, and CUDA devices replay one captured step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mvgen.kernels.mlp import LEAKY, LINEAR, SINE, SLOPE, Data, Form, offsets_of

_MOST = 1024  # steps between two looks at the losses
_WARM = 3  # steps before one is captured, as PyTorch asks for


class Training:
    """As `mlp.Training`."""

    def __init__(
        self, theta: NDArray[np.float32], moments: NDArray[np.float32], form: Form, data: Data, device: str
    ) -> None:
        def there(array: NDArray[np.generic]) -> Tensor:
            return torch.from_numpy(np.array(array)).to(device)

        self.layers = list(
            zip(offsets_of(form.sizes).tolist(), form.sizes.tolist(), form.sizes[1:].tolist(), form.kinds.tolist())
        )
        self.tanh, self.prefix, self.rounds = form.tanh, data.prefix, bool((form.steps > 0).any())
        self.theta, self.moments = there(theta), there(moments)
        self.free, self.steps = there(form.free), there(form.steps)
        self.rows, self.targets, self.weights = there(data.rows), there(data.targets), there(data.weights)
        self.own, self.others = there(np.arange(data.prefix)), there(np.arange(data.count))
        self.at, self.step = there(np.zeros(1, np.int64)), there(np.zeros((), np.float64))
        self.batches, self.rates = there(np.zeros((_MOST, 2), np.int64)), there(np.zeros(_MOST))
        self.losses = there(np.zeros(_MOST))
        self._once: Callable[[], None] = self._captured() if device != "cpu" else self._step

    def run(self, step: int, batches: NDArray[np.int64], rates: NDArray[np.float64]) -> NDArray[np.float64]:
        """As `mlp.Training.run`."""
        found = []
        self.step.fill_(step)
        for first in range(0, len(batches), _MOST):
            some = slice(first, first + _MOST)
            count = len(batches[some])
            self.batches[:count] = torch.from_numpy(batches[some])
            self.rates[:count] = torch.from_numpy(rates[some])
            self.at.zero_()
            for _ in range(count):
                self._once()
            found.append(self.losses[:count].cpu().numpy().copy())
        return np.concatenate(found) if found else np.zeros(0)

    def state(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """theta [P] and moments [2, P]."""
        return self.theta.cpu().numpy().copy(), self.moments.cpu().numpy().copy()

    def _captured(self) -> Callable[[], None]:
        """One step as a CUDA graph: launching its hundred small kernels one by one would take most of the time."""
        before = [tensor.clone() for tensor in (self.theta, self.moments, self.step)]
        with torch.cuda.device(self.theta.device):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(_WARM):
                    self._step()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._step()
        for tensor, value in zip((self.theta, self.moments, self.step), before):
            tensor.copy_(value)
        return graph.replay

    def _step(self) -> None:
        """All that changes from step to step is read from the device, so that a captured step can be replayed."""
        self.step += 1
        first, count = self.batches.index_select(0, self.at).unbind(1)
        places = torch.cat([self.own, (first + self.others).clamp(max=len(self.rows) - 1)])
        share = self.weights[places] * torch.cat([torch.ones_like(self.own), self.others < count])
        at = self._rounded().requires_grad_()
        error = (self._outputs(at, self.rows[places]) - self.targets[places]).abs()
        loss = (error * share).sum() / (self.prefix + count[0])
        (slope,) = torch.autograd.grad(loss, at)
        self._adam(slope * self.free)
        self.losses.index_copy_(0, self.at, loss.detach().double()[None])
        self.at += 1

    def _rounded(self) -> Tensor:
        theta = self.theta.detach().clone()
        if not self.rounds:
            return theta
        return torch.where(self.steps > 0, torch.round(theta / self.steps) * self.steps, theta)

    def _outputs(self, theta: Tensor, rows: Tensor) -> Tensor:
        x = rows
        for start, n_in, n_out, kind in self.layers:
            bias = start + n_in * n_out
            x = torch.addmm(theta[bias : bias + n_out], x, theta[start:bias].reshape(n_out, n_in).T)
            if kind == LEAKY:
                x = torch.nn.functional.leaky_relu(x, float(SLOPE))
            elif kind == SINE:
                x = torch.sin(x)
        return torch.tanh(x[:, 0]) if self.tanh else x[:, 0]

    def _adam(self, slope: Tensor) -> None:
        first, second = self.moments
        first.mul_(0.9).add_(slope, alpha=0.1)
        second.mul_(0.999).addcmul_(slope, slope, value=0.001)
        size = self.rates.index_select(0, self.at) / (1 - 0.9**self.step)
        root = (second / (1 - 0.999**self.step).float()).sqrt_().add_(1e-8)
        self.theta -= size.float() * first / root


def why_not(device: str) -> str | None:
    """Why networks cannot learn on a device, or None where they can; captures a step to find out."""
    sizes, kinds = np.array([1, 1]), np.array([LINEAR])
    form = Form(sizes, kinds, False, np.ones(2, np.float32), np.zeros(2, np.float32))
    data = Data(np.zeros((1, 1), np.float32), np.zeros(1, np.float32), np.ones(1, np.float32), 0, 1)
    try:
        training = Training(np.zeros(2, np.float32), np.zeros((2, 2), np.float32), form, data, device)
        training.run(0, np.array([[0, 1]]), np.zeros(1))
    except (RuntimeError, AssertionError) as error:  # the latter where PyTorch is built without CUDA
        return str(error).splitlines()[0]
    return None
