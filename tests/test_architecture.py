"""The arrows between packages, read from their imports."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "atomic": set(),
    "compiling": set(),
    "fields": set(),
    "policies": {"atomic", "fields"},
    "evolution": {"atomic", "compiling", "fields", "policies"},
    "ppo": {"atomic", "compiling", "fields", "policies"},
    "rollouts": {"atomic", "fields", "policies"},
    "runs": {"atomic"},
    "commands": {"atomic", "fields", "policies", "evolution", "ppo", "rollouts", "runs"},
}


def imported(file: Path) -> set[str]:
    """Modules that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_follow_the_arrows(package) -> None:
    home = ROOT / "nf_policies"
    files = sorted((home / package).rglob("*.py")) or [home / f"{package}.py"]
    for file in files:
        used = {name.split(".")[1] for name in imported(file) if name.startswith("nf_policies.")}
        assert used <= MAY_IMPORT[package] | {package}, file


def test_policies_and_tasks_meet_only_in_gymnasium() -> None:
    for package, other in (("nf_policies", "nf_envs"), ("envs/nf_envs", "nf_policies")):
        for file in (ROOT / package).rglob("*.py"):
            assert not any(name.split(".")[0] == other for name in imported(file)), file


def test_only_one_file_knows_pycma() -> None:
    users = [file.name for file in (ROOT / "nf_policies").rglob("*.py") if "cma" in imported(file)]
    assert users == ["strategy.py"]
