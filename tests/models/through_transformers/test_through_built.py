"""The process that builds a model: what it is given, and every way it may end."""

import json
import sys

import pytest

from planner.base.errors import DataError, MissingPackageError, UnsupportedError
from planner.models import through_transformers
from planner.models.through_transformers import built

CONFIG = {"model_type": "anything", "auto_map": {"AutoConfig": "evil.py"}}
TORCH = "bfloat16 = 'bf16'\n"


@pytest.fixture
def pretend(tmp_path, monkeypatch):
    """Puts a package ``transformers`` of the given text, and a torch, before the real ones."""

    def put(text):
        for name, body in (("torch", TORCH), ("transformers", text)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "__init__.py").write_text(body)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        built._answer.cache_clear()

    return put


def build():
    return built.build_apart(CONFIG, "bfloat16", "c.json")


def test_without_the_packages_the_extra_is_named(pretend):
    pretend("raise ModuleNotFoundError('No module named \\'transformers\\'', name='transformers')")
    with pytest.raises(MissingPackageError, match="transformers") as caught:
        build()
    assert "precision-planner[hf]" in caught.value.hint


def test_a_process_that_dies_is_told(pretend):
    pretend("import os, sys\nsys.stderr.write('out of memory')\nsys.stderr.flush()\nos._exit(3)")
    with pytest.raises(DataError, match=r"status 3 .*out of memory"):
        build()


def test_a_process_that_hangs_is_stopped(pretend, monkeypatch):
    pretend("import time\ntime.sleep(600)")
    monkeypatch.setattr(built, "SECONDS", 0.5)
    with pytest.raises(DataError, match="was stopped"):
        build()


def test_an_unknown_type_is_told(pretend):
    pretend(
        "__version__ = '5.0'\nclass logging:\n    set_verbosity_error = staticmethod(print)\n"
        "def __getattr__(name):\n    raise AttributeError(name)"
    )
    with pytest.raises((DataError, UnsupportedError)):
        build()


def test_the_process_gets_no_way_to_a_hub(pretend):
    pretend(
        "import os\nassert os.environ['HF_HUB_OFFLINE'] == '1'\n"
        "assert os.environ['TRANSFORMERS_OFFLINE'] == '1'\nos._exit(7)"
    )
    with pytest.raises(DataError, match="status 7"):
        build()


def test_looking_whether_the_extra_is_there_imports_nothing():
    before = set(sys.modules)
    built.installed()
    assert not {name for name in set(sys.modules) - before if name.startswith(("torch", "transf"))}
    assert through_transformers.__doc__


def test_the_worker_takes_remote_code_out(monkeypatch):
    from planner.models.through_transformers import worker

    seen = {}

    class Library:
        class AutoConfig:
            @staticmethod
            def for_model(kind, **values):
                seen.update(values)
                raise RuntimeError("enough")

    monkeypatch.setattr(worker, "_known", lambda kind: True)
    with pytest.raises(RuntimeError, match="enough"):
        worker.built(
            {**CONFIG, "quantization_config": {}, "hidden_size": 3, "trust_remote_code": True},
            "bfloat16",
            None,
            Library,
        )
    assert seen == {"hidden_size": 3}
    assert json.dumps(seen)
