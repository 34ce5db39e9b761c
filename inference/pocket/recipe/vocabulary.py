"""The words that the model knows: objects (word → emoji short name) and colours."""

OBJECTS = {
    "fox": "fox_face", "cat": "cat", "panda": "panda_face", "frog": "frog", "pig": "pig",
    "lion": "lion_face", "tiger": "tiger", "koala": "koala", "unicorn": "unicorn_face",
    "penguin": "penguin", "owl": "owl", "chick": "baby_chick", "flamingo": "flamingo",
    "turtle": "turtle", "butterfly": "butterfly", "bee": "bee", "ladybug": "ladybug",
    "octopus": "octopus", "clownfish": "tropical_fish", "crab": "crab",
    "apple": "apple", "tangerine": "tangerine", "banana": "banana", "watermelon": "watermelon",
    "grapes": "grapes", "strawberry": "strawberry", "pineapple": "pineapple", "kiwi": "kiwifruit",
    "avocado": "avocado", "carrot": "carrot", "broccoli": "broccoli", "eggplant": "eggplant",
    "mushroom": "mushroom", "burger": "hamburger", "pizza": "pizza", "egg": "fried_egg",
    "donut": "doughnut", "cookie": "cookie", "cupcake": "cupcake", "lollipop": "lollipop",
    "cactus": "cactus", "tree": "deciduous_tree", "rose": "rose", "sunflower": "sunflower",
    "pumpkin": "jack_o_lantern", "snowman": "snowman_without_snow", "rainbow": "rainbow",
    "fire": "fire", "earth": "earth_africa", "planet": "ringed_planet",
    "castle": "european_castle", "car": "car", "rocket": "rocket", "ball": "soccer",
    "basketball": "basketball", "gift": "gift", "teddy": "teddy_bear", "gem": "gem",
    "robot": "robot_face", "ghost": "ghost", "alien": "alien", "smiley": "smiley",
    "heart": "heart", "crown": "crown",
}  # fmt: skip

# sRGB. Backgrounds and, for objects, tints.
COLOURS = {
    "white": (245, 245, 245),
    "grey": (140, 140, 145),
    "black": (28, 28, 32),
    "red": (214, 48, 49),
    "orange": (243, 139, 40),
    "yellow": (250, 211, 70),
    "green": (74, 170, 82),
    "teal": (40, 170, 170),
    "blue": (52, 104, 214),
    "purple": (128, 74, 190),
    "pink": (246, 152, 190),
    "brown": (124, 82, 52),
}

PROMPTS = (
    "a fox on a blue background",
    "a panda on a pink background",
    "a strawberry on a white background",
    "a red rocket on a black background",
    "an owl on a purple background",
    "a sunflower on a teal background",
    "a donut on a yellow background",
    "a robot on an orange background",
    "a frog on a green background",
    "a penguin on a white background",
    "a blue cat on a yellow background",
    "a planet on a black background",
    "a pumpkin on a purple background",
    "a castle on a pink background",
    "a watermelon on a teal background",
    "a lion on a grey background",
    "a unicorn on a blue background",
    "a cactus on a brown background",
    "a green apple on a red background",
    "a butterfly on a green background",
    "a burger on an orange background",
    "a ghost on a black background",
    "a smiley on a blue background",
    "a clownfish on a teal background",
)


# The best-looking values at the native size.
DEFAULTS = {"strength": 0.9, "steps": 20, "guidance_scale": 3.0}


def article(word: str) -> str:
    """The word with its article: `an owl`, `a fox`. Plurals and mass nouns get one too."""
    return (
        f"an {word}" if word[0] in "aeiou" and word != "unicorn" and word != "ufo" else f"a {word}"
    )
