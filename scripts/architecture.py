"""Measure the structure of nf_policies: files on a path, import chains, circles, sizes.

    python scripts/architecture.py            # the figures
    python scripts/architecture.py --check    # exit 1 where a bound is passed

Modules are nodes. Every import statement is an edge, wherever it stands: in functions and under TYPE_CHECKING, too.
`from package import name` leads to the package, unless name is a module.
"""

import ast
import functools
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import tyro

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "nf_policies"
Graph = dict[str, set[str]]

MAY_IMPORT: dict[str, set[str]] = {
    "wording": set(),
    "atomic": {"wording"},
    "memory": set(),
    "stopping": set(),
    "terminal": set(),
    "tensor_files": {"atomic", "wording"},
    "kernels": {"memory", "wording"},
    "fields": {"kernels"},
    "policies": {"fields", "tensor_files"},
    "worker_process": set(),
    "ranks": {"stopping", "wording"},
    "tasks": {"worker_process", "wording"},
    "rollouts": {"atomic", "memory", "fields", "policies", "tasks", "kernels.compiling"},
    "evolution": {"fields", "policies", "rollouts.play", "wording"},
    "cluster": {"atomic", "runs.directory", "tasks", "sweeps", "wording"},
    "ppo": {
        *("ranks", "fields", "policies", "rollouts.play", "kernels.compiling", "tensor_files", "wording"),
        *("tasks.description", "tasks.faults"),
    },
    "runs": {"atomic", "stopping", "tensor_files", "wording"},
    "tuning": {"atomic", "runs", "worker_process"},
    "sweeps": {"atomic", "runs"},
    "export": {"atomic", "fields", "policies", "rollouts", "tasks", "kernels.operator", "wording"},
    "playground": {"evolution.start", "fields", "policies", "tasks"},
    "commands": {
        *("atomic", "stopping", "fields", "policies", "tasks", "rollouts", "evolution", "ppo", "runs", "tuning"),
        *("cluster", "sweeps", "export", "playground", "ranks"),
    },
    "cli": {"commands", "memory", "stopping", "tasks.faults", "terminal"},
}
"""What a package may import of the others: a whole package, or one module of it."""


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """All modules of a package by their dotted name; a package goes by its own."""
    found = {}
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imported(file: Path) -> Iterator[tuple[str, str | None]]:
    """(module, name) of each import statement of a file; name is None for `import module`."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{file}:{node.lineno}: imports are absolute.")
            yield from ((node.module or "", alias.name) for alias in node.names)


@functools.cache
def imports(package: Path = PACKAGE) -> Graph:
    """The modules of a package that each of its modules imports."""
    known = modules(package)
    graph: Graph = {name: set() for name in known}
    for name, file in known.items():
        for module, member in imported(file):
            target = f"{module}.{member}"
            target = target if target in known else module
            if target in known and target != name:
                graph[name].add(target)
    return graph


def circles(graph: Graph) -> list[list[str]]:
    """Groups of modules that import each other, directly or through others."""
    reach = {name: reachable(graph, name) for name in graph}
    groups = {frozenset(other for other in reach[name] if name in reach[other]) for name in graph}
    return sorted(sorted(group) for group in groups if group)


def reachable(graph: Graph, start: str) -> set[str]:
    """What a module imports, directly or through others."""
    seen: set[str] = set()
    ahead = [*graph[start]]
    while ahead:
        name = ahead.pop()
        if name not in seen:
            seen.add(name)
            ahead.extend(graph[name])
    return seen


def longest_chain(graph: Graph, start: str) -> list[str]:
    """The longest chain of imports from a module; each circle is cut where the search meets it again."""
    known: dict[str, list[str]] = {}

    def chain(name: str, above: tuple[str, ...]) -> list[str]:
        if name not in known:
            below = [chain(other, (*above, name)) for other in sorted(graph[name]) if other not in (*above, name)]
            known[name] = [name, *max(below, key=len, default=[])]
        return known[name]

    return chain(start, ())


def files_that_ran(call: Callable[[], object]) -> list[str]:
    """The files of nf_policies with a function that runs in a call."""
    seen: set[str] = set()

    def watch(frame: Any, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_name != "<module>":
            seen.add(frame.f_code.co_filename)

    sys.setprofile(watch)
    try:
        call()
    finally:
        sys.setprofile(None)
    return sorted(str(Path(file).relative_to(PACKAGE)) for file in seen if file.startswith(f"{PACKAGE}/"))


def observation_to_gradient() -> list[str]:
    """Files that run while PPO collects and updates, the second time."""
    from nf_policies.ppo import FieldPPO

    options: dict[str, Any] = {"n_steps": 128, "batch_size": 128, "n_epochs": 1, "seed": 0, "device": "cpu"}
    model = FieldPPO("NeuralFieldPolicy", "Pendulum-v1", **options).learn(256)
    return files_that_ran(lambda: model.learn(256))


def vector_to_return(*, batched: bool) -> list[str]:
    """Files that run in the second generation of an evolution, by the engine or on Gymnasium's environments."""
    import torch

    from nf_policies import Policy, SimpleNeuralField
    from nf_policies.evolution.evolution import Evolution
    from nf_policies.rollouts.engine import Engine
    from nf_policies.tasks.batched import make_batched
    from nf_policies.tasks.side_by_side import make_envs

    envs = make_batched("nf/CartPole-v1") if batched else make_envs("CartPole-v1", 8)
    field = SimpleNeuralField(2, 1, dynamics="linear", activation="tanh", generator=torch.Generator().manual_seed(0))
    policy = Policy(field, envs.single_observation_space, envs.single_action_space, visible=[0, 2])
    evolution = Evolution(policy, Engine(envs) if batched else envs, seed=0, pop_size=4, episodes=2)
    evolution.step()
    return files_that_ran(evolution.step)


