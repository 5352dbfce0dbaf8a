"""Lines that look like breaches and are none: (path, text)."""

from __future__ import annotations

from tests.house.places import BENCH, COMMAND, LAB_COMMAND, LOADING, MEMORY, POLICY, STREAM

INNOCENT = [
    (MEMORY, "from hermes_stream.errors import HermesError"),
    (MEMORY, "from . import rope\nfrom .rope import rotate"),
    (MEMORY, "import torch\nfrom jaxtyping import Float\nfrom torch import Tensor"),
    (MEMORY, "import torch\n\ndef f(x):\n    return torch.utils.data, torch.finfo(x.dtype).tiny"),
    (MEMORY, "import torch\n\ndef f(p):\n    return torch.load(p, weights_only=True)"),
    (MEMORY, "from dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass A:\n    x: int"),
    (MEMORY, "def f(x, *, pin_memory=True):\n    return x.pin_memory() if pin_memory else x"),
    (MEMORY, "def f(processor, metadata, preprocess, subprocesses):\n    return processor(metadata)"),
    (MEMORY, "def f(x, *, data_dir):\n    return x.data, data_dir"),
    (MEMORY, "def f(a, b, c, d, *, e, g):\n    return a"),
    (MEMORY, "class A:\n    def f(self, a, b, c, d):\n        return a"),
    (MEMORY, "def f(x):\n    return x.eval(), x.compile(), x.load()"),
    (MEMORY, "def f(x):\n" + "    x = x\n" * 59),
    (MEMORY, "def f(x):\n    seen = {}\n    seen[x] = 1\n    return seen"),
    (MEMORY, "_LIMITS = {'a': 1}\n\ndef f(x):\n    return _LIMITS[x], _LIMITS.get(x)"),
    (MEMORY, "import logging\nlog = logging.getLogger(__name__)\n\ndef f():\n    log.info('x')"),
    (MEMORY, "import re\n_WORD = re.compile('a')\n_LIMIT = max(1, 2)\n_NAMES = tuple(sorted({'a'}))"),
    (MEMORY, "def f(kv_bits, k8v4, infinipot_v, is_new):\n    return kv_bits"),
    (MEMORY, "class A:\n    '''Prints nothing; pickle and eval( are words here, and so is hermes_lab.'''"),
    (MEMORY, "class A:\n    pass\n\nclass B(A):\n    pass"),
    (
        MEMORY,
        "import warnings as w\n\ndef f():\n    with w.catch_warnings():\n        w.simplefilter('error')",
    ),
    (MEMORY, "import warnings\n\ndef f():\n    warnings.warn('x', stacklevel=2)"),
    (MEMORY, "import sys\n\ndef f():\n    return 'torch' in sys.modules"),
    (STREAM, "from hermes_stream import HermesError, __version__"),
    (STREAM, "from hermes_stream import Frame, load_model"),
    (
        STREAM,
        "from hermes_stream.models import load_model\n\ndef f(name='tiny'):\n    return load_model('tiny')",
    ),
    (STREAM, "import numpy as np\nimport torch"),
    (COMMAND, "from hermes_stream.models import EMBEDDED\n\ndef f():\n    return sorted(EMBEDDED)"),
    (
        COMMAND,
        "import typer\n\ndef f(model=typer.Option('tiny', help='tiny, or a folder')):\n    return model",
    ),
    (STREAM, "def f(model):\n    return model.config.hidden_size, model.generation_config"),
    (STREAM, "import subprocess\n\ndef f(x):\n    return subprocess.run(x, check=True)"),
    ("hermes_stream/models/loading/config_files.py", "x = 1"),
    (LOADING, "def f(config):\n    config.hidden_size = 2\n    return config"),
    (
        LOADING,
        "def f(read, p):\n    return read.from_pretrained(p, trust_remote_code=False)",
    ),
    (LOADING, "import numpy as np\n\ndef f(p):\n    return np.load(p, allow_pickle=False)"),
    (LOADING, "from transformers.utils import logging\n\ndef f():\n    logging.set_verbosity_error()"),
    (POLICY, "from hermes_stream.policies.base import MemoryPolicy\n\nclass A(MemoryPolicy):\n    pass"),
    (POLICY, "from hermes_stream.errors import VideoError\n\nclass A(VideoError):\n    pass"),
    (
        "hermes_stream/retrieval/planted.py",
        "from hermes_stream.cache import StreamCache\nfrom hermes_stream import policies",
    ),
    (
        "hermes_stream/service/settings.py",
        "from pydantic import BaseModel\n\nclass Settings(BaseModel):\n    x: int = 1",
    ),
    ("hermes_stream/server/planted.py", "import fastapi\nfrom hermes_stream.service import settings"),
    ("hermes_stream/client/planted.py", "import httpx\nfrom hermes_stream.errors import HermesError"),
    (COMMAND, "import typer\nfrom hermes_stream import Session\n\ndef f(model='tiny'):\n    print(model)"),
    (BENCH, "import hermes_stream\nimport numpy as np\n\ndef f():\n    return hermes_stream.__version__"),
    (LAB_COMMAND, "from hermes_stream.cli.output import complain\nfrom rich.console import Console"),
    (
        "hermes_lab/datasets/planted.py",
        "from importlib import import_module\n\ndef f():\n    return import_module('pyarrow')",
    ),
]
