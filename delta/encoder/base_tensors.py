"""The base's tensors, found by name, by likeness and by content."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod

from delta.arrays import ITEM_TYPES, Items, Octets
from delta.encoder.matching.arrangement import Places, Run, in_items, layout_of, runs_of, with_bounds
from delta.encoder.matching.content import Contents, word_bytes
from delta.encoder.matching.likeness import MIN_ITEMS, UNLIKE, Likeness, Likenesses
from delta.encoder.tensors import TensorRef
from delta.layouts import Layout


@dataclass(frozen=True, slots=True)
class Counterpart:
    """A tensor of the base that one of the new file may come from, in another layout there if it names one."""

    tensor: TensorRef
    layout: Layout | None = None


class BaseTensors:
    """Looks up what a tensor of the new file may be predicted from."""

    def __init__(self, file: Octets, tensors: Sequence[TensorRef], new: Octets) -> None:
        self._file = file
        self._new = new
        self._tensors = tensors
        self._by_name: dict[str, list[TensorRef]] = defaultdict(list)
        self._by_size: dict[int, list[TensorRef]] = defaultdict(list)
        self._by_form: dict[tuple[int, int], list[TensorRef]] = defaultdict(list)
        self._digests: dict[int, dict[bytes, TensorRef]] = {}
        self._likenesses = Likenesses(self.values)
        self._contents: dict[int, Contents] = {}
        self._last_places: tuple[TensorRef, Places | None] | None = None
        self._recognised: set[TensorRef] = set()
        self._counterparts: dict[tuple[TensorRef, int], list[Counterpart]] = {}
        for tensor in tensors:
            self._by_name[tensor.name].append(tensor)
            self._by_size[tensor.size].append(tensor)
            self._by_form[tensor.data_type, tensor.items].append(tensor)

    def named(self, name: str) -> list[TensorRef]:
        """All tensors of that name; subgraphs may repeat one."""
        return self._by_name.get(name, [])

    def counterparts(self, tensor: TensorRef, data_type: int | None = None) -> list[Counterpart]:
        """Those of a data type (its own by default) that it may come from, the likeliest first; `values` has as many items.

        Of the same name, unless sampled values have nothing in common; else the one most alike, in whatever layout; else
        one of the same name with other extents; else what single values tell.
        """
        key = (tensor, tensor.data_type if data_type is None else data_type)
        if key not in self._counterparts:
            found = self._alike(*key)
            counterparts = [Counterpart(likeness.old, likeness.layout) for likeness in found]
            if any(likeness.convincing for likeness in found):
                self._recognised.add(tensor)
            elif key[1] == tensor.data_type:
                counterparts = [*self._by_content(tensor), *counterparts]
            self._counterparts[key] = counterparts
        return self._counterparts[key]

    def identical(self, content: Octets) -> TensorRef | None:
        """One with exactly these bytes, whatever its name."""
        if content.size not in self._by_size:
            return None
        if content.size not in self._digests:
            same_size = reversed(self._by_size[content.size])
            self._digests[content.size] = {_digest(self._octets(tensor)): tensor for tensor in same_size}
        return self._digests[content.size].get(_digest(content))

    def recognises(self, tensor: TensorRef) -> bool:
        """Whether some counterpart is so like it that nothing else can be meant."""
        self.counterparts(tensor)
        return tensor in self._recognised

    def runs(self, tensor: TensorRef, min_bytes: int) -> list[Run]:
        """A tensor in runs that stand together in the base, and the stretches that do not."""
        places = self._places(tensor)
        if places is None:
            return [Run(0, tensor.size, None)]
        word = word_bytes(tensor)
        return list(runs_of(self._contents[word].extended(places, self._content(tensor)), word, min_bytes))

    def values(self, old: TensorRef | Counterpart) -> Items:
        """Items as the type they are coded as, in the order of the counterpart's layout."""
        if isinstance(old, TensorRef):
            return self._octets(old).view(ITEM_TYPES[old.item])
        kind = ITEM_TYPES[old.tensor.item]
        if old.layout is None:
            return self._octets(old.tensor).view(kind)
        return old.layout.gather(self._read, old.tensor.offset, kind.itemsize, 0, old.layout.items).view(kind)

    def _alike(self, tensor: TensorRef, data_type: int) -> list[Likeness]:
        same_form = self._by_form.get((data_type, tensor.items), [])
        named = [old for old in self.named(tensor.name) if old in same_form]
        if tensor.items < MIN_ITEMS:
            return [Likeness(old, None, None) for old in named]
        items = self._items(tensor)
        found = [self._likenesses.best(tensor, items, [old]) for old in named]
        if not any(likeness.convincing for likeness in found) and same_form:
            other = self._likenesses.best(tensor, items, same_form)
            if not other.convincing:
                other = self._likenesses.best_in_blocks(tensor, items, named or same_form) or other
            found = [other, *found] if other.convincing else found
        if not found:
            resized = [
                self._likenesses.resized(tensor, items, old)
                for old in self.named(tensor.name)
                if old.data_type == data_type
            ]
            found = [likeness for likeness in resized if likeness is not None and likeness.convincing]
        distinct = {(likeness.old, likeness.layout): likeness for likeness in found}
        return [one for one in distinct.values() if one.correlation is None or one.correlation >= UNLIKE]

    def _by_content(self, tensor: TensorRef) -> Iterator[Counterpart]:
        """What its values say themselves: one layout, perhaps of several tensors."""
        places, word, width = self._places(tensor), word_bytes(tensor), ITEM_TYPES[tensor.item].itemsize
        found = None if places is None else layout_of(places, word)
        if found is None:
            return
        offset, layout = found
        if word > width:
            layout = in_items(layout, word // width)
        layout = with_bounds(layout, self._limits(offset), self._items(tensor) == 0)
        if offset + layout.reach_bytes(width) <= self._file.size:
            yield Counterpart(replace(tensor, offset=offset), layout)

    def _limits(self, offset: int) -> list[int]:
        """Where the axes of the tensor that begins at an offset end, in items from there on."""
        dims = next((tensor.dims for tensor in self._tensors if tensor.offset == offset), ())
        return sorted({prod(dims[axis:]) for axis in range(len(dims))} - {1})

    def _places(self, tensor: TensorRef) -> Places | None:
        """Where each word stands, in bytes, -1 where that is not known; nothing if most stand nowhere."""
        word = word_bytes(tensor)
        if tensor.size % word:
            return None
        if word not in self._contents:
            self._contents[word] = Contents(self._file, self._tensors, word)
        if self._last_places is None or self._last_places[0] != tensor:
            self._last_places = tensor, self._contents[word].places(self._content(tensor))
        return self._last_places[1]

    def _content(self, tensor: TensorRef) -> Octets:
        """Of a tensor of the new file."""
        return self._new[tensor.offset : tensor.end]

    def _items(self, tensor: TensorRef) -> Items:
        return self._content(tensor).view(ITEM_TYPES[tensor.item])

    def _read(self, offset: int, length: int) -> Octets:
        return self._file[offset : offset + length]

    def _octets(self, tensor: TensorRef) -> Octets:
        return self._file[tensor.offset : tensor.end]


def _digest(content: Octets) -> bytes:
    return hashlib.sha256(content.data).digest()
