"""Captions of the sample memes: many wordings, each of which can talk of the country or of the city.

The wording and its neutral words (who, when, mood) are drawn first and serve both topics; only then come the topic's
own words. So a wording tells nothing of the topic. Everything here is harmless.
"""

from dataclasses import dataclass
from random import Random
from typing import Final


@dataclass(frozen=True)
class Vocabulary:
    """A topic's own words."""

    acts: tuple[tuple[str, str, str], ...]  # a verb, its -ing form, what follows either
    things: tuple[str, ...]
    places: tuple[str, ...]


WORDINGS: Final = (
    "when {who} says let's {do} and you {do2}",
    "nobody: ... {who} {when}: let's {do}",
    "one does not simply {do} {when}",
    "me {when}: {doing} {place}",
    "i don't always {do}, but when i do there is {thing}",
    "that feeling when you see {thing} {place}",
    "{who} asked for {thing} so now we are {doing}",
    "keep calm and {do} {place}",
    "they promised me {thing}. it was {thing2}",
    "what if i told you that {thing} belongs {place}",
    "pov: you are {doing} and {who} brings {thing}",
    "expectation: {thing}. reality: {doing} {when}",
    "{who} dreams of {thing} and wakes up {place}",
    "brace yourselves, {who} is {doing} {place}",
    "not sure if {thing} or just {thing2}",
    "so you like {doing}? tell me more about {thing}",
    "{when} i was {doing}. now i own {thing}",
    "found {thing} {place} and named it after {who}",
    "can't come today, {who} is still {doing}",
    "first you {do}, then you {do2}. {mood}",
    "is this {thing}? no, it is {who} {doing}",
    "{who} thinks {thing} is a personality. {mood}",
    "yo dawg, i heard you like {thing} {place}",
    "my plans {when}: {doing}, {doing2}, more {doing}",
    "i came for {thing} and stayed for {doing}",
    "{mood}: {thing} {place}",
    "how it started: {doing}. how it is going: {thing}",
    "two kinds of people: {thing} and {who} {doing}",
    "tell me you {do} without telling me you {do}",
    "plot twist: {thing} was {place} {when}",
    "{who}: look, {thing}! me: still {doing}",
    "all i want {when} is {thing} {place}",
    "if {thing} could talk it would {do}",
    "roses are red, violets are blue, {who} is {doing} too",
    "sorry i'm late, there was {thing} {place}",
    "{doing} with {who} {when}. {mood}",
    "doctor: you need rest. {who}: {doing} {place}",
    "find someone who looks at you like {who} looks at {thing}",
    "unpopular opinion: {doing} beats {doing2}",
    "spent my whole paycheck on {thing}. {mood}",
    "everybody gangsta until {thing} shows up {place}",
    "you vs {thing} they told you not to worry about",
    "day 47: {who} still has not noticed {thing}",
    "change my mind: {thing} is better {when}",
    "the face you make when {who} keeps {doing}",
    "{who}: it's only {thing}. also {who}: {doing}",
)

NEUTRAL: Final[dict[str, tuple[str, ...]]] = {
    "who": (
        *("my brother", "my boss", "grandma", "my best friend", "the new guy", "my neighbor", "my old teacher"),
        *("my roommate", "uncle joe", "my little sister", "our coach", "the dentist", "my cat", "my dog", "my mom"),
        *("the intern", "my cousin", "aunt may", "my twin", "my barber", "dad", "the plumber", "my lawyer", "nobody"),
    ),
    "when": (
        *("on a monday", "before breakfast", "at six in the morning", "every single weekend", "after lunch"),
        *("on my birthday", "all summer long", "right before bedtime", "in the rain", "on my day off", "in january"),
        *("for the third time this week", "once a year", "at midnight", "again", "before coffee", "on vacation"),
        *("since last tuesday", "in my pajamas", "without any warning", "at this hour", "for no reason"),
    ),
    "mood": (
        *("pure happiness", "best day ever", "ten out of ten", "no regrets", "not even mad", "this is fine"),
        *("living the dream", "send help", "totally worth it", "nailed it", "such wow", "i regret nothing"),
        *("and that's a fact", "story of my life", "what a time to be alive", "true story", "deal with it"),
        *("my life is complete", "why not", "asking for a friend", "big mood", "can confirm"),
    ),
}

