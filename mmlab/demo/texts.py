"""The texts of the demo: tweets whose wording shows one text cue and nothing else.

What a tweet is about (subject, person, place, time) never depends on its cue; only the wording does.
"""

import re

from mmlab.demo.chance import Chance
from mmlab.demo.recipe import MISSING, NEGATIVE, NEUTRAL, POSITIVE, WRY
from mmlab.errors import ConfigError

_SUBJECTS = (
    "the night train", "our choir", "the harbour cafe", "the school play", "the new library", "the street market",
    "the football club", "the old bridge", "our allotment", "the robotics team", "the village hall", "the marathon",
    "the film club", "the hospital wing", "the bike path", "our bakery", "the lighthouse", "the chess final",
    "the ferry", "the museum", "the brass band", "the science fair", "the swimming pool", "our street", "the city zoo",
    "the radio show", "the climbing wall", "the botanic garden", "the theatre", "the fire station",
)  # fmt: skip
_PEOPLE = (
    "grandma", "my sister", "our coach", "Priya", "Tom", "Ms Okafor", "my flatmate", "Dad", "our neighbour", "Yuki",
    "our captain", "Leila", "my cousin", "little Max", "Mateo", "Auntie Jo", "Professor Lind", "Sam",
)  # fmt: skip
_PLACES = (
    "Leeds", "Porto", "Austin", "Osaka", "Galway", "Lagos", "Lyon", "Perth", "Boston", "Bergen", "Pune", "Toronto",
    "Naples", "Cardiff", "Shanghai", "Graz", "Bath", "Seattle", "Quito", "Hobart",
)  # fmt: skip
_WHENS = (
    "this morning", "tonight", "on Sunday", "today", "yesterday", "this week", "on Friday", "this afternoon",
    "last night", "on Saturday", "on Monday", "at noon",
)  # fmt: skip
_USERS = (
    "annabee", "tom_k", "city_desk", "leedslad", "portolife", "rosa88", "mrblue", "the_daily_map", "kaya_", "jonas_w",
    "northsea", "mika_o", "bluebus", "oldtown", "radio_nine", "pat_lee", "zoe_m", "hans_g",
)  # fmt: skip
_TAGS = (
    "vscocam", "tuesday", "photo", "tbt", "instapic", "london", "art", "music", "travel", "city", "throwback", "food",
    "porto", "people", "weekend", "street", "texas", "news", "football", "coast", "nyc", "film", "wednesday", "autumn",
    "mobile", "camera", "osaka", "hiking", "garden", "railway", "canada", "july", "studio", "blackandwhite",
)  # fmt: skip

_OPENINGS = {
    POSITIVE: (
        "So happy for {who}, {subject} was wonderful {when}", "I love {subject} in {place}, thank you {who}",
        "What a joy {subject} was {when}", "Huge congratulations to {who}! {Subject} in {place} is a dream",
        "Beautiful day at {subject} with {who}", "We won at {subject} {when}! So proud of {who}",
        "Thank you {who} for the lovely surprise at {subject}", "Feeling grateful for {subject} and for {who}",
        "Amazing news from {subject} in {place}", "{Who} made me so happy at {subject} {when}",
        "Delighted with {subject} {when}", "Laughing all the way home from {subject} with {who}",
        "The loveliest welcome at {subject} in {place}", "Happy birthday {who}! Sweet party at {subject}",
    ),
    NEGATIVE: (
        "Heartbroken for {who}, we lost {subject} {when}", "So angry about {subject} in {place}, and {who} is in tears",
        "Terrible accident at {subject} {when}", "{Who} is seriously ill, no visit to {subject}",
        "Such a horrible day at {subject} with {who}", "I hate what they did to {subject} in {place}",
        "Crying over {subject} again, I miss {who}", "Awful news from {subject} in {place}",
        "{Subject} is destroyed, {who} lost everything", "Rest in peace {who}, {subject} mourns you",
        "Scared and hurt after the attack at {subject} {when}", "Disgusted by the cruelty at {subject} in {place}",
        "{Subject} failed us {when} and {who} is miserable", "Sick, tired and alone at {subject} {when}",
    ),
    NEUTRAL: (
        "{Subject}, {place}: doors {time}, room {n}, entrance B",
        "Timetable for {subject}: {time}, {time2} and {time3}",
        "Agenda for {subject}, item {n}: minutes by {who}",
        "{Subject} in {place} opens at {time} and closes at {time2}",
        "Form {n} for {subject} is available at the {place} office", "Meeting about {subject} at {time}, room {n}",
        "{Who} will report on {subject} at {time}, channel {n}", "Route {n} to {subject} runs every {n2} minutes",
        "Listing: {subject}, {place}, {n} seats, applications by {time}",
        "Survey on {subject}: {n} replies from {place}",
        "{Place} council publishes report {n} on {subject}", "Notice: {subject} moves to building {n}, {place}",
        "Programme of {subject}: part {n} at {time}, part {n2} at {time2}",
        "Map and directions to {subject}, {place}, page {n}",
    ),
    WRY: (
        "Well well, would you look at {subject} {when}", "Of course. Of course it is {subject} again, {who}",
        "Only {subject} could do this, only in {place}", "You could not make it up: {subject} {when}, {who}",
        "Oh look, {subject} in {place}, right on cue", "How typical of {subject}, how typical of {who}",
        "And there we have it, {subject} {when}", "Guess who got exactly what was ordered at {subject}? {Who}",
        "So that was {subject} {when}, I rest my case", "That is so {place}, that is so {subject}",
    ),
}  # fmt: skip
_CLOSINGS = {
    POSITIVE: (
        "I can't stop smiling, so happy!", "best feeling ever, I love it!", "my heart is full of joy.", "pure joy!",
        "so much fun, we love it!", "what a lovely gift, so happy!", "absolutely wonderful.", "lucky and happy me!",
        "hooray, happiest day ever!", "we are thrilled and so happy!",
    ),
    NEGATIVE: (
        "I can't stop crying, so sad.", "this is horrible and unforgivable.", "everything hurts, so sad.",
        "what a horrible disgrace.", "I feel sick and hopeless.", "worst day of my life, so sad.",
        "devastated and angry.",
        "it is a terrible tragedy.", "I give up, this is awful.", "we are furious and sad.",
    ),
    NEUTRAL: (
        "Details on page {n2}.", "Registration at the desk.", "See attached schedule.", "Office hours {time3}.",
        "Tickets at counter {n2}.", "Source: city statistics.", "Updated weekly.", "Ref. {n2}/{n}.", "Gate {n2}.",
        "Form at the front desk.", "Phone ext. {n}.", "Next session {time3}.",
    ),
    WRY: (
        "Just perfect, isn't it? #justsaying", "How very lovely, as always. #classic",
        "Couldn't be better, eh? #justsaying",
        "Ten out of ten, no notes. #classic", "Living the dream, folks. #justsaying",
        "Exactly as planned, yes. #classic",
    ),
}  # fmt: skip

