import asyncio
import gc

import numpy as np
import pytest

from ocr_model.decoding.lexicon import Lexicon
from ocr_model.errors import BundleError
from ocr_model.inference.recognizer import Recognizer
from serve.batcher import Batcher
from serve.config import WordsConfig
from serve.messages import Fault, WordJob, WordOptions
from serve.recognizer import WordReader

WHITE = np.full((32, 100, 3), 255, np.uint8)


@pytest.fixture
def words() -> WordReader:
    return WordReader(WordsConfig(device="cpu"), 1_000_000)


def _name(words: WordReader, **bundles: str) -> None:
    models = {name: {"bundle": bundle} for name, bundle in bundles.items()}
    config = {"models": models, "default_model": next(iter(models))}
    asyncio.run(words.reconfigure(config))


def _is_known(words: WordReader, model: str) -> bool:
    (answer,) = asyncio.run(words.read([WordJob([WHITE], WordOptions(model))]))
    return not (isinstance(answer, Fault) and answer.reason == "unknown_model")


def _loaded() -> set[int]:
    gc.collect()
    return {id(found) for found in gc.get_objects() if type(found) is Recognizer}


def test_models_that_are_no_longer_named_are_let_go_and_those_that_stay_are_kept(
    words: WordReader,
) -> None:
    others = _loaded()
    _name(words, stays="compact", goes="compact-synthetic")
    former = _loaded() - others
    assert len(former) == 2
    for turn in range(3):
        assert _is_known(words, "stays")
        _name(words, stays="compact", **{f"new{turn}": "compact"})
        assert len(_loaded() - others) == 2
    assert len(_loaded() & former) == 1
    assert not _is_known(words, "goes")


def test_a_bundle_that_is_not_there_leaves_the_former_models(words: WordReader) -> None:
    with pytest.raises(BundleError):
        _name(words, compact="/no/bundle")
    _name(words, compact="compact")
    assert asyncio.run(words.describe()).refused == ""
    _name(words, compact="/no/bundle")
    assert _is_known(words, "compact")
    default, infos = asyncio.run(words.infos())
    assert (default, list(infos)) == ("compact", ["compact"])
    assert "/no/bundle" in asyncio.run(words.describe()).refused
    _name(words, compact="compact")
    assert asyncio.run(words.describe()).refused == ""


def test_health_is_that_of_the_batcher_and_of_the_model(
    words: WordReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    _name(words, compact="compact")
    asyncio.run(words.check_health())
    with monkeypatch.context() as patch:
        patch.setattr(Recognizer, "read", _raise)
        with pytest.raises(RuntimeError, match="out of order"):
            asyncio.run(words.check_health())
    monkeypatch.setattr(Batcher, "is_alive", False)
    with pytest.raises(RuntimeError, match="thread has ended"):
        asyncio.run(words.check_health())


def _raise(*_: object, **__: object) -> None:
    raise RuntimeError("out of order")


def test_a_language_is_read_with_its_lexicon(
    words: WordReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    _name(words, compact="compact")
    made = {"xy": Lexicon(("zebra",))}
    monkeypatch.setattr(Lexicon, "of_language", made.__getitem__)
    (answer,) = asyncio.run(words.read([WordJob([WHITE], WordOptions(language="xy"))]))
    assert not isinstance(answer, Fault)
    assert [reading.text for reading in answer] == ["zebra"]
