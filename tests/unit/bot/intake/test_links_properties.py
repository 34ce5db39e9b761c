"""Links in any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from bot.errors import UserError
from bot.intake.links import ChosenLink, choose_link, parse_link

word = st.text(alphabet="abz09", min_size=1, max_size=6)
hosts = st.lists(word, min_size=2, max_size=3).map(".".join)
# The last character of a link in a sentence is never punctuation.
paths = st.lists(word | st.sampled_from(["a_b", "x-y", "(v2)", "%20", "~me"]), max_size=3)
links = st.builds(
    lambda scheme, host, path, query: (
        f"{scheme}://{host}/{'/'.join(path)}{f'?id={query}' if query else ''}"
    ),
    st.sampled_from(["http", "https", "HTTPS"]),
    hosts,
    paths,
    st.none() | word,
)
around = st.sampled_from(
    [
        *[("", ""), ("see ", " please"), ("(", ")"), ("<", ">"), ("[", "]"), ('"', '"')],
        *[("**", "**"), ("||", "||"), ("`", "`"), ("", "."), ("", ", then"), ("„", "“")],
        *[("[cat](", ")"), ("", "\nnext line"), ("「", "」"), ("\u200b", "\u200b")],
    ]
)


@given(links, around)
def test_a_link_is_found_without_what_surrounds_it(link: str, signs: tuple[str, str]) -> None:
    before, after = signs
    assert choose_link(f"{before}{link}{after}") == ChosenLink(link, 1)


@given(st.lists(links, min_size=1, max_size=4))
def test_the_first_link_is_chosen_and_different_ones_are_counted(several: list[str]) -> None:
    assert choose_link(" ".join(several)) == ChosenLink(several[0], len(set(several)))


@given(st.text(max_size=60) | st.text(alphabet="htps:/ .()[]<>|*a?=", max_size=60))
def test_a_found_link_is_a_part_of_the_text(text: str) -> None:
    found = choose_link(text)
    if found is None:
        return
    assert found.url.lower().startswith(("http://", "https://"))
    assert not set(found.url) & set(' <>"\n\t')
    rest = iter(text)
    assert all(letter in rest for letter in found.url)


@given(st.text(max_size=60) | links | st.text(alphabet="htps:/ .@%[]0123456789abx\\", max_size=40))
def test_a_parsed_link_is_http_without_a_user_or_the_text_is_refused(text: str) -> None:
    try:
        url = parse_link(text)
    except UserError:
        return
    assert url.scheme in ("http", "https")
    assert url.host
    assert (url.user, url.password, url.fragment) == (None, None, "")
    assert str(url).isascii()


@given(links)
def test_an_ordinary_link_keeps_its_path_and_query(link: str) -> None:
    url = parse_link(link)
    before = URL(link, encoded=True)
    assert (url.raw_path, url.raw_query_string) == (before.raw_path, before.raw_query_string)


@pytest.mark.parametrize("text", ["", " ", "http://", "no link", "https:///path"])
def test_text_without_a_host_is_no_link(text: str) -> None:
    with pytest.raises(UserError):
        parse_link(text)
