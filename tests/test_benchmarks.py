from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SCRIPTS = sorted([*TESTS.glob("benchmarks/*.py"), *TESTS.parent.glob("docs/*/*.py")])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_finds_what_it_imports(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # what some set is undone
    monkeypatch.syspath_prepend(path.parent)  # as where it is run
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    is_script = "__main__" in path.read_text()  # the others are imported by some
    assert callable(getattr(module, "main", None)) == is_script
