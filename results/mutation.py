"""Change the code one line at a time and see which tests notice: python results/mutation.py [--sample N].

Results are added to a file, one entry per group of files.
A mutant is one file with one change: a comparison, an arithmetic or a logical operator exchanged, a constant
one larger or smaller, a ``not`` or a statement dropped. The tests of its group run in a copy of the
repository until the first one fails; a mutant that all pass has survived. Every mutant is a fork of a process
that has imported torch and transformers already, so that it costs little more than its tests.
"""

import argparse
import ast
import contextlib
import importlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measure import FOLDER, machine

ROOT = FOLDER.parent
PACKAGE = "src/hermes_stream"
COPIED = ("src", "tests", "docs", "examples", "README.md", "pyproject.toml")
PRELOADED = (
    "torch",
    "transformers.models.qwen2.modeling_qwen2",
    "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
    "transformers.models.qwen3_vl.modeling_qwen3_vl",
    "transformers.models.llava_onevision.modeling_llava_onevision",
    "safetensors.torch",
    "hypothesis",
    "beartype",
    "pytest",
)
MEMORY = ("novelty", "random_keys", "rope", "scoring", "selection", "smoothing", "state", "summary", "tiers")
GROUPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "memory": (
        tuple(f"memory/{name}.py" for name in MEMORY),
        (
            "tests/memory",
            "tests/policies/test_hermes.py",
            "tests/test_conformance.py",
            "tests/test_cache.py",
            "tests/policies/test_streammem.py",
        ),
    ),
    "hermes": (
        ("policies/hermes.py",),
        ("tests/policies/test_hermes.py", "tests/test_conformance.py", "tests/stream/test_guidance.py"),
    ),
    "cache": (
        ("cache.py",),
        ("tests/test_cache.py", "tests/test_buffers.py", "tests/policies/test_streammem.py"),
    ),
    "attention": (
        ("attention.py",),
        (
            "tests/test_attention.py",
            "tests/policies/test_livevlm.py",
            "tests/stream/test_graphs.py",
            "tests/retrieval/test_retrieval.py",
            "tests/stream/test_guidance.py",
            "tests/contracts/test_models.py",
        ),
    ),
    "stream": (
        ("stream/memory.py",),
        (
            "tests/stream/test_session.py",
            "tests/stream/test_guidance.py",
            "tests/stream/test_identities.py",
            "tests/contracts/test_policies_in_streams.py",
            "tests/filters",
            # It watches 10,000 frames.
            "--deselect=tests/stream/test_identities.py::test_memory_bytes_are_equal_after_100_and_10000_frames",
        ),
    ),
}
OPERATORS: dict[type, type] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change of one file.

    Attributes:
        file: path within the package.
        line: of the change.
        before: the code that is changed.
        after: what it becomes.
        source: the whole file with the change.
    """

    file: str
    line: int
    before: str
    after: str
    source: str


def changes(node: ast.AST) -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
    """Yield the ways to change a node in place, each with its undoing."""

    def setting(name: str, new: Any) -> tuple[Callable[[], None], Callable[[], None]]:
        old = getattr(node, name)
        return lambda: setattr(node, name, new), lambda: setattr(node, name, old)

    if isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            swapped = [*node.ops]
            swapped[index] = OPERATORS[type(operator)]()
            yield setting("ops", swapped)
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in OPERATORS:
        yield setting("op", OPERATORS[type(node.op)]())
    elif isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant):
        yield setting("op", ast.UAdd())
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield setting("value", not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield setting("value", node.value + 1)
        yield setting("value", node.value - 1)


def statements(tree: ast.AST) -> Iterator[tuple[list[ast.stmt], int]]:
    """Yield the statements that may be dropped: calls, changes of attributes or of items, raises."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for index, statement in enumerate(body):
            is_call = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
            targets = statement.targets if isinstance(statement, ast.Assign) else []
            changes_state = any(not isinstance(target, ast.Name | ast.Tuple) for target in targets)
            if is_call or changes_state or isinstance(statement, ast.Raise | ast.AugAssign):
                yield body, index


