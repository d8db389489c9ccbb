"""A cache for the frozen layers below the adapter: their output for a text is computed once, and later forwards of the
text begin from it."""

from __future__ import annotations

import mmap
import tempfile
import weakref
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

import torch
from torch import Tensor, nn

from duolearn_cli.errors import present
from duolearn_cli.model.encoding import Batch, Encoded, collate
from duolearn_cli.model.host_to_device import send

# The relative difference that a probe with and without the cache may show. The same kernels run on the same shapes, and
# only the content of padding differs, which no token sees.
TOLERANCE = 1e-5
PROBE_BYTES = 1 << 24
PROBE = ((1, 2, 3, 4, 5, 6), (6, 3, 1), (2, 2, 5, 1))
# The errors that architectures raise if they do not run without their lower layers.
REFUSALS = (TypeError, ValueError, RuntimeError, IndexError, KeyError, AttributeError)


class StateFile:
    """Hidden states of texts, [length, width] each, in a temporary file of at most `limit` bytes.

    Texts are never replaced: the first ones stay. `is_full` is true from the first text that does not fit, or for which
    the disk has no space. The file lies in the system's temporary folder (TMPDIR).
    """

    # The file has no name. Texts may be private, and the system deletes a nameless file when the process ends, however
    # it ends.

    def __init__(self, limit: int) -> None:
        self.limit, self.size, self.is_full = limit, 0, False
        self._file: IO[bytes] | None = None
        self._map: mmap.mmap | None = None
        self._places: dict[bytes, tuple[int, torch.Size, torch.dtype]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: bytes) -> Tensor | None:
        """Return the states of a text, or None. They are a view of the file and must not be changed."""
        if key not in self._places:
            return None
        start, shape, dtype = self._places[key]
        count = shape.numel()
        # The file has grown since it was mapped: map it again. Views of the old map stay valid.
        if self._map is None or len(self._map) < start + count * dtype.itemsize:
            self._map = mmap.mmap(present(self._file, "the file of states").fileno(), self.size)
        return torch.frombuffer(self._map, dtype=dtype, count=count, offset=start).view(shape)

    def add(self, key: bytes, states: Tensor) -> None:
        """Store the states of a new text, unless the file is full."""
        if self.is_full or self.size + states.nbytes > self.limit:
            self.is_full = True
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (open as long as we are)
                weakref.finalize(self, self._file.close)
            self._file.seek(self.size)
            # Written rather than mapped: a full disk then raises an error here, but would kill the process later.
            values: Any = states.contiguous().view(torch.uint8).numpy()
            rest = memoryview(values).cast("B")
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self.is_full = True
            return
        self._places[key] = (self.size, states.shape, states.dtype)
        self.size += states.nbytes


