"""Values of a record's fields, drawn from open vocabularies so that a model has to copy what it cannot know."""

from __future__ import annotations

from random import Random

ONSETS = [
    "b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z", "br", "ch", "cl", "cr",
    "dr", "fl", "gr", "kr", "pl", "sh", "sk", "st", "th", "tr",
]  # fmt: skip
VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "ee", "ia", "io", "oa", "ou"]
CODAS = ["", "n", "r", "l", "s", "m", "nd", "rk", "st", "th", "x", "ck", "lt"]
PLACE_ENDINGS = ["ton", "ville", "burg", "ford", "mouth", "wick", "ham", "dale", "bridge", "port", "field", "stead"]
FIRST_NAMES = [
    "Anna", "Ben", "Clara", "David", "Elsa", "Frank", "Greta", "Hugo", "Ida", "James", "Karin", "Leo", "Maria",
    "Nils", "Olga", "Peter", "Rosa", "Simon", "Tara", "Viktor", "Amir", "Chen", "Diego", "Fatima", "Goran", "Hana",
    "Ivan", "Jamal", "Keiko", "Lucia", "Mei", "Noor", "Omar", "Priya", "Ravi", "Sofia", "Tomas", "Yuki", "Zara",
    "Kofi",
]  # fmt: skip
COUNTRIES = [
    "Argentina", "Austria", "Belgium", "Brazil", "Canada", "Chile", "China", "Denmark", "Egypt", "Finland", "France",
    "Germany", "Ghana", "Greece", "Iceland", "India", "Ireland", "Italy", "Japan", "Kenya", "Mexico", "Morocco",
    "Norway", "Peru", "Poland", "Portugal", "Spain", "Sweden", "Turkey", "Vietnam",
]  # fmt: skip
MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
]  # fmt: skip
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
CURRENCIES = ["{} euros", "${}", "{} dollars", "{} pounds", "{} crowns", "{} francs"]
TITLES = ["The {} {}", "{} {}", "{} of {}", "{} and {}", "{} {}", "{}"]


def draw(kind: str | list[str], rng: Random, words: list[str]) -> str:
    """One value of `kind`: a list to choose from, or the name of a generator with its arguments."""
    if isinstance(kind, list):
        return str(rng.choice(kind))
    name, *arguments = kind.split()
    if name == "number":
        low, high, *unit = arguments
        return " ".join([str(rng.randint(int(float(low)), int(float(high)))), *unit])
    if name == "list":
        *rest, last = [draw(arguments[0], rng, words) for _ in range(rng.choice([2, 2, 3]))]
        return f"{', '.join(rest)} and {last}"
    return GENERATORS[name](rng, words)


def invented(rng: Random, words: list[str]) -> str:
    """A made-up capitalised word of one to three syllables."""
    n = rng.choice([1, 2, 2, 3])
    syllables = [rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(n)]
    return "".join(syllables).capitalize()


def title(rng: Random, words: list[str]) -> str:
    """The proper name of a thing: made-up words, common words, or both."""
    pattern = rng.choice(TITLES)
    parts = [invented(rng, words) if rng.random() < 0.5 else rng.choice(words).capitalize() for _ in range(2)]
    return pattern.format(*parts)


def place(rng: Random, words: list[str]) -> str:
    """The name of a town."""
    return invented(rng, words) if rng.random() < 0.4 else invented(rng, words) + rng.choice(PLACE_ENDINGS)


def date(rng: Random, words: list[str]) -> str:
    """A day, in one of three notations."""
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1850, 2030)
    name = MONTHS[month - 1]
    return rng.choice([f"{day} {name} {year}", f"{name} {day}, {year}", f"{year}-{month:02}-{day:02}", f"{day} {name}"])


GENERATORS = {
    "place": place,
    "title": title,
    "date": date,
    "country": lambda rng, words: rng.choice(COUNTRIES),
    "person": lambda rng, words: f"{rng.choice(FIRST_NAMES)} {invented(rng, words)}",
    "word": lambda rng, words: rng.choice(words),
    "year": lambda rng, words: str(rng.randint(1700, 2030)),
    "time": lambda rng, words: f"{rng.randint(0, 23)}:{rng.randint(0, 59):02}",
    "month": lambda rng, words: rng.choice(MONTHS),
    "weekday": lambda rng, words: rng.choice(WEEKDAYS),
    "age": lambda rng, words: str(rng.randint(1, 99)),
    "money": lambda rng, words: rng.choice(CURRENCIES).format(
        rng.choice([rng.randint(1, 99), rng.randint(1, 90) * 100])
    ),
    "percent": lambda rng, words: f"{rng.randint(1, 100)} %",
}
