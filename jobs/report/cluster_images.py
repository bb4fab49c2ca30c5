"""Contact sheets of the clusters of images, and the map of a scene."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from jobs.report import pieces
from jobs.report.cluster_contents import ClusterContents
from jobs.report.cluster_pieces import least_sure_words, one_cluster
from jobs.report.markup import Markup, join, tag

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def images(found: ClusterContents) -> Markup | None:
    """The contact sheets of the shown clusters; None if the samples are no images."""
    data = found.clusters.data
    if data is None or not found.has_images:
        return None
    told = pieces.note(
        f"First the {found.bounds.nearest} images nearest to the centre of the cluster, then the "
        f"{found.bounds.unsure} {least_sure_words(found)}."
    )
    figures: list[Markup] = []
    for cluster, (near, far) in sheets(found).items():
        words = f"images of cluster {cluster}"
        pictures = [
            _picture(near, f"The {words} that are nearest to its centre."),
            _picture(far, f"The {words} that are the least sure."),
        ]
        figures.append(one_cluster(found, cluster, tag("div", pictures, class_="sheets")))
    return join([told, _many_channels(data.sample_shape[0]), tag("div", figures, class_="stack")])


def sheets(found: ClusterContents) -> dict[int, tuple[bytes, bytes]]:
    """Two contact sheets of each shown cluster, PNG: the images nearest to its centre, and the least sure ones."""
    from jobs.charts.contact_sheet import contact_sheet

    return {
        cluster: (
            contact_sheet(pixels(found, found.nearest[cluster][: found.bounds.nearest])),
            contact_sheet(pixels(found, found.unsure[cluster][: found.bounds.unsure])),
        )
        for cluster in found.shown
    }


def scene(found: ClusterContents) -> Markup | None:
    """The map of a scene's clusters; None if the samples are no pixels of one."""
    if not found.is_scene:
        return None
    told = "The cluster of each pixel. A cluster has the colour of its class; white pixels have no class."
    return join([pieces.note(told), _picture(scene_map(found), "The clusters on the scene, beside the ground truth.")])


def scene_map(found: ClusterContents) -> bytes:
    """The PNG that `conclus assign --out map.png` writes.

    Raises:
        ValueError: The samples are no pixels of a scene.
    """
    from jobs.charts.scene_map import drawn, laid_out

    data = found.clusters.data
    if data is None or data.ids is None or len(data.scene) != 2:
        raise ValueError("the samples are no pixels of a scene")
    clusters = laid_out(data.scene, data.ids, found.clusters.kept.table["cluster"].to_numpy())
    truth = None if data.labels is None else laid_out(data.scene, data.ids, data.labels)
    return drawn(clusters, truth, data.class_names)


def pixels(found: ClusterContents, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Some images in the units of the file, if these are known, (m, channels, height, width)."""
    import numpy as np

    data = found.clusters.data
    if data is None:
        raise ValueError("there are no samples")
    images = np.asarray(data.samples[rows], np.float64)
    if data.scaling is not None:
        offset, divisor = (np.asarray(one, np.float64).reshape(-1, 1, 1) for one in data.scaling)
        images = images * divisor + offset
        # What was a byte is one again, without the rounding of its scaled value.
        images = np.where(np.abs(images - np.rint(images)) < 1e-3, np.rint(images), images)
    return images


def _many_channels(n_channels: int) -> Markup | None:
    if n_channels in {1, 3}:
        return None
    what = "The fourth channel is left out." if n_channels == 4 else f"Shown is the mean of {n_channels} channels."
    return pieces.note(what)


def _picture(content: bytes, words: str) -> Markup:
    width, height = (int.from_bytes(content[place : place + 4], "big") for place in (16, 20))
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return tag("img", src=source, alt=words, width=str(width), height=str(height))
