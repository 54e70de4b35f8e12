"""Mutation testing: changes one thing at a time in a module, and counts what its tests do not notice.

    python -m tests.mutants mnflow/folds.py --tests tests/test_folds.py tests/system/test_leaks.py --most 200
    python -m tests.mutants mnflow/augment/*.py mnflow/evaluate/*.py --most 20    # a line per module

The changes are mutmut's (its operators on functions and methods; it is installed into .mutants, see `make
mutants`). Its own runner is not used: JAX's threads do not survive its forks, and it asks every file to be
read anew. Here pytest collects the tests once, notes which statements each of them reaches, and then every
mutant is a fork of that process in which the code of the changed functions is exchanged and the tests that
reach the changed statement run, until one fails. Survivors are printed.
"""

import argparse
import ast
import importlib
import inspect
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
USED_LATE = (
    "sklearn.cluster",
    "sklearn.decomposition",
    "dask.array",
    "h5py",
    "rsciio.hspy",
    "rsciio.emd",
    "rsciio.msa",
)
"""What functions import when they are called: imported once, before there are forks."""

leave = os._exit
"""Held on to: a test that fails while it has exchanged `os._exit` is noticed, too."""


class Mutant(NamedTuple):
    """A module's source with one change: in `line`, from `old` to `new`."""

    source: str
    line: int
    old: str
    new: str


