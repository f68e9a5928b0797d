"""CMA-ES behind ask and tell, maximising returns. The only file that imports pycma.

By default pycma minimises, draws from NumPy's global generator and stops on tolerances. Here the sign is turned once,
the generator is the strategy's own, and only the caller's budget ends the search (or a tolerance restarts it).

References: Hansen (2016), The CMA Evolution Strategy: A Tutorial; Auger and Hansen (2005), A restart CMA evolution
strategy with increasing population size; Hansen (2009), Benchmarking a BI-population CMA-ES; Akimoto and Hansen (2020),
Diagonal acceleration for covariance matrix adaptation evolution strategies.
"""

import copy
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, get_args

import cma
import msgspec
import numpy as np
import torch
from torch import Tensor

from nf_policies.evolution.pycma_state import capture, restore
from nf_policies.evolution.schema import SearchNumbers, candidates_of
from nf_policies.wording import reason_of

Restarts = Literal["none", "ipop", "bipop"]

NEVER: dict[str, Any] = {
    "tolx": 0,
    "tolfun": 0,
    "tolfunhist": 0,
    "tolflatfitness": np.inf,
    "tolstagnation": np.inf,
    "tolfacupx": np.inf,
    "tolupsigma": np.inf,
    "tolconditioncov": np.inf,
    "tolxstagnation": False,
    "maxiter": np.inf,
}
"""Options with which pycma never stops by itself: a flat or a noisy return is no reason to give up."""

PARAMETERS_MAX = 10_000
"""Whose covariance takes 800 MB, several times, and minutes to decompose."""

COUNTS = ("generation", "evaluations", "not_finite", "stop_reasons", "_spent", "_regime", "_doublings")
"""Attributes of a `Strategy` that its state holds as they are."""


class State(NamedTuple):
    """What a search or an evolution needs to continue exactly: JSON values, and tensors."""

    numbers: dict[str, Any]
    tensors: dict[str, Tensor]


