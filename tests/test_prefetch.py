"""Items made by a thread, one ahead."""

import threading

import pytest
import torch

from dpc.prefetch import ahead


def counted(n, log):
    try:
        for number in range(n):
            log.append(number)
            yield number
        if n == 3:
            raise ValueError("three")
    finally:
        log.append("closed")


def test_all_in_order_one_ahead():
    log, turn = [], threading.Event()

    def items():
        for number in range(5):
            log.append(number)
            yield number
            turn.set()  # the next one was asked for

    taken = []
    for item in ahead(items()):
        assert turn.wait(5)
        turn.clear()
        assert len(log) <= item + 2
        taken.append(item)
    assert taken == log == [0, 1, 2, 3, 4]
    assert list(ahead(counted(0, []))) == []


def test_an_error_comes_in_its_place():
    taken, log = [], []
    with pytest.raises(ValueError, match="three"):
        for item in ahead(counted(3, log)):
            taken.append(item)
    assert (taken, log) == ([0, 1, 2], [0, 1, 2, "closed"])


@pytest.mark.parametrize("how", ["close", "break"])
def test_who_stops_early_leaves_no_thread(how):
    before, log = threading.active_count(), []
    made = ahead(counted(9, log))
    for item in made:
        if item == 1:
            break
    if how == "close":
        made.close()
    del made
    assert log == [0, 1, 2, "closed"]
    assert threading.active_count() == before


def test_gradients_of_what_a_thread_makes():
    weight = torch.ones(2, requires_grad=True)
    for value in ahead(weight * n for n in (1, 2)):
        value.sum().backward()
    assert weight.grad.tolist() == [3.0, 3.0]