class _Bypass(nn.Module):
    """Replaces layers that are left out, so that the others keep their numbers. It returns its input unchanged."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Tensor | None = None

    # Architectures call their layers with different arguments, but the states always come first.
    def forward(self, states: Tensor, *others: Any, **named: Any) -> Tensor:
        self.seen = states
        return states


class FrozenLayers:
    """Runs `decoder` with the same result as the decoder itself, but runs its `depth` lowest layers once for each text.

    Args:
        decoder: the model below the output layer; it has a list `layers`.
        depth: the number of lowest layers that carry no adapter.
        limit: the size of the cache file in bytes.
        alone: run each text through the lowest layers by itself. Otherwise all new texts of a batch run together.

    Raises:
        one of REFUSALS: the decoder does not run without some of its layers.
    """

    # `alone` makes resumed runs exact. A text's states then do not depend, not even in the last bit, on the texts that
    # share its batch when it is first computed, and a resumed run computes texts in another order.

    def __init__(self, decoder: Any, depth: int, limit: int, *, alone: bool) -> None:
        self.depth, self.file, self._alone = depth, StateFile(limit), alone
        self._decoder, self._whole, self._bypass = decoder, decoder.layers, _Bypass()
        layers, spare = list(decoder.layers), len(decoder.layers) - depth
        self._lower = nn.ModuleList([*layers[:depth], *[self._bypass] * spare])
        self._upper = nn.ModuleList([*[self._bypass] * depth, *layers[depth:]])
        self._disabled_depth = 0
        self._is_steady = self._same_in_training()

    @property
    def in_use(self) -> bool:
        """Whether forwards may use the cache: not inside `disabled`, nor in training if lower layers have dropout."""
        return not self._disabled_depth and (self._is_steady or not self._decoder.training)

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Run every layer in every forward while the context lasts. Contexts may be nested."""
        self._disabled_depth += 1
        try:
            yield
        finally:
            self._disabled_depth -= 1

    def run(self, batch: Batch, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the last hidden states of `batch`, [rows, length, width]; `inputs` are the decoder's arguments."""
        # The ids themselves are the key, not a hash of them: two texts can never share their states.
        keys = [array("q", ids).tobytes() for ids in batch.texts]
        held = {key: states for key in keys if (states := self.file.get(key)) is not None}
        # With a full file and no cached text nothing is saved, so the decoder runs as a whole.
        if self.file.is_full and not held:
            return self._decoder(**inputs, use_cache=False).last_hidden_state
        new = {key: ids for key, ids in zip(keys, batch.texts, strict=True) if key not in held}
        made = self._make(new, batch.ids.device)
        others = {name: value for name, value in inputs.items() if name != "input_ids"}
        with self._with(self._upper):
            states = self._laid_out(batch, keys, held, made)
            last = self._decoder(inputs_embeds=states, **others, use_cache=False).last_hidden_state
        self._bypass.seen = None
        return last

    def _make(self, texts: Mapping[bytes, Sequence[int]], device: torch.device) -> dict[bytes, Tensor]:
        """Compute the states of new texts, [length, width] each, with the lower layers, and store them in the file."""
        alone = self._alone and not self.file.is_full
        pairs, size, made = list(texts.items()), 1 if alone else max(1, len(texts)), {}
        for start in range(0, len(pairs), size):
            part = pairs[start : start + size]
            states = self._below([text for _, text in part], device)
            here = None if self.file.is_full else states.cpu()
            for row, (key, text) in enumerate(part):
                made[key] = states[row, : len(text)]
                if here is not None:
                    self.file.add(key, here[row, : len(text)])
        return made

    @torch.no_grad()
    def _below(self, texts: Sequence[Sequence[int]], device: torch.device) -> Tensor:
        """Return the output of the lower layers for texts in padded rows, [texts, longest, width]."""
        ids = torch.zeros(len(texts), max(map(len, texts)), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = torch.tensor(text)
            mask[row, : len(text)] = 1
        with self._with(self._lower):
            self._decoder(input_ids=send(ids, device), attention_mask=send(mask, device), use_cache=False)
        states, self._bypass.seen = self._bypass.seen, None
        return present(states, "what the lower layers write")

    def _laid_out(
        self, batch: Batch, keys: Sequence[bytes], held: Mapping[bytes, Tensor], made: Mapping[bytes, Tensor]
    ) -> Tensor:
        """Return the texts' states at the places of their tokens in the batch: [rows, length, width], else zero."""
        any_states = next(iter((*held.values(), *made.values())))
        states = any_states.new_zeros(batch.ids.numel(), any_states.shape[-1], device=batch.ids.device)
        places = batch.token.split([len(ids) for ids in batch.texts])
        for known in (held, made):
            pairs = [(place, known[key]) for place, key in zip(places, keys, strict=True) if key in known]
            if pairs:
                where, values = (torch.cat(side) for side in zip(*pairs, strict=True))
                states.index_copy_(0, where, send(values, states.device))
        return states.view(*batch.ids.shape, -1)

    @contextmanager
    def _with(self, layers: nn.ModuleList) -> Iterator[None]:
        self._decoder.layers = layers
        try:
            yield
        finally:
            self._decoder.layers = self._whole

    def _same_in_training(self) -> bool:
        """Return whether the lower layers compute the same in training and in evaluation mode (no dropout)."""
        device, was = next(self._decoder.parameters()).device, self._decoder.training
        states = []
        try:
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                for mode in (False, True):
                    self._decoder.train(mode)
                    states.append(self._below(PROBE[:1], device))
        finally:
            self._decoder.train(was)
        return torch.equal(*states)


def open_frozen_layers(decoder: Any, depth: int, limit: int) -> FrozenLayers | None:
    """Return a cache for the `depth` lowest layers, or None if the decoder fails or computes something else with it."""
    try:
        if not _difference(decoder, depth) <= TOLERANCE:
            return None
        # Texts run alone only on a CPU, where that costs little. On a GPU many small products cost much, and the last
        # bits vary there anyway.
        return FrozenLayers(decoder, depth, limit, alone=next(decoder.parameters()).device.type == "cpu")
    except REFUSALS:
        return None


@torch.no_grad()
def _difference(decoder: Any, depth: int) -> float:
    """Return the relative distance between last hidden states with the cache and without it, for made-up texts.

    The texts run twice, first into the cache and then from it; the larger distance counts.
    """
    probe = FrozenLayers(decoder, depth, PROBE_BYTES, alone=False)
    texts = [Encoded("", ids, tuple((i, i + 1) for i in range(len(ids))), (True,) * len(ids)) for ids in PROBE]
    batch = collate(texts, "text").to(next(decoder.parameters()).device)
    inputs = {"input_ids": batch.ids, "attention_mask": batch.mask}
    whole = decoder(**inputs, use_cache=False).last_hidden_state[batch.row, batch.position].float()
    distances = [(probe.run(batch, inputs)[batch.row, batch.position].float() - whole).norm() for _ in range(2)]
    return float(max(distances) / whole.norm())
