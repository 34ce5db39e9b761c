"""The link is found in what users paste."""

from __future__ import annotations

import pytest

from bot.intake.links import choose_link, parse_link, without_links

LINK = "https://example.com/a_b-c/cat.png"
COMPLEX = "https://h.test/w/File:A_(b)_[c].jpg?x=%28&sig=a/b==&u=https://i.test/z.png,1"


@pytest.mark.parametrize("link", [LINK, COMPLEX, "HTTP://Example.COM:80", "https://ü.test/猫.png"])
@pytest.mark.parametrize(
    "pasted",
    [
        "{}",
        "  {}\n",
        "<{}>",
        "({})",
        "[{}]",
        '"{}"',
        "'{}'",
        "“{}”",
        "‘{}’",
        "«{}»",
        "„{}“",
        "`{}`",
        "```\n{}\n```",
        "*{}*",
        "**{}**",
        "__{}__",
        "~~{}~~",
        "||{}||",
        "|| {} ||",
        "||<{}>||",
        "[my cat]({})",
        '[my cat]({} "a title")',
        "[my cat](<{}>)",
        "[{0}]({0})",
        "![alt]({})",
        "[img]{}[/img]",
        "[url={}]cat[/url]",
        '<img src="{}" alt="x">',
        "<a href='{}'>x</a>",
        "{}.",
        "{},",
        "{}!",
        "{}?!",
        "{}...",
        "{}…",
        "{};",
        "{}:",
        "look at this: {} please",
        "(see {})",
        "(see {}).",
        "look ({}), nice",
        "Link：{}　です",
        "「{}」です",
        "（{}）",
        "見て：{}。すごい",
        "\ufeff{}\u200b",
        "\u2066{}\u2069",
        "\u202a{}\u202c.",
        "> {}",
        "- {}",
        "# {}\n-# small",
        "{}\u00a0and more",
        "{}’",
        "it’s ‘here: {}’.",
        "| text |{}|",
        "{}\u200d",
        "[[{}][my cat]]",
        "`my cat <{}>`_",
        "\\url{{{}}}",
        "[{} my cat]",
        '[1]: {} "my cat"',
        "__**{}**__",
        "**_{}_**,",
        "~~||{}||~~",
        '\\"{}\\"',
        "\\<{}\\>",
        "{}\\n",
        "&lt;{}&gt;",
        "src=&quot;{}&quot;",
        "‚{}‘",
        "انظر {}؟",
        "{}،",
        "यह {}।",
        "｢{}｣｡",
        "〈{}〉",
        "⟨{}⟩",
        "［{}］、",
        "＜{}＞",
        "{}·",
        "• {} •",
        "→{}←",
        "\ufffc{}\ufffc",
    ],
)
def test_the_link_is_found_in_what_is_around_it(pasted: str, link: str) -> None:
    if link == "HTTP://Example.COM:80" and pasted == "見て：{}。すごい":
        # Before the path, "。" separates the labels of a host name.
        return
    found = choose_link(pasted.format(link))
    assert found is not None
    assert (found.url, found.count) == (link, 1)


@pytest.mark.parametrize(
    "pasted", ["{}を見て", "これ{}です", "看{}这张", "{}—nice", "{}\ufe0f", "📷{}📷", "{}✨ wow"]
)
@pytest.mark.parametrize("link", [LINK, "https://h.test/猫.JPG", "https://h.test/v?f=a.webp"])
def test_other_scripts_and_emoji_end_the_name_of_a_picture(pasted: str, link: str) -> None:
    found = choose_link(pasted.format(link))
    assert found is not None
    assert (found.url, found.count) == (link, 1)


def test_the_host_of_a_link_ends_at_a_backslash() -> None:
    """As in browsers: what follows is no part of the host, and no name of a user before it."""
    chosen = choose_link("http://example.com\\@127.0.0.1/")
    assert chosen is not None
    assert parse_link(chosen.url).host == "example.com"


def test_escapes_of_markdown_are_removed() -> None:
    found = choose_link(r"https://h.test/my\_cat\_\(1\).png")
    assert found is not None
    assert found.url == "https://h.test/my_cat_(1).png"


@pytest.mark.parametrize("character", "\u200b\u200e\u200f\u202a\u2060\ufeff\u00ad")
def test_invisible_characters_inside_a_link_are_removed(character: str) -> None:
    text = f"ht{character}tps:/{character}/exam{character}ple.com/{character}cat.png{character}"
    found = choose_link(text)
    assert found is not None
    assert found.url == "https://example.com/cat.png"


@pytest.mark.parametrize(
    ("text", "url", "count"),
    [
        ("https://a.test/1.png https://b.test/2.png", "https://a.test/1.png", 2),
        ("https://b.test/2.png\nhttps://a.test/1.png, https://c.test/", "https://b.test/2.png", 3),
        ("https://a.test/1.pnghttps://b.test/2.png", "https://a.test/1.png", 2),
        ("https://a.test/1.png,https://b.test/2.png", "https://a.test/1.png", 2),
        ("[https://a.test/1.png](https://b.test/2.png)", "https://a.test/1.png", 2),
        ("https://a.test/1.png https://a.test/1.png", "https://a.test/1.png", 1),
        ("https://p.test/?u=https://a.test/1.png", "https://p.test/?u=https://a.test/1.png", 1),
        (
            "https://web.archive.org/web/2020/https://a.test/1.png",
            "https://web.archive.org/web/2020/https://a.test/1.png",
            1,
        ),
    ],
)
def test_of_several_links_the_first_is_chosen(text: str, url: str, count: int) -> None:
    found = choose_link(text)
    assert found is not None
    assert (found.url, found.count) == (url, count)


@pytest.mark.parametrize(
    "text", ["", "cat", "www.example.com/cat.png", "ftp://a.test/", "http:/a.test", "//a.test/x"]
)
def test_text_without_a_link_has_none(text: str) -> None:
    assert choose_link(text) is None


def test_long_hostile_text_is_searched_in_little_time() -> None:
    for text in ("https://" * 5000, "https://a/" + "(" * 20_000 + ")" * 20_000, "http" * 10_000):
        choose_link(text)


@pytest.mark.parametrize(
    ("pasted", "words"),
    [
        ("{}", ""),
        ("\u200b{}\u200b", ""),
        ("{}\ufe0f", ""),
        ("{}を青く", "を青く"),
        ("{}。水彩画風に", "水彩画風に"),
        ("「{}」を青く", "を青く"),
        ('"{}"as oil', "as oil"),
        ("blue, {}, green", "blue, green"),
        ("blue **<{}>**, green", "blue green"),
        ("blue || {} || green", "blue green"),
        ("[blue]({}) green", "blue green"),
        ("[img]{}[/img] blue", "blue"),
        ("{}&quot; blue", "blue"),
        ("<@1>{}<:cat:2>", "<@1> <:cat:2>"),
        ("می\u200cخواهم {} blue", "می\u200cخواهم blue"),
        ("blue {} and {} green", "blue and green"),
        (r"blue https://h.test/my\_\_cat.webp猫", "blue 猫"),
        ("no link: *blue*", "no link: *blue*"),
    ],
)
def test_the_words_beside_links_are_kept(pasted: str, words: str) -> None:
    assert without_links(pasted.replace("{}", LINK)) == words
