"""Laws of safety: nothing is unpickled or run from text, and no code comes with a checkpoint."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.house.imports import imports_of
from tests.house.laws import Breach
from tests.house.names import dotted, origins_of
from tests.house.tree import House, Module

_PICKLES = {
    "pickle",
    "_pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "pickletools",
}
_BUILTINS_THAT_RUN_TEXT = {"eval", "exec", "compile", "__import__"}
_CALLS_OF_A_SHELL = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
_LOADERS_OF_CODE = {
    "torch.hub.load",
    "torch.jit.load",
    "torch.package",
    "torch.serialization.add_safe_globals",
}
# A module of torch has a method ``eval`` that may be reached by its name.
_NEVER_BY_NAME = _BUILTINS_THAT_RUN_TEXT - {"eval"}
# Keywords that may have one value alone.
_ONLY_VALUE = {
    "weights_only": True,
    "allow_pickle": False,
    "trust_remote_code": False,
    "use_safetensors": True,
    "shell": False,
}


def nothing_runs_from_outside(module: Module, house: House) -> Iterator[Breach]:
    """Nothing is unpickled, evaluated or run in a shell, and no code comes with a checkpoint."""
    for one in imports_of(module, house):
        if (one.target or "").partition(".")[0] in _PICKLES:
            yield Breach(module=module, line=one.line, text=f"imports {one.target}")
    safe_loads = {
        id(node.func)
        for node in module.nodes
        if isinstance(node, ast.Call) and any(k.arg == "weights_only" for k in node.keywords)
    }
    origins = origins_of(module)
    for node in module.nodes:
        for text in _unsafe(node, origins):
            yield Breach(module=module, line=getattr(node, "lineno", 1), text=text)
        name = dotted(node, origins) or ""
        is_read = isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load)
        if is_read and re.fullmatch(r"torch\.(serialization\.)?load", name) and id(node) not in safe_loads:
            yield Breach(module=module, line=node.lineno, text="torch.load without weights_only=True")


def _unsafe(node: ast.AST, origins: dict[str, str]) -> Iterator[str]:
    """Say what of one node could run code from outside."""
    match node:
        case ast.Name(id=name, ctx=ast.Load()) if name in _BUILTINS_THAT_RUN_TEXT and name not in origins:
            yield f"reads {name}"
        case ast.Name() | ast.Attribute():
            name = dotted(node, origins) or ""
            if name in _CALLS_OF_A_SHELL | _LOADERS_OF_CODE or name in {
                f"builtins.{one}" for one in _BUILTINS_THAT_RUN_TEXT
            }:
                yield f"reads {name}"
            elif isinstance(node, ast.Attribute) and node.attr in _PICKLES | {"ForkingPickler"}:
                yield f"reaches {node.attr}"
            elif isinstance(node, ast.Attribute) and node.attr in ("read_pickle", "to_pickle", "unpickle"):
                yield f"reads {node.attr}"
        case ast.ImportFrom(names=names) if found := {a.name for a in names} & (
            _PICKLES | {"ForkingPickler"}
        ):
            yield f"imports {', '.join(sorted(found))}"
        case ast.keyword(arg=str(name), value=value) if name in _ONLY_VALUE:
            if not (isinstance(value, ast.Constant) and value.value is _ONLY_VALUE[name]):
                yield f"{name} must be {_ONLY_VALUE[name]}"
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                if isinstance(key, ast.Constant) and key.value in _ONLY_VALUE:
                    yield from _unsafe(ast.keyword(arg=str(key.value), value=value), origins)
        case ast.Subscript(slice=ast.Constant(value=str(name)), ctx=ast.Store()) if name in _ONLY_VALUE:
            yield f"sets {name}"
        case ast.arg(arg="trust_remote_code") | ast.Name(id="trust_remote_code"):
            yield "trust_remote_code is nothing to choose"
        case ast.Call(func=func, args=[_, _, *_]) if dotted(func, origins) == "numpy.load":
            yield "numpy.load with more than a path; allow_pickle=False is said by name"
        case ast.Call(func=ast.Name(id="getattr"), args=[owner, ast.Constant(value=str(name)), *_]):
            reached = f"{dotted(owner, origins)}.{name}"
            if reached in {"torch.load", "builtins.eval", *_CALLS_OF_A_SHELL} or name in _NEVER_BY_NAME:
                yield f"reaches {reached} by its name"
