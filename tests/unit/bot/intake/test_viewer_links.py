"""Links to viewer pages become links to the file."""

from __future__ import annotations

import pytest

from bot.intake.links import parse_link

RULES = {
    "dropbox": [
        (
            "https://www.dropbox.com/s/ab12/cat.png?dl=0",
            "https://www.dropbox.com/s/ab12/cat.png?dl=1",
        ),
        ("https://dropbox.com/s/ab12/my%20cat.png", "https://dropbox.com/s/ab12/my%20cat.png?dl=1"),
        (
            "https://www.dropbox.com/scl/fi/x1/c.jpg?rlkey=k%2Fb&st=z&dl=0&raw=1",
            "https://www.dropbox.com/scl/fi/x1/c.jpg?rlkey=k%2Fb&st=z&dl=1",
        ),
        ("https://www.dropbox.com/s/ab12/c.png?dl=1", "https://www.dropbox.com/s/ab12/c.png?dl=1"),
        ("https://www.dropbox.com/home?dl=0", "https://www.dropbox.com/home?dl=0"),
    ],
    "google drive": [
        (
            "https://drive.google.com/file/d/1A-b_C/view?usp=sharing",
            "https://drive.google.com/uc?export=download&id=1A-b_C",
        ),
        (
            "https://drive.google.com/file/u/1/d/1A-b_C/preview?resourcekey=0-x",
            "https://drive.google.com/uc?export=download&id=1A-b_C&resourcekey=0-x",
        ),
        (
            "https://drive.google.com/open?id=1A-b_C&usp=drive",
            "https://drive.google.com/uc?export=download&id=1A-b_C",
        ),
        (
            "https://drive.google.com/a/example.com/file/d/1A-b_C/view",
            "https://drive.google.com/uc?export=download&id=1A-b_C",
        ),
        ("https://drive.google.com/uc?id=1A", "https://drive.google.com/uc?id=1A"),
    ],
    "google search": [
        (
            "https://www.google.com/imgres?q=cat&imgurl=https%3A%2F%2Fa.test%2Fc%2520d.png%3Fe%3Df&h=1",
            "https://a.test/c%20d.png?e=f",
        ),
        ("https://www.google.co.uk/imgres?imgurl=http://a.test/c.png", "http://a.test/c.png"),
        ("https://images.google.de/url?sa=i&url=https%3A%2F%2Fa.test%2F", "https://a.test/"),
        ("https://www.google.com/url?q=https://a.test/x", "https://a.test/x"),
        ("https://www.google.com/search?q=cat", "https://www.google.com/search?q=cat"),
        (
            "https://www.google.com/imgres?imgurl=https%3A%2F%2Fimgur.com%2FaBc12dE",
            "https://i.imgur.com/aBc12dE.png",
        ),
    ],
    "imgur": [
        ("https://imgur.com/aBc12dE", "https://i.imgur.com/aBc12dE.png"),
        ("https://m.imgur.com/aBc12dE.jpg", "https://i.imgur.com/aBc12dE.png"),
        ("https://imgur.com/r/cats/aBc12dE/", "https://i.imgur.com/aBc12dE.png"),
        ("https://i.imgur.com/aBc12dE.gifv", "https://i.imgur.com/aBc12dE.gif"),
        ("https://imgur.com/a/aBc12", "https://imgur.com/a/aBc12"),
        ("https://imgur.com/gallery/a-title-aBc12dE", "https://imgur.com/gallery/a-title-aBc12dE"),
        ("https://i.imgur.com/aBc12dE.jpg", "https://i.imgur.com/aBc12dE.jpg"),
    ],
    "reddit": [
        (
            "https://www.reddit.com/media?url=https%3A%2F%2Fi.redd.it%2Fab12.jpeg",
            "https://i.redd.it/ab12.jpeg",
        ),
        (
            "https://reddit.com/media/?x=y&url=https%3A%2F%2Fpreview.redd.it%2Fa.png%3Fwidth%3D9%26s%3D0f",
            "https://preview.redd.it/a.png?width=9&s=0f",
        ),
        ("https://old.reddit.com/media?url=https://i.redd.it/a.png", "https://i.redd.it/a.png"),
        ("https://sh.reddit.com/media?url=https://i.redd.it/a.png", "https://i.redd.it/a.png"),
        (
            "https://www.reddit.com/r/cats/comments/1/x/",
            "https://www.reddit.com/r/cats/comments/1/x/",
        ),
    ],
    "wikimedia": [
        (
            "https://commons.wikimedia.org/wiki/File:Cat_(1).jpg",
            "https://commons.wikimedia.org/wiki/Special:FilePath/Cat_%281%29.jpg",
        ),
        (
            "https://de.wikipedia.org/wiki/Datei:K%C3%A4tzchen.jpg",
            "https://de.wikipedia.org/wiki/Special:FilePath/K%C3%A4tzchen.jpg",
        ),
        (
            "https://en.m.wikipedia.org/wiki/Cat#/media/File%3ACat.jpg",
            "https://en.m.wikipedia.org/wiki/Special:FilePath/Cat.jpg",
        ),
        (
            "https://ja.wikipedia.org/wiki/ファイル:猫.svg",
            "https://ja.wikipedia.org/wiki/Special:FilePath/%E7%8C%AB.svg?width=1280",
        ),
        (
            "https://ko.wikipedia.org/wiki/파일:Cat.png",
            "https://ko.wikipedia.org/wiki/Special:FilePath/Cat.png",
        ),
        (
            "https://sv.wikipedia.org/wiki/Fil:Cat.JPG",
            "https://sv.wikipedia.org/wiki/Special:FilePath/Cat.JPG",
        ),
        (
            "https://zh.wikipedia.org/zh-tw/File:Cat.webp",
            "https://zh.wikipedia.org/wiki/Special:FilePath/Cat.webp",
        ),
        (
            "https://en.wikivoyage.org/wiki/File:Cat.jpg",
            "https://en.wikivoyage.org/wiki/Special:FilePath/Cat.jpg",
        ),
        (
            "https://commons.wikimedia.org/w/index.php?title=File:My_cat.jpg&oldid=1",
            "https://commons.wikimedia.org/wiki/Special:FilePath/My_cat.jpg",
        ),
        ("https://en.wikipedia.org/wiki/Cat", "https://en.wikipedia.org/wiki/Cat"),
        *(
            (f"https://en.wikipedia.org/wiki/{page}", f"https://en.wikipedia.org/wiki/{page}")
            for page in ("User:Cat", "User:Cat.jpg", "user_talk:Cat.jpg", "File_talk:Cat.jpg")
        ),
        (
            "https://upload.wikimedia.org/wikipedia/commons/a/ab/Cat.jpg",
            "https://upload.wikimedia.org/wikipedia/commons/a/ab/Cat.jpg",
        ),
    ],
    "github": [
        (
            "https://github.com/o/r/blob/main/a%20b/c.png?raw=true",
            "https://github.com/o/r/raw/main/a%20b/c.png",
        ),
        ("https://www.github.com/o/r/blob/v1/c.png", "https://github.com/o/r/raw/v1/c.png"),
        ("https://github.com/o/r/issues/1", "https://github.com/o/r/issues/1"),
    ],
}


@pytest.mark.parametrize(
    ("link", "direct"),
    [
        pytest.param(*case, id=f"{host} {n}")
        for host, cases in RULES.items()
        for n, case in enumerate(cases)
    ],
)
def test_a_viewer_link_becomes_the_link_to_its_file(link: str, direct: str) -> None:
    assert str(parse_link(link)) == direct


@pytest.mark.parametrize(
    "link",
    [
        "https://dropbox.com.evil.test/s/a/c.png?dl=0",
        "https://notimgur.com/aBc12dE",
        "https://evil.test/www.google.com/imgres?imgurl=https://a.test/",
    ],
)
def test_links_of_similar_hosts_stay_unchanged(link: str) -> None:
    assert str(parse_link(link)) == link
