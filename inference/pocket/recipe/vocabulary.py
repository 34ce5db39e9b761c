"""What the model can be asked for: objects (word → emoji short name) and colours."""

OBJECTS = {
    "fox": "fox_face", "cat": "cat", "dog": "dog", "panda": "panda_face", "bear": "bear",
    "frog": "frog", "pig": "pig", "lion": "lion_face", "tiger": "tiger", "rabbit": "rabbit",
    "mouse": "mouse", "monkey": "monkey_face", "koala": "koala", "wolf": "wolf", "cow": "cow",
    "unicorn": "unicorn_face", "penguin": "penguin", "owl": "owl", "chick": "baby_chick",
    "parrot": "parrot", "duck": "duck", "swan": "swan", "flamingo": "flamingo",
    "elephant": "elephant", "hedgehog": "hedgehog", "turtle": "turtle", "snail": "snail",
    "butterfly": "butterfly", "bee": "bee", "ladybug": "ladybug", "octopus": "octopus",
    "whale": "whale", "dolphin": "dolphin", "clownfish": "tropical_fish", "blowfish": "blowfish",
    "crab": "crab", "shell": "shell", "dinosaur": "sauropod", "dragon": "dragon_face",
    "apple": "apple", "pear": "pear", "tangerine": "tangerine", "lemon": "lemon",
    "banana": "banana", "watermelon": "watermelon", "grapes": "grapes",
    "strawberry": "strawberry", "cherries": "cherries", "peach": "peach",
    "pineapple": "pineapple", "kiwi": "kiwifruit", "avocado": "avocado", "tomato": "tomato",
    "carrot": "carrot", "corn": "corn", "broccoli": "broccoli", "eggplant": "eggplant",
    "pepper": "bell_pepper", "mushroom": "mushroom", "bread": "bread", "croissant": "croissant",
    "pretzel": "pretzel", "cheese": "cheese_wedge", "burger": "hamburger", "pizza": "pizza",
    "egg": "fried_egg", "donut": "doughnut", "cookie": "cookie", "cupcake": "cupcake",
    "cake": "birthday", "icecream": "icecream", "lollipop": "lollipop", "pancakes": "pancakes",
    "cactus": "cactus", "tree": "deciduous_tree", "fir": "evergreen_tree", "palm": "palm_tree",
    "rose": "rose", "tulip": "tulip", "sunflower": "sunflower", "clover": "four_leaf_clover",
    "pumpkin": "jack_o_lantern", "snowman": "snowman_without_snow", "sun": "sunny",
    "moon": "crescent_moon", "star": "star", "cloud": "cloud", "rainbow": "rainbow",
    "fire": "fire", "earth": "earth_africa", "planet": "ringed_planet", "volcano": "volcano",
    "mountain": "mount_fuji", "house": "house", "castle": "european_castle", "tent": "tent",
    "car": "car", "bus": "bus", "taxi": "taxi", "train": "steam_locomotive",
    "tractor": "tractor", "rocket": "rocket", "ufo": "flying_saucer", "sailboat": "boat",
    "ball": "soccer", "basketball": "basketball", "guitar": "guitar",
    "drum": "drum_with_drumsticks", "gift": "gift", "balloon": "balloon", "teddy": "teddy_bear",
    "crown": "crown", "hat": "tophat", "shoe": "athletic_shoe", "gem": "gem", "bell": "bell",
    "clock": "alarm_clock", "lamp": "bulb", "book": "closed_book", "camera": "camera",
    "robot": "robot_face",
    "ghost": "ghost", "alien": "alien", "skull": "skull", "clown": "clown_face",
    "smiley": "smiley", "heart": "heart", "coin": "coin", "key": "key", "trophy": "trophy",
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


# What looks best at the native size.
DEFAULTS = {"strength": 0.9, "steps": 20, "guidance_scale": 3.0}


def article(word: str) -> str:
    """`an owl`, `a fox`; plurals and masses take it too, in this small language."""
    return (
        f"an {word}" if word[0] in "aeiou" and word != "unicorn" and word != "ufo" else f"a {word}"
    )
