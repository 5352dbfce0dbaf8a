"""Laws of effects: nothing is done on import, nothing is global, nothing is printed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.house.laws import Breach
from tests.house.names import dotted, origins_of
from tests.house.rows import LAB_COMMANDS, QUIETING_MODULES
from tests.house.tree import House, Module, functions_of

_COMMANDS = {"cli", *LAB_COMMANDS}
_PRINTERS = {
    *("sys.stdout", "sys.stderr", "sys.__stdout__", "sys.__stderr__"),
    *("pprint.pprint", "pprint.pp", "builtins.print"),
}
_LOGGING_SETTINGS = re.compile(
    r"logging\.(basicConfig|config\b.*|disable|captureWarnings|setLoggerClass|addLevelName|root\b.*|"
    r"debug|info|warning|error|critical|exception|log)"
)
_LOGGER_SETTERS = {"addHandler", "removeHandler", "setLevel", "addFilter", "setFormatter"}
# Calls that do something besides making a value.
_EFFECTS = {
    *("open", "read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "makedirs", "touch", "unlink"),
    *("load", "loads", "load_file", "from_pretrained", "run", "Popen", "check_output", "system", "getenv"),
    *("print", "input", "seed", "manual_seed", "urlopen", "sleep", "time", "now", "connect", "entry_points"),
    *("set_num_threads", "basicConfig", "import_module", "__import__", "start", "register"),
    *("cwd", "home", "expanduser", "exists", "iterdir", "glob", "is_available", "device_count"),
}
_VERBS_OF_EFFECT = re.compile(r"_?(load|read|open|fetch|download|write|save|start|run|train|generate)_")
_MUTATORS = {
    *("append", "extend", "insert", "add", "update", "setdefault", "pop", "popitem", "clear", "remove"),
    *("discard", "appendleft", "popleft", "sort"),
}


def nothing_happens_on_import(module: Module, house: House) -> Iterator[Breach]:
    """A module defines; it does nothing until it is called."""
    origins = origins_of(module)
    for statement in _run_on_import(module.tree.body):
        if text := _effect_of(statement, origins):
            yield Breach(module=module, line=statement.lineno, text=f"does something on import: {text}")


def _run_on_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that importing a module runs, without what a function does when called."""
    for statement in body:
        match statement:
            case ast.If(test=test, body=inner, orelse=orelse):
                if "__name__" not in ast.unparse(test):
                    yield statement
                    yield from _run_on_import([*inner, *orelse])
            case ast.Try(body=inner, handlers=handlers, orelse=orelse, finalbody=final):
                caught = [one for handler in handlers for one in handler.body]
                yield from _run_on_import([*inner, *caught, *orelse, *final])
            case ast.ClassDef(body=inner):
                yield statement
                yield from _run_on_import(inner)
            case _:
                yield statement


