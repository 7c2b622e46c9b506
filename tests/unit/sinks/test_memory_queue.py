import pytest

from busted.sinks.memory_queue import MemoryQueue
from tests.unit.sinks.peers import items


def ids(queue: MemoryQueue) -> list[str]:
    return [item.id for _, item in queue.head(100, 1 << 20)]


@pytest.mark.parametrize("bounds", [(2, 1 << 20), (100, 2 * len(items(0)[0].event))])
def test_a_full_queue_drops_the_oldest_and_counts_it(bounds: tuple[int, int]) -> None:
    queue = MemoryQueue(*bounds)
    for item in items(1, 2, 3):
        queue.put(item)

    assert (ids(queue), queue.dropped) == (["event-2", "event-3"], 1)


def test_what_is_on_its_way_is_not_dropped() -> None:
    queue = MemoryQueue(2, 1 << 20)
    first, second, third = items(1, 2, 3)
    queue.put(first)
    queue.put(second)
    head = queue.head(1, 1 << 20)
    queue.put(third)

    assert queue.remove(number for number, _ in head) == 1
    assert (ids(queue), queue.dropped) == (["event-3"], 1)


def test_one_event_is_handed_out_however_large_it_is() -> None:
    queue = MemoryQueue(10, 1 << 20)
    for item in items(1, 2):
        queue.put(item)

    assert [item.id for _, item in queue.head(10, 1)] == ["event-1"]


def test_an_event_is_removed_once() -> None:
    queue = MemoryQueue(10, 1 << 20)
    queue.put(items(1)[0])
    numbers = [number for number, _ in queue.head(10, 1 << 20)]

    assert (queue.remove(numbers), queue.remove(numbers), len(queue)) == (1, 0, 0)
