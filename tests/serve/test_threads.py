import os
import threading

import torch

from serve.threads import ThreadsAlone, use_threads


def test_one_alone_has_more_threads_and_several_have_as_many_as_ray_gave() -> None:
    usual, num_cpus = torch.get_num_threads(), len(os.sched_getaffinity(0))
    threads = ThreadsAlone(2)
    with threads.joined():
        assert threads.number == max(usual, min(2, num_cpus))
        with threads.joined():
            assert threads.number == usual
        assert threads.number == max(usual, min(2, num_cpus))
    assert threads.number == usual


def test_threads_are_those_of_the_thread_that_computes() -> None:
    seen = list[int]()

    def compute() -> None:
        for number in (2, 1):
            use_threads(number)
            seen.append(torch.get_num_threads())

    before = torch.get_num_threads()
    computing = threading.Thread(target=compute)
    computing.start()
    computing.join()
    use_threads(before)
    assert seen == [2, 1]
