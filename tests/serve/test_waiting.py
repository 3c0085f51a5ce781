import asyncio
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from serve.messages import REPLICA_GONE, Reading, WordJob, WordOptions, WordsAnswer
from serve.waiting import WaitingWords


def _word(aspect: int) -> bytes:
    return cv2.imencode(".png", np.zeros((8, 8 * aspect, 3), np.uint8))[1].tobytes()


NARROW, WIDE = _word(2), _word(6)


def _in_a_loop(check: Callable[[], None]) -> None:
    async def run() -> None:
        check()

    asyncio.run(run())


def _take(words: WaitingWords, num_words: int) -> list[list[bytes]]:
    """Answer the next call; return the words that it had of each request."""
    shares = words.next_call(num_words)
    jobs = [share.job for share in shares]
    images = [[image for image in job.images if isinstance(image, bytes)] for job in jobs]
    for share, some in zip(shares, images, strict=True):
        share.hand_out([Reading("wide" if i == WIDE else "narrow", 1.0, ()) for i in some])
    return images


def _readings(request: asyncio.Future[WordsAnswer]) -> list[Reading]:
    answer = request.result()
    assert isinstance(answer, list)
    return answer


def test_words_of_like_width_go_together_those_of_the_oldest_request_first() -> None:
    def check() -> None:
        words = WaitingWords(1_000_000, 1_000_000)
        first = words.add(WordJob([WIDE, NARROW, WIDE]))
        second = words.add(WordJob([NARROW] * 8 + [WIDE]))
        assert len(words) == 12
        assert _take(words, 6) == [[WIDE, WIDE], [WIDE]]
        assert not first.done()
        assert _take(words, 8) == [[NARROW], [NARROW] * 8]
        assert [r.text for r in _readings(first)] == ["wide", "narrow", "wide"]
        assert [r.text for r in _readings(second)] == ["narrow"] * 8 + ["wide"]
        assert _take(words, 6) == []

    _in_a_loop(check)


@pytest.mark.parametrize(
    ("num_words", "sizes"), [(10, [10]), (7, [10]), (6, [5, 5]), (3, [3, 3, 4])]
)
def test_calls_have_some_as_many_words_as_asked_for(num_words: int, sizes: list[int]) -> None:
    def check() -> None:
        words = WaitingWords(1_000_000, 1_000_000)
        words.add(WordJob([NARROW] * 10))
        assert [sum(map(len, _take(words, num_words))) for _ in sizes] == sizes

    _in_a_loop(check)


def test_a_call_has_so_many_bytes_or_one_word() -> None:
    def check() -> None:
        words = WaitingWords(3, 1)
        for _ in range(2):
            words.add(WordJob([b"12", b"1", b"12345"]))
        assert [_take(words, 64) for _ in range(4)] == [
            [[b"12", b"1"]],
            [[b"12345"]],
            [[b"12", b"1"]],
            [[b"12345"]],
        ]

    _in_a_loop(check)


def test_callers_who_are_gone_take_no_place() -> None:
    def check() -> None:
        words = WaitingWords(1_000_000, 1_000_000)
        requests = [words.add(WordJob([NARROW] * number)) for number in (60, 3, 60, 4)]
        requests[0].cancel()
        requests[2].cancel()
        assert len(words) == 7
        assert _take(words, 64) == [[NARROW] * 3, [NARROW] * 4]

    _in_a_loop(check)


def test_a_lost_part_is_the_fault_of_all_and_the_rest_is_dropped() -> None:
    def check() -> None:
        words = WaitingWords(1_000_000, 1_000_000)
        request = words.add(WordJob([NARROW] * 8 + [WIDE] * 8))
        (share,) = words.next_call(8)
        share.hand_out(REPLICA_GONE)
        share.hand_out(REPLICA_GONE)  # of another part
        share.fail(ValueError())
        assert request.result() == REPLICA_GONE
        assert len(words) == 0

    _in_a_loop(check)


def test_a_request_without_words_is_answered_at_once() -> None:
    def check() -> None:
        assert WaitingWords(1, 1).add(WordJob([])).result() == []

    _in_a_loop(check)


def test_the_longest_waiting_word_goes_also_where_bytes_bound_a_call() -> None:
    def check() -> None:
        words = WaitingWords(2 * len(NARROW), 1_000_000)
        medium = _word(3)
        words.add(WordJob([medium]))
        words.add(WordJob([NARROW] * 5 + [WIDE] * 5))
        assert _take(words, 6)[0] == [medium]

    _in_a_loop(check)


def test_options_that_differ_share_no_batch_and_so_only_fill_a_call() -> None:
    def check() -> None:
        words = WaitingWords(1_000_000, 1_000_000)
        for letter in "abc":
            words.add(WordJob([NARROW, WIDE] * 4, WordOptions(characters=letter)))
        sizes = [[len(images) for images in _take(words, 12)] for _ in range(3)]
        assert sizes == [[8, 4], [4, 8], []]

    _in_a_loop(check)


def test_narrow_words_are_more_in_a_call_than_wide_ones() -> None:
    def check() -> None:
        words = WaitingWords(1_000_000, 1_000_000)
        words.add(WordJob([NARROW] * 36 + [_word(20)] * 4))
        assert [sum(map(len, _take(words, 20))) for _ in range(2)] == [36, 4]

    _in_a_loop(check)


def test_words_beyond_the_pixels_of_a_request_have_an_error_whatever_call_they_are_in() -> None:
    def check() -> None:
        words = WaitingWords(1_000_000, 2 * 8 * 48 + 128)
        request = words.add(WordJob([WIDE, WIDE, WIDE, NARROW, NARROW]))
        assert _take(words, 3) == [[WIDE, WIDE, NARROW]]
        assert [reading.error for reading in _readings(request)] == [
            "",
            "",
            "too_large: 48x8, at most 128 pixels",
            "",
            "too_large: 16x8, at most 0 pixels",
        ]

    _in_a_loop(check)
