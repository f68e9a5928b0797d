"""What can be known of the GPU's recurrence without a GPU: when it is chosen, that it is right, that it compiles."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from nf_policies.fields import SimpleNeuralField
from nf_policies.kernels import gpu
from nf_policies.kernels.operator import SOLVERS, Problem, solver_of

PARITY = Path(__file__).with_name("gpu_parity.py")
HOPPER = 90

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None,
    reason="Triton is not installed: pip install --no-deps triton==3.7.1 (200 MB; no GPU is needed)",
)


def problem(hidden: int = 8, time: int = 4, **options) -> Problem:
    """Zeros, on the device and in the dtype that are asked for."""
    return Problem(
        inputs=torch.zeros(time, 16, 3, **options),
        potentials=torch.zeros(16, hidden, **options),
        episode_starts=torch.zeros(time, 16, **options | {"dtype": torch.bool}),
        lateral=torch.zeros(hidden, hidden, **options),
        neurons=torch.zeros(7, hidden, **options),
        weights_in=torch.zeros(hidden, 3, **options),
        bias_in=torch.zeros(hidden, **options),
        weights_out=torch.zeros(2, hidden, **options),
        bias_out=torch.zeros(2, **options),
        activation="tanh",
        power=2,
        leak=1.0,
    )


@pytest.fixture
def pretended_gpu(monkeypatch) -> FakeTensorMode:
    """Tensors without numbers, of which torch believes that they are on a GPU, and Triton beside them."""
    monkeypatch.setattr(gpu, "neurons_max", lambda device: 128)
    return FakeTensorMode()


def test_single_precision_on_a_gpu_goes_to_triton(pretended_gpu) -> None:
    with pretended_gpu:
        assert solver_of(problem(device="cuda")) is gpu
        assert solver_of(problem(128, device="cuda")) is gpu


@pytest.mark.parametrize(
    "options",
    [{"device": "cpu"}, {"dtype": torch.float64}, {"hidden": 129}, {"time": 0}],
    ids=["a CPU", "double precision", "more than 128 neurons", "an empty sequence"],
)
def test_what_triton_cannot_do_goes_elsewhere(options, pretended_gpu) -> None:
    with pretended_gpu:
        assert solver_of(problem(**{"device": "cuda"} | options)) is not gpu


def test_without_triton_nothing_goes_to_triton(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(gpu, "neurons_max", gpu.neurons_max.__wrapped__)
    with FakeTensorMode():
        assert solver_of(problem(device="cuda")) is None


@pytest.mark.parametrize(
    ("capability", "kilobytes", "most"),
    [((7, 5), 64, 0), ((8, 0), 163, 128), ((8, 6), 99, 64), ((9, 0), 227, 128), ((12, 0), 99, 64)],
    ids=["T4", "A100", "RTX 3090", "H100", "RTX 5090"],
)
def test_the_number_of_neurons_is_limited_by_the_gpu(capability, kilobytes, most, monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    properties = SimpleNamespace(shared_memory_per_block_optin=kilobytes * 1024)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    assert gpu.neurons_max.__wrapped__(torch.device("cuda")) == most


def test_the_user_can_turn_triton_off(pretended_gpu, monkeypatch) -> None:
    monkeypatch.setenv("NF_POLICIES_FUSED", "0")
    with pretended_gpu:
        assert solver_of(problem(device="cuda")) is None


def test_torchs_compiler_takes_what_a_gpu_can_do_for_a_constant(pretended_gpu) -> None:
    compiled = torch.compile(lambda x: x + gpu.hidden_max(x.device), fullgraph=True, backend="eager")
    assert compiled(torch.zeros(2)).tolist() == [128, 128]


def test_a_field_on_a_gpu_goes_to_triton(pretended_gpu, monkeypatch) -> None:
    class Reached(Exception):  # noqa: N818
        pass

    def forward(p: Problem) -> None:
        raise Reached(p.activation)

    monkeypatch.setattr(gpu, "forward", forward)
    monkeypatch.setattr(gpu, "fits", lambda p: True)
    monkeypatch.setitem(SOLVERS, "cpu", gpu)  # a stand-in that has numbers
    with pytest.raises(Reached, match="sigmoid"):
        SimpleNeuralField(3, 2, activation="sigmoid")(torch.zeros(4, 5, 3))


def test_importing_the_package_does_not_import_triton() -> None:
    program = "import sys, nf_policies.kernels.gpu, nf_policies.fields; assert 'triton' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


@needs_triton
def test_interpreted_kernels_equal_the_reference() -> None:
    run_parity_tests("1")


@needs_triton
@pytest.mark.gpu
def test_kernels_equal_the_reference_on_a_gpu() -> None:
    run_parity_tests("0")


def run_parity_tests(interpret: str) -> None:
    """The tests of `gpu_parity.py`, in a process in which Triton interprets or does not."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(PARITY)]
    environment = os.environ | {"TRITON_INTERPRET": interpret}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    assert re.search(r"\d\d passed", result.stdout), result.stdout


@needs_triton
@pytest.mark.parametrize(("hidden", "spilled"), [*((hidden, 0) for hidden in (1, 8, 16, 32, 64)), (128, 128)])
@pytest.mark.parametrize("kernel", ["forward", "backward"])
def test_kernels_compile_for_hopper_and_keep_their_numbers_in_registers(
    kernel, hidden, spilled, tmp_path, monkeypatch
) -> None:
    """With all that a problem can have. At 128 neurons a few of the backward pass's numbers spill."""
    import triton
    from triton.backends.compiler import GPUTarget

    from nf_policies.kernels import triton_kernels

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    function = getattr(triton_kernels, kernel)
    cut = gpu.tiling(hidden)
    flags = {"reads": True, "watched": True} if kernel == "backward" else {"reads": True}
    constants = gpu.constants(problem(hidden), getattr(cut, kernel), **flags)
    options = {name: constants.pop(name) for name in ("num_warps", "num_stages")}
    others = {"time": "i32", "batch": "i32", "c0": "fp32", "starts": "*u8"}
    signature = {n: "constexpr" if n in constants else others.get(n, "*fp32") for n in function.arg_names}
    pointers = [i for i, name in enumerate(function.arg_names) if signature[name].startswith("*")]
    source = triton.compiler.ASTSource(
        function, signature, constants, attrs={(i,): [["tt.divisibility", 16]] for i in pointers}
    )
    compiled = triton.compile(source, target=GPUTarget("cuda", HOPPER, 32), options=options)

    assert compiled.metadata.shared <= gpu.SHARED_MEMORY[max(64, hidden)]
    ptx = tmp_path / "kernel.ptx"
    ptx.write_text(compiled.asm["ptx"])
    ptxas = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"
    command = [str(ptxas), "-v", f"-arch=sm_{HOPPER}a", str(ptx), "-o", str(tmp_path / "kernel.cubin")]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    spills = [int(found) for found in re.findall(r"(\d+) bytes spill", said)]
    assert len(spills) == 2, said
    assert max(spills) <= spilled, said
    uses_tensor_cores = bool(re.search(r"wgmma\.|mma\.sync", compiled.asm["ptx"]))
    assert uses_tensor_cores == (hidden >= gpu.TENSOR_CORES_FROM)
