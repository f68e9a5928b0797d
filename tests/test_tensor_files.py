"""A file of tensors gives back what it was given, and only to a reader of its kind and version."""

import pytest
import torch

from nf_policies.tensor_files import Kind, read, write


class RecipeError(ValueError):
    """Of a recipe."""


KIND = Kind("recipe", RecipeError, "recipes", version=3, oldest=2)


def test_header_and_tensors_come_back_where_tensors_share_memory_and_where_they_are_transposed(tmp_path) -> None:
    whole = torch.arange(6.0).reshape(2, 3)
    write(tmp_path / "r.safetensors", KIND, {"a": [1, None]}, {"whole": whole, "part": whole[1], "turned": whole.T})
    header, tensors = read(tmp_path / "r.safetensors", KIND)
    assert header == {"version": 3, "a": [1, None]}
    assert torch.equal(tensors["whole"], whole)
    assert torch.equal(tensors["part"], whole[1])
    assert torch.equal(tensors["turned"], whole.T)


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        (1, "has version 1, .* reads 3: use an older one"),
        (2, ""),
        (4, "has version 4, .* reads 3: upgrade it"),
    ],
)
def test_versions_that_cannot_be_read_are_refused_with_what_would_work(version, sentence, tmp_path) -> None:
    write(tmp_path / "r.safetensors", KIND._replace(version=version), {}, {})
    if not sentence:
        assert read(tmp_path / "r.safetensors", KIND)[0] == {"version": version}
        return
    with pytest.raises(RecipeError, match=sentence):
        read(tmp_path / "r.safetensors", KIND)


def test_missing_cut_and_foreign_files_are_refused_with_the_callers_error(tmp_path) -> None:
    path = tmp_path / "r.safetensors"
    with pytest.raises(RecipeError, match="There is no recipe at"):
        read(path, KIND)
    write(path, KIND._replace(key="poems"), {}, {"x": torch.ones(3)})
    with pytest.raises(RecipeError, match="is a safetensors file, but not a recipe written by nf-policies"):
        read(path, KIND)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RecipeError, match="is not a whole recipe"):
        read(path, KIND)


def test_numbers_that_are_not_finite_are_kept_only_where_they_may_be(tmp_path) -> None:
    write(tmp_path / "r.safetensors", KIND, {"best": float("-inf")}, {})
    assert read(tmp_path / "r.safetensors", KIND)[0]["best"] == float("-inf")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(tmp_path / "r.safetensors", KIND, {"best": float("-inf")}, {}, allow_nan=False)