# Signs that are one to three bytes in either charset; they follow the text or replace ASCII signs, never a word.
_CHINESE_ENDS = ("#上海", "#北京", "#成都", "#广州", "#摄影", "#微博", "（图）", "【转】", "～～", "。。")
_LATIN_ENDS = ("#café", "#málaga", "@Zürich", "#Tromsø", "– via phone", "#são_paulo")

_SLOTS = {"subject": _SUBJECTS, "who": _PEOPLE, "place": _PLACES, "when": _WHENS}
_LINK_SIGNS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
GB18030_SHARE = 11  # per cent of the texts saved in GB18030 with a byte sequence that is not UTF-8


def write_text(chance: Chance, cue: str, used: set[str]) -> str:
    """A new text for this cue, at most 118 characters: an RT prefix and a GB18030 sign still fit into 140.

    used: the `text_key` of every text so far; the new one is added. Raises ConfigError when no new text is found.
    """
    for _ in range(1000):
        text = _write_tags(chance) if cue == MISSING else _write_sentence(chance, cue)
        key = text_key(text)
        if len(text) <= 118 and key not in used:
            used.add(key)
            return text
    raise ConfigError(f"The demo has run out of different {cue} texts. Ask for fewer pairs.")


def write_retweet(chance: Chance, text: str) -> str:
    """The same text, sent again by another user."""
    return f"RT @{chance.pick(_USERS)}: {text}"


def text_key(text: str) -> str:
    """What must differ between two texts that are no twins: letters and digits without links and names."""
    return re.sub(r"https?://\S+|@\w+|[\W_]+", "", text.lower())


def choose_charset(chance: Chance, text: str) -> tuple[str, str]:
    """The text with a few foreign signs at times, and the charset to save it in. Independent of every cue."""
    roll = chance.random() * 100
    if roll < GB18030_SHARE:
        changed = f"{text} {chance.pick(_CHINESE_ENDS)}"
        if "'" in text and chance.random() < 0.5:
            changed = text.replace("'", "’")
        return changed, "gb18030"
    if roll < GB18030_SHARE + 4:
        return f"{text} {chance.pick(_LATIN_ENDS)}", "utf-8"
    return text, "utf-8"


def _write_sentence(chance: Chance, cue: str) -> str:
    slots = {name: chance.pick(words) for name, words in _SLOTS.items()}
    slots |= {name.capitalize(): slots[name][0].upper() + slots[name][1:] for name in ("subject", "who", "place")}
    for name in ("time", "time2", "time3"):
        slots[name] = f"{chance.whole(7, 21)}:{chance.pick(('00', '15', '30', '45'))}"
    slots |= {"n": chance.whole(2, 480), "n2": chance.whole(2, 60)}
    opening, closing = chance.pick(_OPENINGS[cue]), chance.pick(_CLOSINGS[cue])
    text = f"{opening}{'.' if closing[0].isupper() else ','} {closing}".format(**slots)
    parts = [text]
    if chance.random() < 0.20:
        parts.insert(0, f"@{chance.pick(_USERS)}")
    if chance.random() < 0.45:
        parts.append(f"#{chance.pick(_TAGS)}")
    if chance.random() < 0.10:
        parts.append(_lost_emoji(chance))
    if chance.random() < 0.35:
        parts.append(_write_link(chance))
    return " ".join(parts)


def _write_tags(chance: Chance) -> str:
    """No sentence at all: hashtags, names and links about anything."""
    words = [f"#{tag}" for tag in chance.shuffled(_TAGS)[: chance.whole(3, 5)]]
    if chance.random() < 0.5:
        words.insert(chance.whole(0, len(words)), f"@{chance.pick(_USERS)}")
    if chance.random() < 0.10:
        words.append(_lost_emoji(chance))
    if chance.random() < 0.8:
        words.append(_write_link(chance))
    return " ".join(words)


def _lost_emoji(chance: Chance) -> str:
    """What an emoji became on the way, as in the real course."""
    return chance.pick(("??", "????"))


def _write_link(chance: Chance) -> str:
    return "http://t.co/" + "".join(chance.pick(_LINK_SIGNS) for _ in range(10))
