"""The structure of nf_policies: arrows between packages, no circles, short chains, short files."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "architecture.py"
spec = importlib.util.spec_from_file_location("architecture", SCRIPT)
architecture = importlib.util.module_from_spec(spec)
sys.modules["architecture"] = architecture
spec.loader.exec_module(architecture)
ROOT = architecture.ROOT


@pytest.fixture(scope="module")
def graph():
    return architecture.imports()


@pytest.fixture
def package(tmp_path):
    """A package of two modules in a circle, of which a third knows one."""
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "first.py").write_text("from small.second import thing\n")
    (folder / "second.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from small import first\n"
    )
    (folder / "third.py").write_text("import torch\ndef use():\n    import small.first\n")
    return folder


def test_imports_are_found_in_functions_and_under_type_checking(package) -> None:
    assert architecture.imports(package) == {
        "small": set(),
        "small.first": {"small.second"},
        "small.second": {"small.first"},
        "small.third": {"small.first"},
    }


def test_circles_and_chains_are_those_of_the_imports(package) -> None:
    graph = architecture.imports(package)
    assert architecture.circles(graph) == [["small.first", "small.second"]]
    assert architecture.longest_chain(graph, "small.third") == ["small.third", "small.first", "small.second"]


def test_relative_imports_are_refused(package) -> None:
    (package / "fourth.py").write_text("from . import first\n")
    with pytest.raises(ValueError, match="imports are absolute"):
        list(architecture.imported(package / "fourth.py"))


@pytest.mark.parametrize("name", architecture.MAY_IMPORT)
def test_imports_follow_the_arrows_and_name_the_defining_module(graph, name) -> None:
    own = {module: targets for module, targets in graph.items() if architecture.package_of(module) == name}
    assert own
    assert architecture.forbidden(own) == []


def test_every_module_lives_in_a_package_with_arrows(graph) -> None:
    assert {architecture.package_of(module) for module in graph} - {"", "__main__"} == set(architecture.MAY_IMPORT)


def test_no_modules_import_each_other(graph) -> None:
    assert architecture.circles(graph) == []


def test_the_longest_chain_of_imports_from_the_command_line_is_10_files(graph) -> None:
    chain = architecture.longest_chain(graph, "nf_policies.cli")
    assert len(chain) <= 10, " > ".join(chain)


def test_no_file_is_longer_than_300_lines() -> None:
    assert {file: n for file, n in architecture.lines(architecture.sources()).items() if n > 300} == {}


def test_the_package_has_no_more_lines_than_its_bound() -> None:
    assert sum(architecture.lines(architecture.modules().values()).values()) <= 19_700


def test_a_constructor_of_a_field_has_at_most_8_arguments() -> None:
    constructors = architecture.constructors(architecture.PACKAGE / "fields")
    assert {name: n for name, n in constructors.items() if n > 8} == {}


def test_an_option_of_a_field_is_written_in_fields_only() -> None:
    assert [place for place in architecture.places_of("integrator") if not place.startswith("fields/")] == []


@pytest.mark.parametrize(
    ("path", "bound"),
    [
        (architecture.observation_to_gradient, 15),
        (lambda: architecture.vector_to_return(batched=True), 15),
        (lambda: architecture.vector_to_return(batched=False), 14),
    ],
    ids=["observation to gradient", "vector to return, engine", "vector to return, Gymnasium"],
)
def test_few_files_run_on_a_path_through_the_package(path, bound) -> None:
    files = path()
    assert len(files) <= bound, files


def test_policies_and_tasks_meet_only_in_gymnasium() -> None:
    for folder, other in (("nf_policies", "nf_envs"), ("envs/nf_envs", "nf_policies")):
        for file in (ROOT / folder).rglob("*.py"):
            assert not any(module.split(".")[0] == other for module, _ in architecture.imported(file)), file


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("cma", {"evolution/strategy.py"}),
        ("stable_baselines3", {"ppo"}),
        ("triton", {"kernels"}),
        ("optuna", {"tuning"}),
        ("ray", {"cluster"}),
    ],
)
def test_other_peoples_libraries_are_known_in_one_place(library, homes) -> None:
    for file in architecture.PACKAGE.rglob("*.py"):
        if any(module.split(".")[0] == library for module, _ in architecture.imported(file)):
            place = file.relative_to(architecture.PACKAGE)
            assert {str(place), place.parts[0]} & homes, file


def test_the_page_on_the_architecture_names_every_package_and_every_module() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    modules = {name.rpartition(".")[2] for name in architecture.modules() if name.count(".")} - {"__main__"}
    assert sorted(name for name in modules if f"`{name}`" not in page) == []
