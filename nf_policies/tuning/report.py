"""What a search leaves: a preset, a picture of what mattered, and figures."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nf_policies.atomic import atomic_path
from nf_policies.runs.directory import write_json
from nf_policies.tuning.search import COMPARED, Plan, changed
from nf_policies.tuning.space import settings_of
from nf_policies.tuning.study import Study, value_of

PRESET, PICTURE = "preset.json", "importance.png"
Compared = dict[str, list[dict[str, Any]]]


def write_preset(run_dir: Path, study: Study, plan: Plan, command: str, env_id: str) -> None:
    """Write the best settings so far, as `--preset` reads them."""
    if best := study.best:
        settings = settings_of(best.params, plan.start)
        about = {"made_by": "nf-policies tune", "trial": best.number, "return": best.value}
        write_json(run_dir / PRESET, {"env_id": env_id, command: settings, "about": about})


def draw(run_dir: Path, study: Study, title: str) -> None:
    """Draw the values of the trials in their order, and below how much each setting decided."""
    importances = study.importances()
    figure = Figure(figsize=(8, 4 + 0.25 * len(importances)), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(3, max(1, 0.25 * len(importances))))
    styles = {"COMPLETE": ("o", "tab:blue", "to the end"), "PRUNED": ("x", "0.6", "stopped early")}
    for state, (marker, color, label) in styles.items():
        points = [(trial.number, value_of(trial)) for trial in study.trials(state)]
        numbers, values = np.array([point for point in points if point[1] is not None]).reshape(-1, 2).T
        above.scatter(numbers, values, marker=marker, color=color, label=label)
    if complete := study.trials("COMPLETE"):
        best = np.maximum.accumulate([trial.values[0] for trial in complete])
        above.step([trial.number for trial in complete], best, where="post", color="tab:red", label="best so far")
    if study.first.value is not None:
        above.axhline(study.first.value, color="0.3", linestyle=":", label="without options")
    above.set(title=title, xlabel="trial", ylabel="return")
    above.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)  # beside the trials, not above them
    above.grid(alpha=0.3)
    below.barh(list(importances)[::-1], list(importances.values())[::-1])
    below.set(xlabel="share in what parts the better half of the trials from all")
    if not importances:
        below.text(0.5, 0.5, "too few trials to say what mattered", ha="center", transform=below.transAxes)
        below.set(yticks=[])
    with atomic_path(run_dir / PICTURE) as temporary:
        figure.savefig(temporary, dpi=120)


def result_of(study: Study, plan: Plan, compared: Compared) -> dict[str, Any]:
    """Entries of result.json. The gain is that of the medians over fresh seeds."""
    first = study.first
    best = study.best or first
    returns = {side: [run["return_mean"] for run in runs] for side, runs in compared.items()}
    comparing = sum(note["env_steps"] for name, note in study.notes.items() if name.startswith(COMPARED))
    return {
        "trials": {state.lower(): len(study.trials(state)) for state in ("COMPLETE", "PRUNED", "FAIL")},
        "best_trial": best.number,
        "first_trial": first.number,
        "best_value": best.value,
        "first_value": first.value,
        "compared": compared,
        "gain": float(np.median(returns["best"]) - np.median(returns["first"])),
        "settings": settings_of(best.params, plan.start),
        "importances": study.importances(),
        "search_steps": study.env_steps,
        "comparison_steps": comparing,
        "env_steps": study.env_steps + comparing,
    }


def text_of(result: dict[str, Any], plan: Plan, command: str) -> str:
    """A result for people; `command` is the one to use the preset with."""
    best, first = ([run["return_mean"] for run in result["compared"][side]] for side in ("best", "first"))
    here = f"{np.median(first):.6g} (worst {min(first):.6g})"
    seeds = f"median of {len(first)} fresh seeds"
    if result["best_trial"] == result["first_trial"]:
        gain = f"nothing better was found than the settings without options, which return {here}, {seeds}"
    else:
        there = f"{np.median(best):.6g} (worst {min(best):.6g})"
        holds = "" if result["gain"] > 0 else ": what the search found does not hold"
        gain = f"the best settings return {there}, those without options {here}, {seeds}{holds}"
        gain += f"\nchanged: {changed(result['settings'], plan.start)}"
    done = ", ".join(f"{n} {state}" for state, n in result["trials"].items())
    return (
        f"{gain}\ntrials: {done}; {result['search_steps']:,} environment steps of searching and "
        f"{result['comparison_steps']:,} of comparing, {result['wall_seconds']:.1f} seconds\n"
        f"saved {result['preset']}; use it with: {command} --preset {result['preset']}\n"
    )