COUNTRY: Final = Vocabulary(
    acts=(
        *(("milk", "milking", "the cows"), ("feed", "feeding", "the chickens"), ("drive", "driving", "a tractor")),
        *(("plow", "plowing", "the field"), ("stack", "stacking", "hay bales"), ("shear", "shearing", "sheep")),
        *(("herd", "herding", "goats"), ("pick", "picking", "apples in the orchard"), ("bale", "baling", "straw")),
        *(("plant", "planting", "potatoes"), ("harvest", "harvesting", "corn"), ("clean", "cleaning", "the pig pen")),
        *(("ride", "riding", "a horse"), ("paint", "painting", "the barn"), ("water", "watering", "the pumpkins")),
        *(
            ("fix", "fixing", "the pasture fence"),
            ("collect", "collecting", "fresh eggs"),
            ("churn", "churning", "butter"),
        ),
        *(("fish", "fishing", "in the creek"), ("dig", "digging", "up carrots"), ("chase", "chasing", "a goose")),
        *(("groom", "grooming", "the donkey"), ("count", "counting", "sheep"), ("follow", "following", "a farm track")),
    ),
    things=(
        *("a tractor", "a grumpy goat", "a muddy pig", "the farmer's scarecrow", "a bale of hay", "a loud rooster"),
        *("a field of wheat", "an old barn", "a herd of cows", "a flock of sheep", "a bucket of fresh milk"),
        *("a pumpkin patch", "the harvest fair", "a wheelbarrow of turnips", "a sleepy sheepdog", "a duck pond"),
        *("a jar of farm honey", "the farmer's bull", "a row of sunflowers", "a pony", "an apple orchard"),
        *("a nest of chicks", "a mountain trail", "a rusty plow", "a quiet meadow"),
    ),
    places=(
        *("behind the barn", "in the cow pasture", "on the farm", "down by the creek", "in the hay loft"),
        *("in the wheat field", "at the edge of the woods", "in the chicken coop", "on a dirt road", "in the orchard"),
        *("up in the hills", "in the horse stable", "in a wide meadow", "at the farm gate", "in the pig pen"),
        *("next to the haystack", "by the village pond", "in the vegetable patch", "under the oak tree"),
        *("among the sheep", "deep in the forest", "on the mountain pasture", "in the corn maze", "on the tractor"),
    ),
)

CITY: Final = Vocabulary(
    acts=(
        *(("catch", "catching", "the subway"), ("hail", "hailing", "a taxi"), ("ride", "riding", "the elevator")),
        *(
            ("sit", "sitting", "in rush hour traffic"),
            ("rent", "renting", "a tiny apartment"),
            ("miss", "missing", "the bus"),
        ),
        *(
            ("look", "looking", "for a parking spot"),
            ("visit", "visiting", "a rooftop bar"),
            ("share", "sharing", "a cab"),
        ),
        *(("commute", "commuting", "to the office"), ("queue", "queueing", "at the night club")),
        *(
            ("cross", "crossing", "the avenue"),
            ("climb", "climbing", "the fire escape"),
            ("dodge", "dodging", "tourists"),
        ),
        *(("clean", "cleaning", "skyscraper windows"), ("order", "ordering", "at the food truck")),
        *(("park", "parking", "downtown"), ("swipe", "swiping", "a metro card"), ("shop", "shopping", "at the mall")),
        *(("pay", "paying", "the parking meter"), ("squeeze", "squeezing", "into the tram")),
        *(("photograph", "photographing", "the skyline"), ("wait", "waiting", "at the crosswalk")),
        ("ride", "riding", "a scooter through traffic"),
    ),
    things=(
        *("a yellow taxi", "a crowded subway", "a traffic jam", "the tallest skyscraper", "a parking ticket"),
        *(
            "a broken elevator",
            "a neon billboard",
            "a night bus",
            "an office tower",
            "a hot dog stand",
            "a rooftop bar",
        ),
        *("a tiny studio apartment", "the downtown skyline", "a revolving door", "a busy intersection"),
        *("a honking cab", "the rush hour crowd", "a metro card", "a penthouse", "a fire hydrant", "a subway rat"),
        *("a street musician", "a food truck", "a construction crane", "a shopping mall"),
    ),
    places=(
        *("in the subway", "on the 40th floor", "at the bus stop", "in downtown traffic", "on the rooftop terrace"),
        *("at the crosswalk", "in the back of a taxi", "in the elevator", "at the central station", "on the tram"),
        *("in the parking garage", "on main avenue", "in the office lobby", "outside the night club", "at the mall"),
        *("on the metro platform", "in a skyscraper", "under the neon signs", "at the traffic light"),
        *(
            "in the food court",
            "on the fire escape",
            "between two office towers",
            "on the city bus",
            "in the penthouse",
        ),
    ),
)

TOPICS: Final = {"country": COUNTRY, "city": CITY}


def captions(rng: Random) -> dict[str, str]:
    """One caption per topic: the same wording and neutral words, each with its own topic's words."""
    wording = rng.choice(WORDINGS)
    neutral = {slot: rng.choice(words) for slot, words in NEUTRAL.items()}
    return {topic: wording.format(**neutral, **_topical(words, rng)) for topic, words in TOPICS.items()}


def _topical(words: Vocabulary, rng: Random) -> dict[str, str]:
    act, act2 = rng.sample(words.acts, 2)
    thing, thing2 = rng.sample(words.things, 2)
    return {
        "do": f"{act[0]} {act[2]}",
        "doing": f"{act[1]} {act[2]}",
        "do2": f"{act2[0]} {act2[2]}",
        "doing2": f"{act2[1]} {act2[2]}",
        "thing": thing,
        "thing2": thing2,
        "place": rng.choice(words.places),
    }
