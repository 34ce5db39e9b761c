"""Rewrites links to viewer pages of large hosts to links to the file itself. Pure functions.

Each rule reads one host's documented or stable link form. The result is checked like any other
link. Pages without a rule are searched for a picture (`bot.intake.web_page`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlencode


def direct_link(parts: SplitResult) -> str | None:
    """The link to the file that the viewer page `parts` shows, or None for any other link."""
    host = parts.hostname or ""
    for pattern, rule in _RULES:
        if pattern.fullmatch(host):
            return rule(parts)
    return None


def _first(parts: SplitResult, name: str) -> str | None:
    return next(iter(parse_qs(parts.query).get(name, [])), None)


def _dropbox(parts: SplitResult) -> str | None:
    # https://help.dropbox.com/share/force-download
    if not parts.path.startswith(("/s/", "/scl/fi/")):
        return None
    kept = [part for part in parts.query.split("&") if part and part[:3] not in ("dl=", "raw")]
    wanted = parts._replace(query="&".join([*kept, "dl=1"]))
    return None if wanted == parts else wanted.geturl()


def _google_drive(parts: SplitResult) -> str | None:
    # Links of organizations name their domain first.
    path = re.sub(r"^/a/[^/]+", "", parts.path)
    match = re.match(r"/file/(?:u/\d+/)?d/([\w-]+)", path)
    file = match[1] if match else _first(parts, "id") if path == "/open" else None
    if file is None:
        return None
    query = {"export": "download", "id": file}
    # Files that were shared before 2021 need their key.
    # https://support.google.com/a/answer/10685032
    if key := _first(parts, "resourcekey"):
        query["resourcekey"] = key
    return f"https://drive.google.com/uc?{urlencode(query)}"


def _google_search(parts: SplitResult) -> str | None:
    match parts.path:
        case "/imgres":
            return _first(parts, "imgurl")
        case "/url":
            return _first(parts, "url") or _first(parts, "q")
    return None


def _imgur_page(parts: SplitResult) -> str | None:
    # A page that shows one picture; albums and galleries name theirs in the page.
    match = re.fullmatch(r"/(?:r/\w+/)?(\w{5}|\w{7})(\.\w+)?/?", parts.path)
    # Imgur serves the stored file whatever the extension is.
    return f"https://i.imgur.com/{match[1]}.png" if match else None


def _imgur_file(parts: SplitResult) -> str | None:
    match = re.fullmatch(r"/(\w+)\.gifv", parts.path)
    return f"https://i.imgur.com/{match[1]}.gif" if match else None


def _reddit(parts: SplitResult) -> str | None:
    return _first(parts, "url") if parts.path.rstrip("/") == "/media" else None


# Each language has its own name for the namespace "File". Files have an extension. The English
# names of the other namespaces are valid in every wiki
# (https://www.mediawiki.org/wiki/Help:Namespaces). Wikis with several scripts have them in place of
# "wiki", such as "zh-tw".
_FILE_PAGE = re.compile(
    r"(?:.*/media/|/(?:wiki|[a-z]{2}-[a-z]{2,4})/)"
    r"(?!(?:talk|user|project|wikipedia|mediawiki|template|help|category|[^/:]+[ _]talk):)"
    r"[^/:]+:(?P<name>[^/]+\.(?:jpe?g|png|gif|svg|webp|tiff?))",
    re.IGNORECASE,
)


def _wikimedia(parts: SplitResult) -> str | None:
    # https://www.mediawiki.org/wiki/Help:Linking_to_files#Direct_links_from_external_sites
    shown = parts.fragment if "/media/" in parts.fragment else parts.path
    if parts.path.endswith("/index.php"):
        shown = f"/wiki/{_first(parts, 'title') or ''}"
    match = _FILE_PAGE.fullmatch(unquote(shown))
    if match is None:
        return None
    # The server renders a drawing as PNG if a width is given. 1280 is one of its standard sizes.
    width = "?width=1280" if match["name"].lower().endswith(".svg") else ""
    return f"{parts.scheme}://{parts.netloc}/wiki/Special:FilePath/{quote(match['name'])}{width}"


def _github(parts: SplitResult) -> str | None:
    match = re.fullmatch(r"(/[^/]+/[^/]+)/blob/(.+)", parts.path)
    return f"https://github.com{match[1]}/raw/{match[2]}" if match else None


_RULES: tuple[tuple[re.Pattern[str], Callable[[SplitResult], str | None]], ...] = (
    (re.compile(r"(www\.)?dropbox\.com"), _dropbox),
    (re.compile(r"(drive|docs)\.google\.com"), _google_drive),
    (re.compile(r"(www\.|images\.)?google\.(com|com?\.[a-z]{2}|[a-z]{2})"), _google_search),
    (re.compile(r"(www\.|m\.)?imgur\.com"), _imgur_page),
    (re.compile(r"i\.imgur\.com"), _imgur_file),
    (re.compile(r"([\w-]+\.)?reddit\.com"), _reddit),
    (
        re.compile(
            r"([\w-]+\.)?(m\.)?(mediawiki|wiki(pedia|media|data|books|news|quote|source|versity|voyage)"
            r"|wiktionary)\.org"
        ),
        _wikimedia,
    ),
    (re.compile(r"(www\.)?github\.com"), _github),
)
