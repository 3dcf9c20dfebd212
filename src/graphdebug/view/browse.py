"""The interactive browser: one step's nodes, all about one of them, keys along the data and through time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import DataTable, Footer, Input, Static

from graphdebug.model.event import Node
from graphdebug.model.run import Run
from graphdebug.view import detail, page, terminal, terminal_detail
from graphdebug.view.history import same_in_step
from graphdebug.view.path import data_first
from graphdebug.view.rows import NodeRow, node_rows
from graphdebug.view.words import number_text

__all__ = ["Browser"]

_COLUMNS = ("seq", "phase", "op", "line", "health", "module", "shapes", "l2", "gradient")


class Browser(App[None]):
    """Look through a run.

    Args:
        run: the run.
        seq: the node to start at; by default where the finding is, else the first one.

    """

    TITLE = "graphdebug"
    CSS = """
    #summary { height: auto; padding: 0 1; background: $panel; }
    #nodes { width: 3fr; } #about { width: 2fr; padding: 0 1; border-left: solid $panel; }
    #search { display: none; } #search.open { display: block; }
    """
    BINDINGS: ClassVar[list[Any]] = [
        Binding("slash", "search", "search"),
        Binding("p", "producer", "producer"),
        Binding("c", "consumer", "consumer"),
        Binding("left_square_bracket", "travel(-1)", "step back", key_display="["),
        Binding("right_square_bracket", "travel(1)", "step on", key_display="]"),
        Binding("n", "next_sick", "next not finite"),
        Binding("f", "finding", "finding"),
        Binding("b", "return", "back"),
        Binding("q", "quit", "quit"),
    ]

    def __init__(self, run: Run, seq: int | None = None) -> None:
        super().__init__()
        self.run_shown = run
        self.seq = seq if seq is not None else page.focus(run)
        self.step = self._first_step()
        self.query_text = ""
        self.rows: tuple[NodeRow, ...] = ()
        self._trail: list[int] = []
        self._consumer = 0

    def compose(self) -> ComposeResult:
        """Lay out the screen."""
        yield Static(id="summary")
        with Horizontal():
            yield DataTable(id="nodes", cursor_type="row", zebra_stripes=False)
            with VerticalScroll(id="about"):
                yield Static(id="detail")
        yield Input(placeholder="words in op, module, line, shapes or health; #41 goes to a node", id="search")
        yield Footer()

    def on_mount(self) -> None:
        """Fill the table with the first step."""
        table = self._table()
        for name in _COLUMNS:
            table.add_column(name, key=name)
        self._show_step(self.step, self.seq)
        table.focus()

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Show all about the node under the cursor."""
        if event.row_key is not None and event.row_key.value is not None:
            self.seq = int(event.row_key.value)
            self._consumer = 0
            self._show_detail()

    def action_search(self) -> None:
        """Open the search line."""
        search = self.query_one("#search", Input)
        search.add_class("open")
        search.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Search, or go to the node that was asked for by number."""
        event.input.remove_class("open")
        self._table().focus()
        text = event.value.strip()
        if text.startswith("#") and text[1:].isdigit():
            self._go(int(text[1:]))
            return
        self.query_text = text
        self._show_step(self.step, self.seq)

    def action_producer(self) -> None:
        """Go to the node that made this one's data."""
        node = self.run_shown.node(self.seq)
        made = data_first(node.inputs) if node is not None else []
        known = next((one.producer for one in made if self.run_shown.producer(one) is not None), None)
        self._go(known, "nothing recorded made its inputs")

    def action_consumer(self) -> None:
        """Go to a node that uses this one's output; again from the same node, to the next that does."""
        node = self.run_shown.node(self.seq)
        users = detail.consumers(self.run_shown, node) if node is not None else []
        if users:
            self._go(users[self._consumer % len(users)].seq)
        else:
            self._say("nothing in this step uses its output")

    def action_travel(self, by: int) -> None:
        """Go to the same node one recorded step back or on."""
        steps = self.run_shown.steps
        at = steps.index(self.step) + by if self.step in steps else 0
        if not 0 <= at < len(steps):
            self._say("there is no step further on" if by > 0 else "there is no step before this one")
            return
        node = self.run_shown.node(self.seq)
        same = same_in_step(self.run_shown, node, steps[at]) if node is not None else None
        self._show_step(steps[at], same.seq if same is not None else None)

    def action_next_sick(self) -> None:
        """Go to the next node of this step that is not finite."""
        later = (row.seq for row in self.rows if row.sick and self.seq is not None and row.seq > self.seq)
        self._go(next(later, None), "no later node of this step is sick")

    def action_finding(self) -> None:
        """Show the findings beside the table."""
        self._about(terminal.findings_view(page.finding_rows(self.run_shown.findings)))

    def action_return(self) -> None:
        """Go back to where the last jump came from."""
        if self._trail:
            self._jump(self._trail.pop())

    def _go(self, seq: int | None, otherwise: str = "") -> None:
        if seq is None or self.run_shown.node(seq) is None:
            self._say(otherwise or f"there is no node {seq}")
            return
        if self.seq is not None:
            self._trail.append(self.seq)
        self._jump(seq)

    def _jump(self, seq: int) -> None:
        node = self.run_shown.node(seq)
        if node is None:
            return
        if seq not in [row.seq for row in self.rows]:
            self.query_text = ""
            self._show_step(node.step, seq)
        else:
            self._table().move_cursor(row=[row.seq for row in self.rows].index(seq))

    def _show_step(self, step: int | None, seq: int | None) -> None:
        self.step = step
        nodes = [] if step is None else list(self.run_shown.step(step).nodes)
        self.rows = tuple(row for row in node_rows(self.run_shown, nodes) if self._found(row))
        table = self._table()
        table.clear()
        for row in self.rows:
            table.add_row(*_cells(row), key=str(row.seq))
        seqs = [row.seq for row in self.rows]
        if seq in seqs:
            table.move_cursor(row=seqs.index(seq))
        self.query_one("#summary", Static).update(self._summary())

    def _found(self, row: NodeRow) -> bool:
        texts = (
            row.function,
            row.op,
            row.module,
            row.line,
            row.shapes_in,
            row.shapes_out,
            row.health,
            row.phase,
        )
        together = " ".join(texts).lower()
        return all(word in together for word in self.query_text.lower().split())

    def _summary(self) -> Text:
        said = page.summary(self.run_shown)
        filtered = (
            f", {len(self.rows)} match {self.query_text!r}" if self.query_text else f", {len(self.rows)} nodes"
        )
        return Text(f"{said.command}: {said.status}\nstep {self.step}{filtered}; {said.counts}")

    def _show_detail(self) -> None:
        about = None if self.seq is None else detail.detail(self.run_shown, self.seq)
        if about is not None:
            self._about(terminal_detail.detail_view(about, max(40, self.size.width * 2 // 5 - 4)))

    def _about(self, view: Any) -> None:
        self.query_one("#detail", Static).update(view)
        self.query_one("#about").scroll_home(animate=False)

    def _say(self, text: str) -> None:
        self.notify(text)

    def _table(self) -> DataTable[Text]:
        return self.query_one("#nodes", DataTable)

    def _first_step(self) -> int | None:
        node: Node | None = self.run_shown.node(self.seq)
        if node is not None:
            return node.step
        nodes: Sequence[Node] = self.run_shown.nodes
        return nodes[0].step if nodes else None


def _cells(row: NodeRow) -> list[Text]:
    shapes = f"{row.shapes_in} -> {row.shapes_out}" if row.shapes_in else row.shapes_out
    health = "" if row.health == "ok" else row.health
    what = (row.phase, row.function or row.op, row.line, health, terminal.crop(row.module, 32), shapes)
    texts = (str(row.seq), *what, number_text(row.l2), row.gradient)
    return [Text(text, "red" if row.sick else "", no_wrap=True) for text in texts]
