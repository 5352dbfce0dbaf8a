"""Which codecs can be read and written on this machine."""

from __future__ import annotations

# The decoders that PyAV may find for each codec; FFmpeg's own "av1" needs a graphics card.
_DECODERS = {
    "h264": ("h264",),
    "hevc": ("hevc",),
    "vp9": ("vp9", "libvpx-vp9"),
    "av1": ("libdav1d", "libaom-av1"),
}
_ENCODERS = ("libx264",)


def codecs() -> dict[str, dict[str, bool]]:
    """Return which codecs can be read and written here; nothing where PyAV is missing."""
    try:
        from av.codec import Codec
        from av.error import FFmpegError
    except ImportError:
        return {"decoders": dict.fromkeys(_DECODERS, False), "encoders": dict.fromkeys(_ENCODERS, False)}

    def exists(name: str, mode: str) -> bool:
        try:
            Codec(name, mode)
        except (FFmpegError, ValueError):
            return False
        return True

    decoders = {codec: any(exists(name, "r") for name in names) for codec, names in _DECODERS.items()}
    return {"decoders": decoders, "encoders": {name: exists(name, "w") for name in _ENCODERS}}
