"""Set-up in one place: `nox -s demo` runs the demo, `nox -s tests` runs all tests."""

import nox

nox.options.sessions = ["tests"]

# An unpinned torch takes gigabytes of CUDA packages; these are the versions that the tests are written for.
FRAMEWORKS = ["torch==2.13.0", "tensorflow-cpu==2.21.*", "keras==3.15.*", "numpy==2.4.*"]


@nox.session
def demo(session: nox.Session) -> None:
    """Install graphdebug with both frameworks and run the demo."""
    session.install(*FRAMEWORKS)
    session.install("-e", ".[all]")
    session.run("graphdebug", "demo", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Install all that the tests need and run them: lint, types, and both real frameworks."""
    session.install(*FRAMEWORKS)
    session.install("-e", ".[dev]")
    session.run("pytest", "-n", "2", "--dist", "loadfile", *session.posargs)