def _effect_of(statement: ast.stmt, origins: dict[str, str]) -> str | None:
    """Return what a statement does besides defining, or None."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Pass() | ast.Raise() | ast.Expr(value=ast.Constant()):
            return None
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            parts = [
                *statement.decorator_list,
                *statement.args.defaults,
                *filter(None, statement.args.kw_defaults),
            ]
        case ast.ClassDef():
            parts = [*statement.decorator_list, *statement.bases]
        case ast.If(test=test):
            parts = [test]
        case ast.Assign(targets=targets, value=value):
            if not all(isinstance(target, ast.Name | ast.Tuple) for target in targets):
                return ast.unparse(statement)
            parts = [value]
        case ast.AnnAssign(value=value):
            parts = [] if value is None else [value]
        case _:
            return ast.unparse(statement).splitlines()[0]
    for node in (n for part in parts for n in _outside_functions(part)):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in _EFFECTS or _VERBS_OF_EFFECT.match(called):
                return ast.unparse(node)
        if (dotted(node, origins) or "").startswith("os.environ"):
            return ast.unparse(node)
    return None


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and what lies in it, but not what a lambda does when called."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.Lambda):
            yield from _outside_functions(child)


def nothing_is_global(module: Module, house: House) -> Iterator[Breach]:
    """State lives in objects: no ``global``, no module-level table that functions write, no patching."""
    origins = origins_of(module)
    tables = {
        target.id
        for statement in module.tree.body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
        if isinstance(target, ast.Name)
    }
    for node in module.nodes:
        if isinstance(node, ast.Global):
            yield Breach(module=module, line=node.lineno, text=f"global {', '.join(node.names)}")
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("globals", "vars")
        ):
            if node.func.id == "globals" or (node.args and dotted(node.args[0], origins)):
                yield Breach(module=module, line=node.lineno, text=f"writes to {ast.unparse(node)}")
        elif patched := _patched(node, origins):
            yield Breach(module=module, line=getattr(node, "lineno", 1), text=f"patches {patched}")
    for function in functions_of(module):
        own = {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        own |= {n.arg for n in ast.walk(function) if isinstance(n, ast.arg)}
        for node in ast.walk(function):
            if (name := _written(node)) in tables - own:
                yield Breach(module=module, line=node.lineno, text=f"writes to the module's {name}")


def _patched(node: ast.AST, origins: dict[str, str]) -> str | None:
    """Return the attribute of something imported that a node sets, or None."""
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
        return dotted(node, origins)
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("setattr", "delattr")
    ):
        return dotted(node.args[0], origins) if node.args else None
    return None


def _written(node: ast.AST) -> str | None:
    """Return the name of the table that a node writes to, or None."""
    if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
        return node.value.id if isinstance(node.value, ast.Name) else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _MUTATORS:
        return node.func.value.id if isinstance(node.func.value, ast.Name) else None
    return None


def library_is_silent(module: Module, house: House) -> Iterator[Breach]:
    """The library logs; commands alone print, and say how much is logged."""
    if module.room in _COMMANDS:
        return
    origins = origins_of(module)
    for node in module.nodes:
        name = dotted(node, origins) or ""
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id == "print":
            yield Breach(module=module, line=node.lineno, text="prints")
        elif name in _PRINTERS or name.startswith("traceback.print_"):
            yield Breach(module=module, line=node.lineno, text=f"writes to {name}")
        elif isinstance(node, ast.Attribute | ast.Name) and _LOGGING_SETTINGS.fullmatch(name):
            yield Breach(
                module=module, line=node.lineno, text=f"{name}: log through logging.getLogger(__name__)"
            )
        elif module.name not in QUIETING_MODULES and (setting := _logging_setting(node, origins)):
            yield Breach(module=module, line=getattr(node, "lineno", 1), text=f"sets logging: {setting}")
        elif name in ("warnings.simplefilter", "warnings.filterwarnings") and not _is_local(node, module):
            yield Breach(module=module, line=node.lineno, text=f"changes what Python warns of: {name}")


def _logging_setting(node: ast.AST, origins: dict[str, str]) -> str | None:
    """Return how a node changes what is logged, or takes a logger that is not its module's own, or None."""
    match node:
        case ast.Attribute(attr="propagate" | "disabled" as name, ctx=ast.Store()):
            return name
        case ast.Call(func=ast.Attribute(attr=name)) if name in _LOGGER_SETTERS:
            return name
        case ast.Call(func=func, args=args) if dotted(func, origins) == "logging.getLogger":
            is_own = len(args) == 1 and isinstance(args[0], ast.Name) and args[0].id == "__name__"
            return None if is_own else ast.unparse(node)
    return None


def _is_local(node: ast.AST, module: Module) -> bool:
    """Say whether a node lies within ``with warnings.catch_warnings()``."""
    return any(
        isinstance(n, ast.With) and "catch_warnings" in ast.unparse(n.items[0]) and node in ast.walk(n)
        for n in module.nodes
    )
