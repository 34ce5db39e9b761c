"""Finds, parses and checks links without network access. Pure functions."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import idna
import regex
from yarl import URL

from bot.intake.errors import BadLink, LinkRefused
from bot.intake.viewer_links import direct_link

# Characters without a width that copying adds: soft hyphen, zero-width space and joiners, marks
# and embeddings of the text direction, byte order mark, place of an embedded object. U+200D is
# kept; it belongs to emoji.
_INVISIBLE = re.compile("[\u00ad\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufffc]")
_START = re.compile(r"https?://", re.IGNORECASE)
# A link ends at white space, a control character, a bracket or quotation mark that no link
# contains, a backslash, the same characters as entities of HTML, the bars of a Discord spoiler, or
# a closing BBCode tag.
_END = re.compile(
    r"[\s\x00-\x20\x7f<>\"“”„«»‹›]|\\(?![_*~()\[\]])|&(?:[lg]t|quot|apos|#0*39);|\|\||\[/"
)
# A character that Markdown would take for a mark, after the backslash that escapes it.
_ESCAPED = re.compile(r"\\([_*~()\[\]])")
# The name of a picture, and a word or sign in another script that follows it without a space.
_FILE_END = re.compile(
    r"\.(?:png|jpe?g|webp|gif|avif|heic|bmp|tiff?)(?=[^\x00-\x7f])", re.IGNORECASE
)
# Sentences in Japanese and Chinese continue without a space. Before the path, "。" is a dot.
_SENTENCE_END = re.compile("[。、，]")
# A second link that follows without a space. In `?url=https://` and `/https://` it is a part of
# the first one.
_NEXT_START = re.compile(r"(?<=[^\W_]|[,;])(?=https?://)", re.IGNORECASE)
_CLOSING = {
    ")": "(",
    "]": "[",
    "}": "{",
    "）": "（",
    "」": "「",
    "』": "『",
    "】": "【",
    "》": "《",
    "〉": "〈",
    "〕": "〔",
    "］": "［",
    "｝": "｛",
    "｣": "｢",
    "⟩": "⟨",
}
_PUNCTUATION = ".,;:!?"
_MARKS = re.compile(r"['`*_~]*\Z")
# At the end of a link: the border of a table, and a joiner of emoji.
_NEVER_LAST = "|\u200d"

# What cannot be sent in a request line, or what browsers encode there:
# https://url.spec.whatwg.org/#query-percent-encode-set and #path-percent-encode-set
_BEFORE_QUERY = re.compile(r"[^?#]*")
_ENCODED_IN_QUERY = re.compile(r'[^\x21-\x7e]|["<>]')
_ENCODED_IN_PATH = re.compile(r'[^\x21-\x7e]|["<>`{}^]')
_MAX_MARKS = 8
"""Marks of Markdown before a link that are examined."""

# What surrounds a link and is no word of a prompt: spoiler bars, tags of BBCode, punctuation, other
# marks of Markdown, entities of HTML, the end of an emoji. "<" after a link begins a mention.
_BEFORE_LINK = regex.compile(r"(?:\|\|\s*)?(?:\[\w{1,9}[=\]]|[\p{P}`~<]{0,8})\Z")
_AFTER_LINK = regex.compile(r"(?:&#?\w{1,9};|\[/\w{1,9}\]|[\p{P}`~>\ufe0f])*(?:\s*\|\|)?")
# The words that a masked link shows.
_MASKED = re.compile(r"\[([^\[\]]*)\]\((?=<?https?://)", re.IGNORECASE)

_MAX_REWRITES = 3
"""A search result may link to a viewer page."""

_HOST_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")


@dataclass(frozen=True, slots=True)
class ChosenLink:
    """The first link of a text, and how many different ones the text contains."""

    url: str
    count: int


def choose_link(text: str) -> ChosenLink | None:
    """The first http or https link in pasted text, or None where there is none.

    Removes what surrounds it: words, trailing punctuation, brackets, quotation marks, Markdown,
    spoiler bars, invisible characters. The result is not yet a valid URL; see `parse_link`.
    """
    found = all_links(text)
    return ChosenLink(found[0], len(found)) if found else None


def all_links(text: str) -> list[str]:
    """Every different http or https link in pasted text, as `choose_link` finds the first."""
    text = _INVISIBLE.sub("", text)
    return list(dict.fromkeys(link for link, _, _ in _find(text)))


def without_links(text: str) -> str:
    """The words of pasted text beside its links, without what surrounds the links.

    What `all_links` takes for words after a link, such as those of a script without spaces, stays.
    Of a masked link, the words that it shows stay.
    """
    text = _MASKED.sub(r"\1 ", text)
    visible = [at for at, character in enumerate(text) if not _INVISIBLE.match(character)]
    visible.append(len(text))
    parts, at = [], 0
    for _, start, end in _find("".join(text[at] for at in visible[:-1])):
        # Invisible characters beside a link are a part of it.
        parts.append(_BEFORE_LINK.sub("", text[at : visible[start - 1] + 1 if start else 0]))
        at = visible[end]
        after = _AFTER_LINK.match(text, at)
        at = after.end() if after else at
    return " ".join(" ".join((*parts, text[at:])).split())


def _find(text: str) -> Iterator[tuple[str, int, int]]:
    """Each link of a text without invisible characters, with its start and end there."""
    at = 0
    while match := _START.search(text, at):
        start = at = match.start()
        link = _link_at(text, start)
        for character in link:
            # Otherwise the character is escaped.
            at += 1 if text[at] == character else 2
        at = max(at, match.end())
        yield link, start, at


def _link_at(text: str, start: int) -> str:
    in_bbcode = text[max(start - 5, 0) : start].lower() in ("[url=", "[img=")
    before = "[" if in_bbcode else text[max(start - 1, 0) : start]
    opened = _MARKS.search(text, max(start - _MAX_MARKS, 0), start)
    marks = opened[0] if opened else ""
    rest = text[start:]
    for pattern in (_END, _NEXT_START):
        if cut := pattern.search(rest):
            rest = rest[: cut.start()]
    rest = _ESCAPED.sub(r"\1", rest)
    path = rest.find("/", len("https://"))
    if path > 0 and (cut := _SENTENCE_END.search(rest, path)):
        rest = rest[: cut.start()]
    if path > 0 and (cut := _FILE_END.search(rest, path)):
        rest = rest[: cut.end()]
    if before and before in _CLOSING.values():
        rest = _up_to_its_bracket(rest, before)
    while rest:
        last = rest[-1]
        if last in _CLOSING:
            surplus = rest.count(last) > rest.count(_CLOSING[last])
        else:
            surplus = last in _PUNCTUATION or last in _NEVER_LAST or _is_foreign_sign(last)
        if not surplus and last not in marks:
            break
        rest = rest[:-1]
    return rest


def _is_foreign_sign(character: str) -> bool:
    """Whether it is punctuation or a mathematical sign outside ASCII."""
    category = unicodedata.category(character)
    return not character.isascii() and (category[0] == "P" or category == "Sm")


def _up_to_its_bracket(rest: str, opening: str) -> str:
    """`rest` up to the bracket that closes the `opening` bracket before it."""
    depth = 1
    for index, character in enumerate(rest):
        if character == opening:
            depth += 1
        elif _CLOSING.get(character) == opening:
            depth -= 1
            if depth == 0:
                return rest[:index]
    return rest


def parse_link(text: str, base: URL | None = None) -> URL:
    """`text` as an absolute http or https URL without fragment, relative to `base` if given.

    Path and query are kept byte for byte; only characters that are not valid ASCII in a URL are
    percent-encoded, as UTF-8. A backslash before the query is a slash, as in browsers. A link to a
    viewer page is replaced by the link to its file.

    Raises:
        BadLink: any other text, or a URL with user information.
    """
    text = _BEFORE_QUERY.sub(lambda found: found[0].replace("\\", "/"), _bare(text), count=1)
    try:
        parts = urlsplit(text if base is None else urljoin(str(base), text))
        for _ in range(_MAX_REWRITES):
            direct = direct_link(parts)
            if direct is None:
                break
            parts = urlsplit(direct)
        return _to_url(parts)
    except ValueError:
        raise BadLink from None


def _to_url(parts: SplitResult) -> URL:
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise BadLink
    host = encode_host(parts.hostname)
    port = "" if parts.port is None else f":{parts.port}"
    path = _percent_encoded(parts.path, _ENCODED_IN_PATH)
    query = _percent_encoded(parts.query, _ENCODED_IN_QUERY)
    return URL(
        f"{parts.scheme}://{host}{port}{path}" + (f"?{query}" if query else ""), encoded=True
    )


def _percent_encoded(text: str, characters: re.Pattern[str]) -> str:
    # Bytes of a header that are not UTF-8 arrive as surrogates and are sent as they were.
    return characters.sub(lambda found: quote(found[0], safe="", errors="surrogateescape"), text)


def encode_host(name: str) -> str:
    """The ASCII form of a host name, mapped as browsers do (UTS 46, non-transitional).

    Raises:
        ValueError: not a host name.
    """
    if ":" in name:
        return f"[{IPv6Address(name)}]"
    if not name.isascii():
        mapped = idna.uts46_remap(name, std3_rules=False, transitional=False)
        # `idna.encode` refuses emoji, which UTS 46 allows.
        name = ".".join(
            label if label.isascii() else "xn--" + label.encode("punycode").decode()
            for label in mapped.split(".")
        )
    name = name.lower()
    if _HOST_NAME.fullmatch(name) is None:
        raise ValueError("not a host name")
    return name


def host_of(url: URL) -> str:
    """The host in the form used for comparison: ASCII, lower case, without the final dot."""
    return (url.raw_host or "").rstrip(".").lower()


def canonical_host(name: str) -> str:
    """A host name from the settings, in the form that `host_of` returns."""
    return encode_host(name.strip()).rstrip(".").strip("[]")


def check_host_and_port(
    url: URL, *, allowed_ports: Collection[int], denied_hosts: Collection[str]
) -> None:
    """Apply the operator's settings; a denied host includes its subdomains.

    Raises:
        LinkRefused: the host is denied or the port is not allowed.
    """
    host = host_of(url)
    if url.port not in allowed_ports or any(
        host == denied or host.endswith(f".{denied}") for denied in denied_hosts
    ):
        raise LinkRefused


def _bare(text: str) -> str:
    """Without the angle brackets that suppress Discord's preview."""
    text = text.strip()
    return text[1:-1] if text.startswith("<") and text.endswith(">") else text
