"""TF1 sessions: every node that `Session.run` and its relatives execute."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from tensorflow.python.framework import errors_impl

from graphdebug.backends.protocol import Attachment, Sink
from graphdebug.backends.tensorflow.breakpoints import Breakpoint
from graphdebug.backends.tensorflow.numerics import first_nonfinite, numerics_error, numerics_failure
from graphdebug.backends.tensorflow.patches import Patches
from graphdebug.backends.tensorflow.sessions.asked import RunCall, is_step
from graphdebug.backends.tensorflow.sessions.failures import Failures
from graphdebug.backends.tensorflow.sessions.launcher import hide_launcher
from graphdebug.backends.tensorflow.sessions.misuse import watch_building
from graphdebug.backends.tensorflow.sessions.runs import Runs
from graphdebug.model.event import Event, Failure
from graphdebug.options import Options

__all__ = ["attach"]

Run = Callable[..., Any]
"""`BaseSession._do_run`, or something with its arguments."""


def attach(sink: Sink, options: Options) -> Attachment:
    """Watch every session from now on."""
    return _Sessions(sink, options)


class _Thread(threading.local):
    """What one thread is doing."""

    inside = False
    """Whether it is in a run that is being watched, or in one of our own."""


class _Sessions:
    """The sessions of the process, watched."""

    def __init__(self, sink: Sink, options: Options) -> None:
        self._sink = sink
        self._runs = Runs(sink, options)
        self._failures = Failures(sink, options)
        self._thread = _Thread()
        self._breakpoint = Breakpoint(options.break_on, sink.sites)
        self._check = options.tf_debugging
        self._main = threading.get_ident()
        self._patches = Patches()
        self._attached = True
        self._patch()
        watch_building(self._patches)
        self._show_launcher = hide_launcher()

    def drain(self) -> None:
        """Nothing is held back: the nodes of a run are emitted when it ends."""

    def failure(self, error: BaseException) -> Failure | None:
        """Return what is known of an exception of a session or of graph building, or None."""
        return self._failures.take(error)

    def detach(self) -> None:
        """Put `Session` back as it was."""
        self._attached = False
        self._patches.undo()
        self._show_launcher()
        self._failures.flush()
        self._guard("telling what was never run", self._runs.plans.tell_usage)
        self._runs.plans.forget()

    def _patch(self) -> None:
        from tensorflow.python.client.session import BaseSession

        watch = self

        def _do_run(
            self: Any, handle: Any, target_list: Any, fetch_list: Any, feed_dict: Any, *rest: Any
        ) -> Any:
            if not watch._attached or watch._thread.inside:
                return do_run(self, handle, target_list, fetch_list, feed_dict, *rest)
            if handle is None and watch._runs.passes(self, fetch_list, target_list):
                return watch._pass(do_run, self, target_list, fetch_list, feed_dict, *rest)
            call = RunCall(self, fetch_list, target_list, feed_dict, sys._getframe(1), watch._thread_number())
            if handle is not None:
                return watch._watch_partial(do_run, handle, call, *rest)
            return watch._watch(do_run, call, *rest)

        def _call_tf_sessionrun(
            self: Any, options: Any, feed_dict: Any, fetch_list: Any, target_list: Any, run_metadata: Any
        ) -> Any:
            if feed_dict or watch._thread.inside or not watch._attached:
                return call_run(self, options, feed_dict, fetch_list, target_list, run_metadata)
            tensors = [self.graph._get_tensor_by_tf_output(output) for output in fetch_list]
            ops = [self.graph._get_operation_by_tf_operation(op) for op in target_list]
            call = RunCall(self, tensors, ops, {}, sys._getframe(1), watch._thread_number())
            return watch._watch(_raw(call_run), call, options, run_metadata)

        do_run = self._patches.put(BaseSession, "_do_run", _do_run)
        call_run = self._patches.put(BaseSession, "_call_tf_sessionrun", _call_tf_sessionrun)

    def _thread_number(self) -> int:
        here = threading.get_ident()
        return 0 if here == self._main else here

    def _pass(
        self, run: Run, session: Any, targets: Sequence[Any], fetches: Sequence[Any], feeds: Any, *rest: Any
    ) -> Any:
        """Run what the user asked for, of which nothing is to be recorded but a failure."""
        self._thread.inside = True
        try:
            self._failures.flush()
            results = run(session, None, targets, fetches, feeds, *rest)
            if is_step(fetches, targets, sys._getframe(2)):
                self._sink.advance_step()
            return results
        except errors_impl.OpError as error:
            call = RunCall(session, fetches, targets, feeds, sys._getframe(2), self._thread_number())
            self._guard("reading a failed run", self._failures.of_run, error, call, self._runs, run, None)
            raise
        finally:
            self._thread.inside = False

    def _watch(self, run: Run, call: RunCall, options: Any = None, metadata: Any = None) -> Any:
        """Run what the user asked for, with probes beside it, and record it."""
        self._thread.inside = True
        try:
            self._failures.flush()
            prepared = self._guard("preparing a session run", self._runs.prepare, call, options)
            try:
                results = self._runs.execute(run, call, prepared, options, metadata)
            except errors_impl.OpError as error:
                if prepared is None or not self._runs.is_ours(error, prepared, len(call.fetches)):
                    self._guard(
                        "reading a failed run", self._failures.of_run, error, call, self._runs, run, prepared
                    )
                    raise
                self._sink.tool_error("probing a session run", error)
                prepared = None
                results = self._runs.execute(run, call, None, options, metadata)
            asked = len(call.fetches)
            events = self._guard(
                "reading a session run", self._runs.record, run, call, prepared, results[asked:]
            )
            if self._breakpoint.wanted:
                self._breakpoint.stop(events or (), call.frame)
            if self._check:
                self._check_numerics(events or (), call)
            return results[:asked]
        finally:
            self._thread.inside = False

    def _check_numerics(self, events: Sequence[Event], call: RunCall) -> None:
        """Raise at the first node of a run whose output is not finite though its inputs are."""
        born = first_nonfinite(events)
        if born is not None:
            error = numerics_error(born, call.session.graph)
            self._failures.keep(error, numerics_failure(error, born, self._sink.next_seq()))
            raise error

    def _watch_partial(self, run: Run, handle: Any, call: RunCall, *rest: Any) -> Any:
        from tensorflow.python.framework import errors_impl

        self._thread.inside = True
        whole = self._guard("reading a partial run", self._runs.parts.whole_of, handle, call)
        try:
            try:
                results = run(call.session, handle, call.targets, call.fetches, call.feeds, *rest)
            except errors_impl.OpError as error:
                if whole is not None:
                    self._guard(
                        "reading a failed run", self._failures.of_run, error, whole, self._runs, run, None
                    )
                raise
            if whole is not None:
                events = self._guard("recording a partial run", self._runs.parts.record, run, handle, whole)
                if self._breakpoint.wanted:
                    self._breakpoint.stop(events or (), call.frame)
                if self._check:
                    self._check_numerics(events or (), call)
            return results
        finally:
            self._thread.inside = False

    def _guard(self, where: str, act: Callable[..., Any], *arguments: Any) -> Any:
        """Call our own code; its failure is reported and is not the user's."""
        try:
            return act(*arguments)
        except Exception as error:
            from tensorflow.python.framework import errors_impl

            # A program that closed its session while a queue runner ran: the run itself says so.
            if not isinstance(error, errors_impl.CancelledError):
                self._sink.tool_error(where, error)
            return None


def _raw(call_run: Run) -> Run:
    """Return `call_run`, which takes C handles, with the arguments of `BaseSession._do_run`."""

    def run(
        session: Any, _handle: Any, targets: Sequence[Any], fetches: Sequence[Any], feeds: Any, *rest: Any
    ) -> Any:
        options, metadata = rest
        session._extend_graph()
        outputs = [tensor._as_tf_output() for tensor in fetches]
        given = {ref.deref()._as_tf_output(): value for ref, value in feeds.items()}
        return call_run(session, options, given, outputs, [op._c_op for op in targets], metadata)

    return run