def mutants(source: str) -> Iterator[Mutant]:
    """All mutants of functions and methods, but of defaults that are no literals.

    Without `strict=` of zip: it checks what is right while nothing is changed, so no test can miss it.
    """
    import libcst as cst
    from libcst.metadata import MetadataWrapper, PositionProvider
    from mutmut.mutation.mutators import mutation_operators

    wrapper = MetadataWrapper(cst.parse_module(source))
    module, position = wrapper.module, wrapper.resolve(PositionProvider)
    lines = source.splitlines(keepends=True)

    def meaning(code: str) -> str:
        return re.sub(r",\s*(?=\))", "", re.sub(r",\s*strict=\w+", "", code))

    def nodes(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
        literal = cst.Name | cst.BaseNumber | cst.BaseString
        if isinstance(node, cst.Annotation | cst.Decorator):
            return
        if (
            isinstance(node, cst.Call)
            and isinstance(node.func, cst.Name)
            and node.func.value in ("len", "isinstance")
        ):
            return
        if isinstance(node, cst.Param) and node.default and not isinstance(node.default, literal):
            return
        yield node
        for child in node.children:
            yield from nodes(child)

    in_classes = [s for c in module.body if isinstance(c, cst.ClassDef) for s in c.body.body]
    seen = {source}
    for function in (s for s in [*module.body, *in_classes] if isinstance(s, cst.FunctionDef)):
        if function.name.value == "__new__":
            continue
        first = position[(function.decorators or [function])[0]].start.line - 1
        indent = " " * position[function].start.column
        original = module.code_for_node(function.with_changes(leading_lines=()))
        whole, unchanged = [line.strip() for line in original.splitlines()], meaning(original)
        for node in nodes(function):
            for kind, operator in mutation_operators:
                for changed in operator(node) if isinstance(node, kind) else ():
                    new = function.deep_replace(node, changed).with_changes(leading_lines=())
                    code = module.code_for_node(new)
                    if meaning(code) == unchanged:
                        continue
                    text = [line.strip() for line in code.splitlines()]
                    a = next((i for i, (x, y) in enumerate(zip(whole, text, strict=False)) if x != y), None)
                    if a is None:
                        continue
                    body = code.splitlines(keepends=True)
                    kept = lines[first : first + a]  # as it stands in the file, with what a docstring holds
                    rest = [indent + line if line.strip() else line for line in body[a:]]
                    mutated = "".join([*lines[:first], *kept, *rest, *lines[first + len(whole) :]])
                    if mutated not in seen and _compiles(mutated):
                        seen.add(mutated)
                        yield Mutant(mutated, first + a + 1, whole[a], text[a])


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def statements(source: str) -> dict[int, tuple[int, int]]:
    """The innermost statement, or head of a compound one, of every line: its first and last line."""
    found: dict[int, tuple[int, int]] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            last = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno or node.lineno
            for line in range(node.lineno, last + 1):
                old = found.get(line)
                if old is None or last - node.lineno < old[1] - old[0]:
                    found[line] = (node.lineno, last)
    return found


def exchange(module: ModuleType, source: str) -> None:
    """Give a module's functions, which others hold on to, the code and defaults of `source`."""
    scratch = {"__name__": module.__name__, "__file__": module.__file__, "__package__": module.__package__}
    exec(compile(source, str(module.__file__), "exec"), scratch)

    def functions(old: Any, new: Any) -> Iterator[tuple[Any, Any]]:
        for name, changed in list(new.items()):
            held, changed = (undecorated(f) for f in (old.get(name), changed))
            if getattr(changed, "__module__", None) != module.__name__:
                continue
            if isinstance(changed, FunctionType) and isinstance(held, FunctionType):
                yield held, changed
            elif isinstance(changed, type):
                yield from functions(vars(held), vars(changed))

    for held, changed in functions(vars(module), scratch):
        if held.__code__.co_filename == changed.__code__.co_filename:  # not what a dataclass made
            held.__code__, held.__defaults__, held.__kwdefaults__ = (
                changed.__code__,
                changed.__defaults__,
                changed.__kwdefaults__,
            )


def undecorated(thing: Any) -> Any:
    """The function within a method, a property or a wrapper; or what it is, if it is none of these."""
    for name in ("__func__", "fget", "func"):
        thing = getattr(thing, name, thing)
    return inspect.unwrap(thing) if callable(thing) else thing


def fork(work: Callable[[], int], seconds: float) -> int | None:
    """Exit code of `work` in a child; None if it took longer. A stopped child does not age."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setpgid(0, 0)
            leave(work())
        finally:
            leave(3)
    spent, pause = 0.0, 0.002
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done or spent > seconds:
            for kill in (os.killpg, os.kill):
                try:
                    kill(pid, signal.SIGKILL)
                except OSError:
                    continue
            if not done:
                os.waitpid(pid, 0)
            return os.waitstatus_to_exitcode(status) if done else None
        time.sleep(pause)
        if (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "T":
            spent += pause
        pause = min(pause * 1.3, 0.05)


class Runner:
    """The pytest plugin that runs mutants instead of tests."""

    def __init__(self, path: Path, most: int, seed: int, slow: float) -> None:
        self.path, self.most, self.seed, self.slow = path, most, seed, slow
        self.in_mutant = self.failed = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Before tests are imported, but after conftest: hypothesis need not make a failure small."""
        from hypothesis import Phase, settings  # here, since pytest has to come first

        settings.register_profile(
            "mutants", settings.get_profile("mnflow"), phases=[Phase.explicit, Phase.generate]
        )
        settings.load_profile("mutants")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> None:
        if call.excinfo is not None and not isinstance(call.excinfo.value, pytest.skip.Exception):
            self.failed = True
            if self.in_mutant:
                leave(1)  # before a report is made of it, which takes longer than the test

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        for name in USED_LATE:
            importlib.import_module(name)
        source = self.path.read_text()
        name = self.path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        module, spans = importlib.import_module(name), statements(source)
        session.config.pluginmanager.unregister(name="terminalreporter")
        folder = session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        notes = folder / "reached.txt"
        assert fork(lambda: self._measure(session.items, notes), 3600) == 0
        seconds: dict[str, float] = {}
        reached: dict[tuple[int, int], set[str]] = {}
        for line in notes.read_text().splitlines():
            test, took, numbers = line.split("\t")
            seconds[test] = float(took)
            for number in numbers.split():
                # none for a decorator, which runs when a test has the module imported anew
                span = spans.get(int(number))
                if span and float(took) < self.slow:
                    reached.setdefault(span, set()).add(test)
        items = {item.nodeid: item for item in session.items}
        used = [items[test] for test in sorted(set().union(*reached.values()))]
        if fork(lambda: self._run(module, source, used), 3600) != 0:  # some do not pass in such a fork
            failing = {i.nodeid for i in used if fork(partial(self._run, module, source, [i]), 3600) != 0}
            print(f"left out: {', '.join(sorted(failing))}")
            reached = {span: tests - failing for span, tests in reached.items()}
            assert any(reached.values()), "Expected tests that pass in a fork when nothing is changed."
        everything = list(mutants(source))
        random.Random(self.seed).shuffle(everything)
        count: Counter[str] = Counter()
        for mutant in everything[: self.most]:
            tests = sorted(reached.get(spans[mutant.line], ()), key=seconds.__getitem__)
            code: int | None = 0
            if tests:
                limit = 60 + 3 * sum(seconds[t] for t in tests)
                code = fork(partial(self._run, module, mutant.source, [items[t] for t in tests]), limit)
            for path in folder.iterdir():
                shutil.rmtree(path, ignore_errors=True)
            count["survived" if code == 0 else "killed"] += 1
            if code == 0:
                print(
                    f"{self.path.name}:{mutant.line}{'' if tests else ' (no test)'}\n  - {mutant.old}\n  + "
                    f"{mutant.new}"
                )
        killed, total = count["killed"], max(count.total(), 1)
        print(
            f"{self.path.relative_to(ROOT)}: {killed} of {total} killed ({killed / total:.1%}); "
            f"{len(everything)} in all"
        )
        return True

    def _measure(self, items: list[pytest.Item], notes: Path) -> int:
        """Run all tests as they are; note how long each takes and which lines of the module it reaches."""
        lines: set[int] = set()

        def enter(frame: Any, event: str, _: Any) -> Any:
            if frame.f_code.co_filename == str(self.path):
                lines.add(frame.f_lineno)
                return enter
            return None

        for item, following in zip(items, [*items[1:], None], strict=True):
            start, self.failed = sum(os.times()[:4]), False
            lines.clear()
            sys.settrace(enter)
            threading.settrace(enter)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            sys.settrace(None)
            if not self.failed:
                with notes.open("a") as file:
                    file.write(f"{item.nodeid}\t{sum(os.times()[:4]) - start}\t{' '.join(map(str, lines))}\n")
        return 0

    def _run(self, module: ModuleType, source: str, items: list[pytest.Item]) -> int:
        resource.setrlimit(resource.RLIMIT_AS, (40_000_000_000, 40_000_000_000))
        self.in_mutant = True
        try:
            exchange(module, source)
        except Exception:  # a mutant that cannot be imported is noticed
            return 1
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        return 0


def tests_of(module: Path) -> list[str]:
    """The test file that mirrors a module, or those that name it, or else its folder's."""
    inside = module.relative_to(ROOT / "mnflow")
    mirror = ROOT / "tests" / inside.with_name(f"test_{inside.name}")
    if mirror.exists():
        return [str(mirror)]
    room, name = ".".join(("mnflow", *inside.parts[:-1])), inside.stem
    named = re.compile(rf"{room}\.{name}\b|from {room} import [^\n]*\b{name}\b")
    found = [p for p in (ROOT / "tests").rglob("test_*.py") if "system" not in p.parts]
    return [str(p) for p in found if named.search(p.read_text())] or [str(mirror.parent)]


def count_each(modules: list[Path], tests: list[str], options: list[str]) -> int:
    """Count one module after the other, each in a process of its own; print a line for each.

    Survivors are in .mutants/survivors.
    """
    survivors = ROOT / ".mutants" / "survivors"
    survivors.mkdir(parents=True, exist_ok=True)
    failed = False
    for path in modules:
        command = [sys.executable, "-m", "tests.mutants", str(path), "--tests", *(tests or tests_of(path))]
        done = subprocess.run(
            [*command, *options], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        name = path.relative_to(ROOT).as_posix()
        (survivors / f"{name.replace('/', '.')}.txt").write_text(done.stdout)
        line = next((x for x in done.stdout.splitlines() if x.startswith(f"{name}: ")), None)
        print(line or f"{name}: no count", flush=True)
        failed = failed or line is None
    return int(failed)


def main() -> int:
    """Print the survivors of one module, and its score; or the scores of several modules."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="+", type=Path)
    parser.add_argument("--tests", nargs="+", default=[], help="default: those that mirror the module")
    parser.add_argument("--most", type=int, default=10_000, help="at most so many mutants, drawn at random")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--slow", type=float, default=10.0, help="tests of more seconds of processor time are left out"
    )
    args = parser.parse_args()
    modules = [path.resolve() for path in args.modules if not path.name.startswith("__")]
    if len(modules) > 1:
        options = [word for k in ("most", "seed", "slow") for word in (f"--{k}", str(getattr(args, k)))]
        return count_each(modules, args.tests, options)
    sys.path.append(str(ROOT / ".mutants"))
    runner = Runner(modules[0], args.most, args.seed, args.slow)
    options = ["-q", "-s", "-p", "no:cacheprovider", "--no-header", "-o", "addopts=-m 'not services'"]
    return int(pytest.main([*(args.tests or tests_of(modules[0])), *options], plugins=[runner]))


if __name__ == "__main__":
    sys.exit(main())