def lines(files: Iterable[Path]) -> dict[str, int]:
    """Lines of each file, the longest first."""
    counted = {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8").count("\n") for file in files}
    return dict(sorted(counted.items(), key=lambda pair: -pair[1]))


def sources() -> list[Path]:
    """The files of which none may be long: both packages and the scripts."""
    folders = (PACKAGE, ROOT / "envs", ROOT / "scripts")
    ends = (".py", ".cpp", ".h", ".hpp", ".sh", ".js", ".css", ".html")
    return [file for folder in folders for file in sorted(folder.rglob("*")) if file.suffix in ends]


def constructors(folder: Path) -> dict[str, int]:
    """Number of named arguments of each class's constructor, the widest first."""
    found = {}
    for file in folder.rglob("*.py"):
        for cls in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for method in cls.body if isinstance(cls, ast.ClassDef) else ():
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    a = method.args
                    found[f"{file.stem}.{cls.name}"] = len(a.posonlyargs + a.args + a.kwonlyargs) - 1  # type: ignore[attr-defined]
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


def places_of(option: str) -> list[str]:
    """Files of nf_policies that name an option: as a name, argument, attribute or string."""
    found = []
    for file in modules().values():
        words = {
            getattr(node, key, None)
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            for key in ("id", "arg", "attr", "value")
            if isinstance(getattr(node, key, None), str)
        }
        if option in words:
            found.append(str(file.relative_to(PACKAGE)))
    return sorted(found)


def package_of(module: str) -> str:
    """The first name below nf_policies."""
    return module.split(".")[1] if "." in module else ""


def forbidden(graph: Graph) -> list[str]:
    """Imports against the arrows, or from a package where the defining module is meant."""
    wrong = []
    for name, targets in graph.items():
        own = package_of(name)
        for target in sorted(targets):
            below = target.removeprefix("nf_policies.")
            allowed = package_of(target) == own or any(
                below == part or below.startswith(f"{part}.") for part in MAY_IMPORT.get(own, MAY_IMPORT)
            )
            is_package = modules()[target].name == "__init__.py"
            is_contents = modules()[name].name == "__init__.py"
            if (own and not allowed) or (is_package and not is_contents):
                wrong.append(f"{name} imports {target}")
    return wrong


class Figure(NamedTuple):
    """A counted property, its bound and what it consists of."""

    name: str
    value: int
    bound: int
    details: str

    @property
    def passed(self) -> bool:
        """Whether the value keeps to its bound."""
        return self.value <= self.bound


def figures(*, run: bool = True) -> list[Figure]:
    """All figures that have a bound; without `run`, only those of the text."""
    graph = imports()
    chain = longest_chain(graph, "nf_policies.cli")
    round_trips, wrong = circles(graph), forbidden(graph)
    long, total = lines(sources()), lines(modules().values())
    wide = constructors(PACKAGE / "fields")
    named = [place for place in places_of("integrator") if not place.startswith("fields/")]
    found = [
        Figure("longest chain of imports from cli", len(chain), 10, " > ".join(chain).replace("nf_policies.", "")),
        Figure("circles of imports", len(round_trips), 0, "; ".join(map(", ".join, round_trips))),
        Figure("imports against the arrows", len(wrong), 0, "; ".join(wrong)),
        Figure("longest file", max(long.values()), 300, ", ".join(f"{f} {n}" for f, n in long.items() if n > 290)),
        Figure("lines of nf_policies", sum(total.values()), 19_700, f"{len(total)} files"),
        Figure("arguments of a field's constructor", max(wide.values()), 8, next(iter(wide))),
        Figure("files outside fields that name its integrator", len(named), 0, ", ".join(named)),
    ]
    if run:
        paths = (
            ("files from observation to gradient", 15, observation_to_gradient),
            ("files from vector to return, engine", 15, lambda: vector_to_return(batched=True)),
            ("files from vector to return, Gymnasium", 14, lambda: vector_to_return(batched=False)),
        )
        for name, bound, path in paths:
            ran = path()
            found.append(Figure(name, len(ran), bound, ", ".join(ran)))
    return found


@dataclass
class Options:
    """Options of the script."""

    check: bool = False
    """Exit with 1 where a bound is passed."""
    verbose: bool = False
    """Say what each figure consists of, even where it keeps to its bound."""


def main(options: Options) -> None:
    """Print every figure with its bound."""
    found = figures()
    for figure in found:
        print(f"{'ok  ' if figure.passed else 'OVER'} {figure.name}: {figure.value:,} (at most {figure.bound:,})")
        if figure.details and (options.verbose or not figure.passed):
            print(f"     {figure.details}")
    if options.check and not all(figure.passed for figure in found):
        raise SystemExit(1)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
