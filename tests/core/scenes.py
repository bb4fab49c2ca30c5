"""A generated hyperspectral scene: five materials with 100 bands, shade and noise, and pixels without a class."""

import numpy as np

HEIGHT, WIDTH, BANDS, CLASSES = 36, 45, 100, 5


def scene(seed=0, noise=0.02):
    """The cube (height, width, bands) as uint16, like a sensor's counts, and its truth (height, width), 0 to 5."""
    random = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(np.arange(HEIGHT), np.arange(WIDTH), indexing="ij"), axis=-1).reshape(-1, 2)
    seeds = random.uniform(0, (HEIGHT, WIDTH), (15, 2))
    distances = np.linalg.norm(places[:, None] - seeds, axis=-1)
    nearest = np.sort(distances, axis=1)
    truth = (distances.argmin(axis=1) % CLASSES + 1).reshape(HEIGHT, WIDTH)
    waves = np.linspace(0, 1, BANDS)
    peaks = random.uniform(0.1, 0.9, (CLASSES, 3))
    spectra = 0.3 + np.exp(-(((waves - peaks[:, :, None]) / 0.08) ** 2)).sum(axis=1) / 3
    pixels = spectra[truth.reshape(-1) - 1] * random.uniform(0.9, 1.1, (len(places), 1))
    pixels += noise * random.normal(size=pixels.shape)
    # Nobody walks along borders to name what grows there, nor everywhere else.
    unknown = (nearest[:, 1] - nearest[:, 0] < 1.5) | (random.random(len(places)) < 0.2)
    truth[unknown.reshape(HEIGHT, WIDTH)] = 0
    counts = np.clip(pixels * 4000, 0, 65535).astype(np.uint16)
    return counts.reshape(HEIGHT, WIDTH, BANDS), truth.astype(np.uint8)