class Strategy:
    """A search distribution over parameter vectors.

        population = strategy.ask()
        strategy.tell(returns_of(population))

    Args:
        start: Mean of the first generation. Shape: (n_parameters,), at least 2.
        scale: Natural step of each entry, multiplied with sigma. Shape: (n_parameters,).
        sigma: First standard deviation, in units of `scale`.
        pop_size: Candidates per generation; by default pycma's 4 + 3 log(n_parameters).
        seed: Of the own generator; the global one is not touched.
        restarts: "none": only the caller ends the search. "ipop": when pycma's tolerances say that a run has
            converged, restart with twice the population; "bipop": alternate these with small local runs.
        sigma_min: Lower bound of the step size: a search that shrinks too early goes on with steps of this size.
        restart_after: Start again, with the same population, where a run has not ended after this many generations:
            for tasks that are solved soon or, from an unlucky start, never.
        options: Further pycma options, copied.
    Raises: ValueError naming the argument that does not fit.
    """

    def __init__(
        self,
        start: np.ndarray,
        scale: np.ndarray,
        *,
        sigma: float = 1.0,
        pop_size: int | None = None,
        seed: int = 0,
        restarts: Restarts = "none",
        sigma_min: float = 0.0,
        restart_after: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        start, scale = np.asarray(start, dtype=np.float64), np.asarray(scale, dtype=np.float64)
        if start.size > PARAMETERS_MAX:
            raise ValueError(
                f"{start.size:,} parameters are too many for CMA-ES, which keeps one number per pair: evolve at most "
                f"{PARAMETERS_MAX:,} (fewer neurons, a smaller observation), or use nf-policies train."
            )
        if start.ndim != 1 or len(start) < 2 or not np.isfinite(start).all():
            raise ValueError("CMA-ES needs a start vector of at least two finite numbers.")
        if scale.shape != start.shape or not (np.isfinite(scale) & (scale > 0)).all():
            raise ValueError("The scale must hold one positive number for each entry of the start vector.")
        if not (np.isfinite(sigma) and sigma > 0):
            raise ValueError(f"sigma must be positive and finite, not {sigma}.")
        if not 0 <= sigma_min <= sigma:
            raise ValueError(f"sigma_min must be from 0 to sigma = {sigma}, not {sigma_min}.")
        if restart_after is not None and restart_after < 1:
            raise ValueError(f"A run must have at least 1 generation before a restart, not {restart_after}.")
        if pop_size is not None and pop_size < 3:
            raise ValueError(f"CMA-ES needs a population of at least 3, not {pop_size}.")
        if restarts not in get_args(Restarts):
            raise ValueError(f"Unknown restarts {restarts!r}: choose {', '.join(get_args(Restarts))}.")
        self._start, self._scale, self._sigma, self._restarts = start, scale, float(sigma), restarts
        self._sigma_min, self._restart_after = float(sigma_min), restart_after
        self._rng = np.random.default_rng(seed)
        self._options = dict(options or {})
        self._search = self._begin(start, scale, self._sigma, {} if pop_size is None else {"popsize": pop_size})
        self._pop_size, self._first_max_iterations = int(self._search.popsize), self._search.opts["maxiter"]
        self._spent, self._regime, self._doublings = {"small": 0, "large": 0}, "first", 0
        self._asked: list[np.ndarray] = []
        self.generation = self.evaluations = self.not_finite = 0
        """Generations told so far, over all restarts, candidates, and candidates whose return was not finite."""
        self.stop_reasons: Counter[str] = Counter()
        """Why finished runs were restarted, in pycma's words, and how often."""

    def _begin(self, start: np.ndarray, scale: np.ndarray, sigma: float, options: Mapping[str, Any]) -> Any:
        own = {
            "CMA_stds": scale.copy(),
            "randn": lambda *shape: self._rng.standard_normal(shape),
            "seed": np.nan,
            "verbose": -9,
            "signals_filename": "",
            "CMA_diagonal_decoding": 1,
        }
        tolerances = NEVER if self._restarts == "none" else {"tolflatfitness": 20}
        self._begun = sigma, dict(options)
        search = cma.CMAEvolutionStrategy(start.copy(), sigma, {**tolerances, **self._options, **own, **options})
        # From 300 parameters on, pycma would draw from NumPy's global generator to check itself.
        search.adapt_sigma.check_consistency = lambda search: None
        return search

    @property
    def mean(self) -> np.ndarray:
        """The favourite: the mean of the search distribution. Shape: (n_parameters,)."""
        # pycma may have changed its coordinates: where the covariance is nearly singular it does.
        return np.array(self._search.gp.pheno(self._search.mean))

    @property
    def pop_size(self) -> int:
        """Candidates of a generation, without restarts that enlarge it."""
        return self._pop_size

    @property
    def sigma(self) -> float:
        """The overall step size."""
        return float(self._search.sigma)

    def ask(self) -> np.ndarray:
        """Draw a generation. Shape: (pop_size, n_parameters)."""
        self._asked = self._search.ask()
        return np.array(self._asked)

    def tell(self, returns: np.ndarray) -> None:
        """Learn from the returns (pop_size,) of the generation asked for; what is not finite ranks last."""
        returns = np.array(returns, dtype=np.float64)
        if returns.shape != (len(self._asked),):
            raise ValueError(f"There are {len(self._asked)} candidates to be told about, not {returns.shape}.")
        finite = np.isfinite(returns)
        self.not_finite += int((~finite).sum())
        returns[~finite] = returns[finite].min() - 1 if finite.any() else 0.0
        self._search.tell(self._asked, -returns)  # pycma minimises
        self.generation += 1
        self.evaluations += len(returns)
        self._search.sigma = max(self._search.sigma, self._sigma_min)
        if self._restarts == "none":  # these histories grow, and only tolerances read them
            self._search.fit.histbest.clear()
            self._search.fit.histmedian.clear()
        if self._restarts != "none" and (reasons := self._search.stop()):
            self.stop_reasons[", ".join(reasons)] += 1
            self._restart()
        elif self._restart_after and self._search.countiter >= self._restart_after:
            self.stop_reasons["restart_after"] += 1
            self._search = self._begin(self._another_start(), self._scale, self._sigma, {"popsize": self._pop_size})
        self._asked = []

    def double(self) -> None:
        """Go on with twice the candidates from the mean and deviations there are; correlations are learnt anew."""
        before = self._search
        options = {"popsize": 2 * before.popsize}
        self._search = self._begin(self.mean, before.stds / before.sigma, before.sigma, options)

    def _restart(self) -> None:
        used = int(self._search.countevals)
        if self._regime in self._spent:
            self._spent[self._regime] += used
        doubled = self._pop_size * 2 ** (self._doublings + 1)
        sigma, pop_size, max_iterations = self._sigma, doubled, self._first_max_iterations
        if self._restarts == "bipop" and self._doublings and self._spent["small"] < self._spent["large"]:
            # Hansen (2009): a local run, of half the budget of the large ones at most.
            self._regime = "small"
            sigma *= 0.01 ** self._rng.random()
            largest = 2.0**self._doublings
            pop_size = int(self._pop_size * largest ** (self._rng.random() ** 2))
            max_iterations = min(max_iterations, 0.5 * self._spent["large"] / pop_size)
        else:
            self._regime = "large"
            self._doublings += 1
        options = {"popsize": pop_size, "maxiter": max_iterations}
        self._search = self._begin(self._another_start(), self._scale, sigma, options)

    def _another_start(self) -> np.ndarray:
        return self._start + self._sigma * self._scale * self._rng.standard_normal(len(self._start))

    def state(self) -> State:
        """All that the next generations depend on; a ValueError between `ask` and `tell`."""
        if len(self._asked):
            raise ValueError("A generation is under way: a search has a state after tell, before the next ask.")
        tree, arrays = capture(self._search)
        numbers = {"made_with": self._made_with(), "begun": self._begun, "search": tree}
        numbers["generator"] = self._rng.bit_generator.state
        numbers |= {name: copy.copy(getattr(self, name)) for name in COUNTS}
        return State(numbers, {name: torch.from_numpy(array) for name, array in arrays.items()})

    def load(self, state: tuple[dict[str, Any], Mapping[str, Tensor]]) -> None:
        """Go to where a search was, from its `state`; a ValueError for other arguments, another cma, or damage."""
        numbers, tensors = state
        try:
            msgspec.convert(numbers, SearchNumbers)
            for name, here in self._made_with().items():
                if (there := numbers["made_with"][name]) != here:
                    values = "" if isinstance(here, list) else f", {there} and not {here}"
                    raise ValueError(f"This search cannot be continued exactly: it began with another {name}{values}.")
            if numbers["begun"][1].get("popsize", self._pop_size) != candidates_of(numbers):
                raise TypeError("it is of another population")
            for slope in (1.0, 0.0, -1.0):  # each from there: one generation may hide what another misses
                self._continue(numbers, tensors)
                self._try_out(slope)
            self._continue(numbers, tensors)
        except Exception as error:  # whatever a damaged state makes go wrong, in pycma too
            if type(error) is ValueError:
                raise
            words = reason_of(error)
            raise ValueError(f"The state of the search is not whole ({words}).") from error

    def _continue(self, numbers: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go to where a search was."""
        sigma, options = numbers["begun"]
        search = self._begin(self._start, self._scale, sigma, options)
        search.ask()  # pycma makes some of its objects late
        sizes = {name: value for name, value in vars(search.sp).items() if isinstance(value, int)}
        restore(search, numbers["search"], {name: tensor.numpy() for name, tensor in tensors.items()})
        if len(self._start) != search.N or any(vars(search.sp)[name] != size for name, size in sizes.items()):
            raise TypeError("it is of another size")
        self._rng.bit_generator.state = numbers["generator"]
        for name in COUNTS:
            value = getattr(self, name)
            setattr(self, name, type(value)(numbers[name]))
        self._search, self._asked = search, []

    def _try_out(self, slope: float) -> None:
        """Play two generations, of equals where the slope is 0, so that what cannot go on is found now."""
        with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
            warnings.simplefilter("ignore")
            for _ in range(2):
                population = self.ask()
                if population.shape[1:] != self._start.shape or not np.isfinite([*population, self.mean]).all():
                    raise TypeError("its numbers are not finite")
                self.tell(slope * np.arange(len(population)))

    def _made_with(self) -> dict[str, Any]:
        """What must be the same where a search is continued."""
        vectors = {"cma": cma.__version__, "start": self._start.tolist(), "scale": self._scale.tolist()}
        rest = ("sigma", "pop_size", "restarts", "sigma_min", "restart_after")
        return vectors | {name: getattr(self, f"_{name}") for name in rest}
