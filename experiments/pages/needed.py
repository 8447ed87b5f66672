"""What drawing pages takes beyond the core."""

from importlib.util import find_spec

from extract.errors import Refused

LIBRARIES = ("jinja2", "matplotlib")


def refuse_missing() -> None:
    """Raise Refused, naming the way out, unless the libraries that draw pages are installed."""
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise Refused(f"pages need {' and '.join(missing)}, not installed here. Run: pip install 'memefuse[report]'")
