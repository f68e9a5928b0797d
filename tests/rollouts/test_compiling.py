"""What is compiled follows what changes, and only compiling that fails falls back."""

from types import SimpleNamespace

import pytest
import torch

from nf_policies.kernels.compiling import options, where_possible

COMPILER = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # from inside torch.compile


def fails(error: Exception):
    def fast(*_arguments):
        raise error

    return fast


def test_a_function_that_cannot_be_compiled_runs_plain_after_one_warning() -> None:
    told: list[bool] = []
    call = where_possible(fails(RuntimeError("no compiler")), lambda x: x + 1, lambda: told.append(True))
    with pytest.warns(UserWarning, match="not possible here, so steps run one by one: no compiler"):
        assert call(1) == 2
    assert call(2) == 3
    assert told == [True]


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("CUDA"), RuntimeError("DefaultCPUAllocator: can't allocate memory: 1 TB")],
)
def test_running_out_of_memory_is_no_failure_to_compile(error) -> None:
    call = where_possible(fails(error), lambda x: x + 1)
    with pytest.raises(type(error)):
        call(1)


@pytest.mark.slow
@COMPILER
def test_a_compiled_function_sees_the_task_s_constants_its_time_limit_dtypes_and_the_grad_mode() -> None:
    task = SimpleNamespace(params=SimpleNamespace(gravity=1.0), max_episode_steps=5)
    owner = SimpleNamespace(task=task)

    def step(x):
        made = torch.zeros(()) + x * owner.task.params.gravity
        return made + owner.task.max_episode_steps, torch.is_grad_enabled()

    fast = torch.compile(step, **options(4))

    def assert_same() -> None:
        (a, grad_a), (b, grad_b) = fast(torch.ones(4)), step(torch.ones(4))
        assert torch.equal(a, b)
        assert a.dtype == b.dtype
        assert grad_a == grad_b

    assert_same()
    task.params = SimpleNamespace(gravity=3.0)
    assert_same()
    task.max_episode_steps = 7
    assert_same()
    with torch.no_grad():
        assert_same()
    try:
        torch.set_default_dtype(torch.float64)
        assert_same()
    finally:
        torch.set_default_dtype(torch.float32)
