"""A queue that is closed empty, because what was to fill it failed in a thread of its own, is told by that."""

from __future__ import annotations

import linecache

import pytest
import tensorflow as tf

import graphdebug

tf1 = tf.compat.v1


def _reads_a_queue_whose_runner_is_not_fed(*, join):
    with tf.Graph().as_default(), tf1.Session() as session:
        rate = tf1.placeholder(tf.float32, [], name="rate")
        queue = tf1.FIFOQueue(4, [tf.float32], [[]])
        tf1.train.add_queue_runner(tf1.train.QueueRunner(queue, [queue.enqueue(rate * 2.0)]))
        element = queue.dequeue()
        coordinator = tf1.train.Coordinator()
        threads = tf1.train.start_queue_runners(session, coordinator)
        try:
            session.run(element)
        finally:
            coordinator.request_stop()
            if join:  # raises what the runner raised
                coordinator.join(threads)


@pytest.mark.parametrize(
    ("join", "error"), [(True, tf.errors.InvalidArgumentError), (False, tf.errors.OutOfRangeError)]
)
def test_the_failure_of_the_runner_is_the_one_that_is_told(join, error):
    with pytest.raises(error) as caught, graphdebug.record() as run:
        _reads_a_queue_whose_runner_is_not_fed(join=join)
    finding = run.findings[0]
    assert finding.kind == "unfed"
    assert linecache.getline(finding.site.file, finding.site.line).strip().startswith("rate = tf1.placeholder(")
    assert caught.value.__notes__[0].startswith("graphdebug: a placeholder was not fed")
