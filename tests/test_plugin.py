import subprocess
import sys

import pytest

from espnet_dsu import plugin
from espnet_dsu.errors import DSUError


def run_python(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_alone_imports_neither_espnet_nor_torch():
    code = """
import sys, espnet_dsu
print([m for m in ('torch', 'espnet2') if m in sys.modules])
"""
    assert run_python(code) == "[]"


def test_import_before_espnet_registers_everything_and_again_changes_nothing():
    code = f"""
import espnet_dsu, importlib
import espnet2.train.dataset
from espnet_dsu import DiscreteUnitFrontend
for task in {plugin.FRONTEND_TASKS}:
    module = importlib.import_module("espnet2.tasks." + task)
    assert module.frontend_choices.get_class("discrete_unit") is DiscreteUnitFrontend
from espnet2.tasks.asr import preprocessor_choices
preprocessor_choices.get_class("discrete_unit")
assert "dsu_unit" in espnet2.train.dataset.DATA_TYPES
from espnet_dsu.plugin import register
register.cache_clear()
register()
print("ok")
"""
    assert run_python(code).endswith("ok")


def test_add_name_taken_by_another_is_refused_naming_both():
    registry = {"discrete_unit": int}
    with pytest.raises(DSUError, match="int.*str"):
        plugin._add(registry, "discrete_unit", str, "somewhere")
    assert registry == {"discrete_unit": int}


def test_add_same_value_again_is_accepted():
    registry = {}
    for _ in range(2):
        plugin._add(registry, "discrete_unit", str, "somewhere")
    assert registry == {"discrete_unit": str}


def test_data_type_hidden_by_another_is_refused():
    class Dataset:
        DATA_TYPES = {"dsu": {}}

    with pytest.raises(DSUError, match="hides"):
        plugin._register_data_type(Dataset)


def test_public_names_are_importable_and_unknown_ones_are_not():
    import espnet_dsu

    assert espnet_dsu.UnitSpec.__name__ == "UnitSpec"
    assert "UnitTokenizer" in dir(espnet_dsu)
    with pytest.raises(AttributeError, match="Nothing"):
        espnet_dsu.Nothing
