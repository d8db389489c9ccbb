"""Layers below the adapter are frozen: what they make of a text is computed once, and later forwards begin from it."""

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

# The same kernels on the same shapes: nothing differs but what padding holds, which no token sees.
TOLERANCE = 1e-5
PROBE_BYTES = 1 << 24
PROBE = ((1, 2, 3, 4, 5, 6), (6, 3, 1), (2, 2, 5, 1))
# How an architecture says that it cannot do without its lower layers.
REFUSALS = (TypeError, ValueError, RuntimeError, IndexError, KeyError, AttributeError)


class StateFile:
    """Hidden states of texts, [length, width] each, in a file of at most `limit` bytes; what comes first stays.

    The file has no name: texts may be private, and the system takes it back when the process ends, however it ends. It
    lies in the system's temporary folder, which TMPDIR names. `is_full` holds from the first text for which there is no
    room, or no space on the disk.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.size, self.is_full = limit, 0, False
        self._file: IO[bytes] | None = None
        self._map: mmap.mmap | None = None
        self._places: dict[bytes, tuple[int, torch.Size, torch.dtype]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def get(self, key: bytes) -> Tensor | None:
        """The states of a text, or None: a view of the file, not to be written to."""
        if key not in self._places:
            return None
        start, shape, dtype = self._places[key]
        count = shape.numel()
        if self._map is None or len(self._map) < start + count * dtype.itemsize:
            self._map = mmap.mmap(present(self._file, "the file of states").fileno(), self.size)
        return torch.frombuffer(self._map, dtype=dtype, count=count, offset=start).view(shape)

    def add(self, key: bytes, states: Tensor) -> None:
        """Keep the states of a new text, unless the file is full."""
        if self.is_full or self.size + states.nbytes > self.limit:
            self.is_full = True
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (open as long as we are)
                weakref.finalize(self, self._file.close)
            self._file.seek(self.size)
            # Written rather than mapped: a full disk is then an error here, and not the end of the process.
            values: Any = states.contiguous().view(torch.uint8).numpy()
            left = memoryview(values).cast("B")
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            self.is_full = True
            return
        self._places[key] = (self.size, states.shape, states.dtype)
        self.size += states.nbytes


class _Bypass(nn.Module):
    """Takes the place of layers that are left out, so that the others keep their numbers; hands on what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: Tensor | None = None

    # Architectures hand different things to their layers; the states come first in all of them.
    def forward(self, states: Tensor, *others: Any, **named: Any) -> Tensor:
        self.seen = states
        return states


class LowerStates:
    """Runs `decoder` as it would run itself, but for its `depth` lowest layers: those run once a text.

    Texts that will be kept go through them `alone`, or with others. Alone, their states do not depend, to the last bit,
    on the company in which they come first: a resumed run has looked at other texts before, and must end as another.

    Raises:
        one of REFUSALS: the decoder does not run without some of its layers.
    """

    def __init__(self, decoder: Any, depth: int, limit: int, *, alone: bool) -> None:
        self.depth, self.file, self._alone = depth, StateFile(limit), alone
        self._decoder, self._whole, self._bypass = decoder, decoder.layers, _Bypass()
        layers, spare = list(decoder.layers), len(decoder.layers) - depth
        self._lower = nn.ModuleList([*layers[:depth], *[self._bypass] * spare])
        self._upper = nn.ModuleList([*[self._bypass] * depth, *layers[depth:]])
        self._asides = 0
        self._is_steady = self._same_in_training()

    @property
    def in_use(self) -> bool:
        """False inside `aside`, and in training where the lower layers drop out at random."""
        return not self._asides and (self._is_steady or not self._decoder.training)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Every layer runs in every forward, for as long as this lasts."""
        self._asides += 1
        try:
            yield
        finally:
            self._asides -= 1

    def run(self, batch: Batch, inputs: Mapping[str, Tensor]) -> Tensor:
        """Last hidden states of `batch`, for which the decoder takes `inputs`. Shape: [rows, length, width]."""
        keys = [array("q", ids).tobytes() for ids in batch.texts]
        held = {key: states for key in keys if (states := self.file.get(key)) is not None}
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
        """States of texts, [length, width] each, by way of the lower layers alone; the file gets them."""
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
        """What the lower layers write, a text a row, filled up on the right. Shape: [texts, longest, width]."""
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
        """The states of every text where its tokens are in the batch, zeros elsewhere. Shape: [rows, length, width]."""
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
        """Whether the lower layers compute in training what they compute otherwise."""
        device, was = next(self._decoder.parameters()).device, self._decoder.training
        found = []
        try:
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                for mode in (False, True):
                    self._decoder.train(mode)
                    found.append(self._below(PROBE[:1], device))
        finally:
            self._decoder.train(was)
        return torch.equal(*found)


def open_states(decoder: Any, depth: int, limit: int) -> LowerStates | None:
    """Keep states of the `depth` lowest layers; None where the decoder then computes something else, or nothing."""
    try:
        if not _difference(decoder, depth) <= TOLERANCE:
            return None
        # On a CPU a text by itself costs little more, once; on a GPU many small products would, and bits vary there.
        return LowerStates(decoder, depth, limit, alone=next(decoder.parameters()).device.type == "cpu")
    except REFUSALS:
        return None


@torch.no_grad()
def _difference(decoder: Any, depth: int) -> float:
    """Relative distance of last hidden states from the whole decoder's, for made-up texts: both times, if the same."""
    probe = LowerStates(decoder, depth, PROBE_BYTES, alone=False)
    texts = [Encoded("", ids, tuple((i, i + 1) for i in range(len(ids))), (True,) * len(ids)) for ids in PROBE]
    batch = collate(texts, "text").to(next(decoder.parameters()).device)
    inputs = {"input_ids": batch.ids, "attention_mask": batch.mask}
    whole = decoder(**inputs, use_cache=False).last_hidden_state[batch.row, batch.position].float()
    distances = [(probe.run(batch, inputs)[batch.row, batch.position].float() - whole).norm() for _ in range(2)]
    return float(max(distances) / whole.norm())
