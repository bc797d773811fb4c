"""Faults are tried for real; ``fault_table.py`` prints what came of each."""

import pytest

from tests.corpus.faults import FAULTS, NotPossible, tried
from tests.speech import train_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("faults") / "bundle"
    train_bundle(path)
    return path


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_then_rerun_gives_the_files_of_an_undisturbed_run(
    fault, bundle, tmp_path
):
    if "dask" in fault:
        pytest.importorskip("distributed")
    try:
        row = tried(fault, tmp_path / "lab", bundle)
    except NotPossible as reason:
        pytest.skip(str(reason))
    assert row.whole, "a partial file had its final name"
    assert (row.lost, row.doubled, row.equal) == (0, 0, True), row
