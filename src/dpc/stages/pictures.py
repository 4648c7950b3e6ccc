"""Pixels of a prepared dataset, as a CLIP takes them, rendered when they are asked for."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from dpc.clip.model import Clip
from dpc.clip.views import Views
from dpc.datasets import EMBEDDED, on_disk
from dpc.datasets.base import Images, Item
from dpc.datasets.views import draw_crop, test_view, train_view
from dpc.params.sections import Params
from dpc.stages import decoding
from dpc.stages.frozen import input_format
from dpc.stages.layout import Layout

HELD = 512 * 2**20  # bytes of rendered views that a training keeps


class Pictures:
    """Test and training views of one dataset's images.

    A context manager, since an archive may be open. Views are pure functions of the image's
    content and the view's number, so that threads may render them in any order.
    """

    def __init__(self, params: Params, layout: Layout, dataset: str, clip: Clip):
        packed = dataset in EMBEDDED
        place = layout.images(dataset).parent if packed else on_disk.image_folder(dataset, params)
        self._images = Images(dataset, place, packed)
        self._form, self._views = input_format(clip), params.data.views
        self._threads = params.run.threads
        self._workers = decoding.workers(params, clip.device)
        self._pin = clip.device.type == "cuda"
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> "Pictures":
        self._images.__enter__()
        if self._threads > 1:
            self._pool = ThreadPoolExecutor(self._threads)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        self._images.__exit__(*exception)

    @property
    def count(self) -> int:
        """V, the number of training views of an image."""
        return self._views.count

    @property
    def size(self) -> int:
        """S, the side of a view in pixels."""
        return self._form.size

    def plain(self, item: Item) -> np.ndarray:
        """(3, S, S) float32, normalised: the image as a test sees it."""
        return test_view(self._images.read(item), self._form)

    def view(self, item: Item, index: int) -> np.ndarray:
        """(3, S, S) float32, normalised: training view ``index``, modulo V."""
        image = self._images.read(item)
        crop = draw_crop(image.size, item.sha256, index % self.count, self._views)
        return train_view(image, crop, self._form)

    def plain_batches(self, items: Sequence[Item]) -> Iterator[Tensor]:
        """`plain` of every item, as batches (≤ 256, 3, S, S)."""
        return self._batches(lambda n: self.plain(items[n]), len(items))

    def view_batches(self, items: Sequence[Item], count: int) -> Iterator[Tensor]:
        """Views 0..count-1 of the first image, then of the second, …, in the same batches."""
        return self._batches(lambda n: self.view(items[n // count], n % count), len(items) * count)

    def _batches(self, render: Callable[[int], np.ndarray], total: int) -> Iterator[Tensor]:
        return decoding.batches(render, total, self._workers, self._reopen, self._pin)

    def _reopen(self) -> None:
        self._images.__enter__()

    def parallel(self, render: Callable[..., np.ndarray], *arguments: Sequence) -> list[np.ndarray]:
        """As ``map``, on as many threads as a stage may use; decoding leaves Python's lock."""
        return list((self._pool.map if self._pool else map)(render, *arguments))


class PixelBank:
    """A bank that renders the views it is asked for, beside features that are known already.

    Args:
        pictures: open for as long as the bank is used.
        items: N images.
        labels: (N,) classes within the task.
        frozen: (N, V, d) features of the frozen CLIP, or None.
        teacher: (N, V', d_T) features of a teacher's, or None.
    """

    def __init__(
        self,
        pictures: Pictures,
        items: Sequence[Item],
        labels: Tensor,
        frozen: Tensor | None = None,
        teacher: Tensor | None = None,
    ):
        self.labels = labels.to(torch.long)
        self._pictures, self._items = pictures, items
        self._frozen, self._teacher = frozen, teacher
        self._rendered: dict[tuple[int, int], np.ndarray] = {}

    @property
    def count(self) -> int:
        return self._pictures.count

    def views(self, indices: Tensor, view: int) -> Views:
        view %= self._pictures.count
        return Views(
            _at(self._frozen, indices, view),
            self._pixels(indices.tolist(), view),
            _at(self._teacher, indices, view),
        )

    def _pixels(self, indices: list[int], view: int) -> Tensor:
        """(B, 3, S, S); a view is rendered once, as long as all of them fit."""
        if not indices:  # a batch whose images drew no new negative
            return torch.zeros(0, 3, self._pictures.size, self._pictures.size)
        missing = [i for i in dict.fromkeys(indices) if (i, view) not in self._rendered]
        if missing:
            made = self._pictures.parallel(
                self._pictures.view, [self._items[i] for i in missing], [view] * len(missing)
            )
            if (len(self._rendered) + len(made)) * made[0].nbytes > HELD:
                kept = {(i, view): self._rendered[i, view] for i in indices if i not in missing}
                self._rendered = kept
            self._rendered |= {(i, view): pixels for i, pixels in zip(missing, made, strict=True)}
        return torch.from_numpy(np.stack([self._rendered[i, view] for i in indices]))


def _at(features: Tensor | None, indices: Tensor, view: int) -> Tensor | None:
    return None if features is None else features[indices.to(features.device), view]
