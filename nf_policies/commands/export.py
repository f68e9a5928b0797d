"""nf-policies export: a saved policy as code for a robot, a chip, a runtime or a page."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from nf_policies.commands.tables import drawn
from nf_policies.runs.directory import to_json


@dataclass
class Export:
    """Write a saved policy as code that needs no nf-policies, with everything inside: normaliser, memory and head.

    Every target gets the robot card: entries with names and units, control rate, initial memory and score.
    """

    file: tyro.conf.Positional[Path]  # Policy file, as evolve and train save it.
    to: tuple[Literal["c", "onnx", "torch", "numpy", "js", "card"], ...] = ()  # Targets, one or several.
    out: Path | None = None  # Where to, without suffix; by default beside the policy file.
    check: bool = False  # Replay recorded episodes on all targets that run here, beside the policy, and print a table.
    steps: int = 1000  # Steps of these episodes.
    double: bool = False  # C in double precision rather than float.
    polynomial: bool = False  # A polynomial in place of tanh and sigmoid: faster on chips, the card states its error.
    opset: int = 18  # Version of ONNX's operators.
    rate: float | None = None  # Control steps per second; by default as the task says.
    facts: Path | None = None  # JSON file: {"rate_hz": 50, "observation_names": ["angle [rad]"], "action_names": […]}.
    json: bool = False  # Print one JSON object.

    def run(self, messages: Console) -> str:
        """Load, print and write. Returns the text for stdout."""
        from nf_policies.export.check import check, limit_of
        from nf_policies.export.facts import Facts, facts_of, read_facts, together
        from nf_policies.export.needs import ExportError
        from nf_policies.export.write import Request, write
        from nf_policies.policies.policy import Policy

        if not self.to and not self.check:
            raise ExportError("Say what to export to: --to c, onnx, torch, numpy, js or card; or --check.")
        if self.steps < 2:
            raise ExportError(f"--steps must be at least 2, not {self.steps}.")
        if self.rate is not None and not self.rate > 0:
            raise ExportError(f"The rate must be above 0, not {self.rate:g}.")
        policy = Policy.load(self.file)
        given = Facts(rate_hz=self.rate)
        of_file = read_facts(self.facts) if self.facts else Facts()
        known = together(given, of_file, facts_of(policy.env_id, policy.env_spec, policy.names))
        request = Request(known, score_beside(self.file), self.double, self.polynomial, self.opset)
        out = self.out or self.file.with_suffix("")
        files = [file for target in self.to for file in write(policy, target, out, request)]
        rows = check(policy, request, steps=self.steps) if self.check else []
        limit = limit_of(policy)
        if self.json:
            table = [row._asdict() for row in rows]
            return to_json({"files": list(map(str, files)), "limit": limit, "check": table}) + "\n"
        told = "".join(f"wrote {file}\n" for file in files)
        return told + (_summary(rows, self.steps, limit) if rows else "")


def score_beside(file: Path) -> dict[str, Any] | None:
    """What a run found out about its policy, where its folder says so."""
    try:
        found = json.loads((file.parent / "result.json").read_text(encoding="utf-8"))
        return {name: found[name] for name in ("env_id", "episodes", "seed", "return_mean", "return_std", "return_min")}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _summary(rows: list[Any], steps: int, limit: float) -> str:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("target", "largest difference", "step [µs]", "size [bytes]"):
        table.add_column(name, justify="left" if name == "target" else "right")
    for row in rows:
        if row.problem:
            table.add_row(row.target, "–", "–", f"{row.size:,}" if row.size else "–", row.problem)
        else:
            table.add_row(row.target, f"{row.difference:.1e}", f"{row.seconds * 1e6:,.2f}", f"{row.size:,}")
    worst = max((row.difference for row in rows if row.difference is not None), default=0.0)
    verdict = "within" if worst <= limit else "ABOVE"
    return f"{drawn(table)}{steps:,} recorded steps; {verdict} {limit:.1e} of what the policy does\n"
