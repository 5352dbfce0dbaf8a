"""The dialects of annotation files, one a file, and their table."""

from __future__ import annotations

from hermes_lab.datasets.annotated_questions import Dialect
from hermes_lab.datasets.dialects import (
    candidates,
    egoschema,
    oasis,
    ovo,
    streamingbench,
    unified,
    videomme,
    vstream,
)

DIALECTS: dict[str, Dialect] = {
    "unified": unified.DIALECT,
    "oasis": oasis.DIALECT,
    "ovo": ovo.DIALECT,
    "streamingbench": streamingbench.DIALECT,
    "streamingbench_table": streamingbench.TABLE_DIALECT,
    "videomme": videomme.DIALECT,
    "egoschema": egoschema.DIALECT,
    "candidates": candidates.DIALECT,
    "vstream": vstream.DIALECT,
}
"""All dialects, in the order in which a file is tried."""

WRITABLE_DIALECTS: dict[str, Dialect] = {name: one for name, one in DIALECTS.items() if one.write}
"""Those in which annotations are also written."""
