"""High dynamic range to ordinary pictures, in numpy, since the FFmpeg in PyAV's wheels lacks zscale.

Light is counted in units of reference white, 203 cd/m2 (ITU-R BT.2408).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

PQ_TRC = 16
HLG_TRC = 18

_BT2020_PRIMARIES = (2, 9)  # untagged HDR is BT.2020 in practice
_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)
_BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)
_WHITE_NITS = 203.0
_PEAK_NITS = 1000.0
_KNEE = 0.5
_DISPLAY_GAMMA = 2.2
_ROWS_AT_ONCE = 32


def tone_map(image: NDArray[np.uint16], *, transfer: int, primaries: int) -> NDArray[np.uint8]:
    """Turn a PQ or HLG picture into an ordinary one.

    Up to half of reference white light is kept as it is; brighter light is compressed so that 1000 cd/m2
    becomes white, by one factor for the three channels, which keeps hues.

    Args:
        image: RGB as coded, ``[height, width, 3]``, over the full 16 bits.
        transfer: FFmpeg's number of the transfer curve, ``PQ_TRC`` or ``HLG_TRC``.
        primaries: FFmpeg's number of the primaries.

    Returns:
        RGB for an ordinary display, ``[height, width, 3]``.
    """
    result = np.empty(image.shape, dtype=np.uint8)
    for top in range(0, image.shape[0], _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        light = _light_table(transfer)[image[rows] >> 4]
        if transfer == HLG_TRC:
            light = _hlg_displayed(light)
        if primaries in _BT2020_PRIMARIES:
            light = np.maximum(light @ _BT2020_TO_BT709.T, 0)
        coded = _compressed(light) ** np.float32(1 / _DISPLAY_GAMMA)
        result[rows] = np.rint(coded * 255).astype(np.uint8)
    return result


@cache
def _light_table(transfer: int) -> NDArray[np.float32]:
    """Return the light of each of 4096 code values: of the display for PQ, of the scene in 0..1 for HLG."""
    signal = np.linspace(0, 1, 4096)
    if transfer == PQ_TRC:
        root = signal ** (1 / 78.84375)
        nits = 10000 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (
            1 / 0.1593017578125
        )
        return (nits / _WHITE_NITS).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return scene.astype(np.float32)


def _hlg_displayed(scene: NDArray[np.float32]) -> NDArray[np.float32]:
    luma = scene @ _BT2020_LUMA
    factor = np.float32(_PEAK_NITS / _WHITE_NITS) * luma ** np.float32(0.2)
    displayed: NDArray[np.float32] = scene * factor[..., None]
    return displayed


def _compressed(light: NDArray[np.float32]) -> NDArray[np.float32]:
    # By hand, since numpy takes ten times as long for the maximum over an axis of three.
    brightest = np.maximum(np.maximum(light[..., 0], light[..., 1]), light[..., 2])
    above = np.maximum(brightest - _KNEE, 0) / (1 - _KNEE)
    peak = (_PEAK_NITS / _WHITE_NITS - _KNEE) / (1 - _KNEE)
    target = np.minimum(brightest, _KNEE) + (1 - _KNEE) * above * (1 + above / peak**2) / (1 + above)
    factor = target / np.maximum(brightest, 1e-6)
    compressed: NDArray[np.float32] = np.clip(light * factor[..., None], 0, 1)
    return compressed
