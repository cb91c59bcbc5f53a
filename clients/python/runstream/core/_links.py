"""Links to the pages of the studio, and the small tables that notebooks show."""

import html
from urllib.parse import quote

from runstream._channel.address import url_of

TABLE = "<table style='width:100%'><tr>{heads}</tr><tr>{cells}</tr></table>"


def page(address: str, *parts: str) -> str:
    """The address of a page of the studio, which the gateway of the services at `address` serves."""
    return "/".join([url_of(address), *(quote(part, safe="") for part in parts)])


def link(url: str, text: str) -> str:
    """A link that opens beside the notebook."""
    return f"<a href='{html.escape(url)}' target='_blank' rel='noopener'>{html.escape(text)}</a>"


def table(fields: dict[str, str], links: dict[str, tuple[str, str]]) -> str:
    """One row: texts, which are escaped, then links given as (address, text)."""
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in (*fields, *links))
    texts = "".join(f"<td>{html.escape(value)}</td>" for value in fields.values())
    pages = "".join(f"<td>{link(*target)}</td>" for target in links.values())
    return TABLE.format(heads=heads, cells=texts + pages)