def expressions(node: ast.AST) -> Iterator[ast.AST]:
    """Walk through code that runs: no annotations, decorators or texts."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list") or isinstance(value, ast.JoinedStr):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.Raise):
                yield child
                yield from expressions(child)


def mutants_of(file: str) -> Iterator[Mutant]:
    """Yield every mutant of a file."""
    tree = ast.parse((ROOT / PACKAGE / file).read_text(encoding="utf-8"))

    def mutant(node: ast.AST, before: str, after: str) -> Mutant:
        line: int = node.lineno  # type: ignore[attr-defined]
        return Mutant(file=file, line=line, before=before, after=after, source=ast.unparse(tree))

    for node in [*expressions(tree)]:
        for apply, undo in changes(node):
            before = ast.unparse(node)
            apply()
            yield mutant(node, before, ast.unparse(node))
            undo()
    for body, index in [*statements(tree)]:
        statement = body[index]
        body[index] = ast.copy_location(ast.Pass(), statement)
        yield mutant(statement, ast.unparse(statement).partition("\n")[0], "pass")
        body[index] = statement


def run_tests(folder: Path, tests: Sequence[str], seconds: float) -> tuple[str, float]:
    """Fork, run tests in a copy of the repository, and say how it went: passed, failed or timeout."""
    began = time.perf_counter()
    child = os.fork()
    if not child:
        os.setsid()
        code = 1
        try:
            code = child_main(folder, tests)
        finally:
            # Whatever happens, the child must not go on as if it were its parent.
            os._exit(code)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        taken = time.perf_counter() - began
        if done:
            return ("passed" if os.waitstatus_to_exitcode(status) == 0 else "failed"), taken
        if taken > seconds:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "timeout", taken
        time.sleep(0.02)


def child_main(folder: Path, tests: Sequence[str]) -> int:
    """Run pytest on the copy; the package is imported here for the first time."""
    import pytest
    from hypothesis import Phase, settings

    os.chdir(folder)
    sys.path[:0] = [str(folder / "src"), str(folder)]
    os.environ["PYTHONPATH"] = str(folder / "src")
    # A failing example need not be made small, and must not be remembered for the next mutant.
    settings.register_profile("mutation", phases=(Phase.explicit, Phase.generate), database=None)
    options = ["-x", "-p", "no:cacheprovider", "--hypothesis-profile=mutation", "--hypothesis-seed=0"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return int(pytest.main([*options, *tests]))


def judge(mutants: Sequence[Mutant], tests: Sequence[str], folder: Path) -> Iterator[dict[str, Any]]:
    """Yield each mutant with what became of it; the unchanged code must pass before and after."""
    outcome, seconds = run_tests(folder, tests, 900)
    if outcome != "passed":
        raise SystemExit(f"tests fail before anything is changed: {' '.join(tests)}")
    limit = 4 * seconds + 10
    for mutant in mutants:
        path = folder / PACKAGE / mutant.file
        whole = path.read_text(encoding="utf-8")
        path.write_text(mutant.source, encoding="utf-8")
        outcome, seconds = run_tests(folder, tests, limit)
        path.write_text(whole, encoding="utf-8")
        said = {name: value for name, value in asdict(mutant).items() if name != "source"}
        outcome = "survived" if outcome == "passed" else "killed"
        yield {**said, "outcome": outcome, "seconds": round(seconds, 1)}
    # Mutants are not killed by what changed meanwhile around the copy, such as installed packages.
    if run_tests(folder, tests, limit)[0] != "passed":
        raise SystemExit(f"tests fail though nothing is changed any more: {' '.join(tests)}")


def judge_group(group: str, folder: Path, *, sample: int, seed: int) -> dict[str, Any]:
    """Draw mutants of a group; return how many its tests killed, and which survived."""
    files, tests = GROUPS[group]
    every = [mutant for file in files for mutant in mutants_of(file)]
    chosen = random.Random(f"{seed} {group}").sample(every, min(sample, len(every)))
    counts: dict[str, dict[str, int]] = {}
    survived = []
    for mutant in judge(chosen, tests, folder):
        sys.stdout.write(json.dumps(mutant) + "\n")
        sys.stdout.flush()
        counts.setdefault(mutant["file"], {"killed": 0, "survived": 0})[mutant["outcome"]] += 1
        if mutant["outcome"] == "survived":
            survived.append(mutant)
    return {
        "seed": seed,
        "num_possible": len(every),
        "num_killed": len(chosen) - len(survived),
        "num_survived": len(survived),
        "files": counts,
        "survived": survived,
    }


def main() -> None:
    """Draw mutants, judge them, write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=40, help="mutants of each group at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--out", type=Path, default=FOLDER / "mutation.json")
    arguments = parser.parse_args()
    sys.dont_write_bytecode = True
    for name in PRELOADED:
        importlib.import_module(name)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    report = json.loads(arguments.out.read_text()) if arguments.out.exists() else {"groups": {}}
    with TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, copy / name)
        for group in arguments.groups:
            judged = judge_group(group, copy, sample=arguments.sample, seed=arguments.seed)
            report["groups"][group] = {**judged, "commit": commit.stdout.strip(), "machine": machine()}
            arguments.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
