"""Whether passages are found as well with tokens in the place of e-mail addresses: 100 passages, 200 questions.

Run as `python bench/personal/retrieval.py`. Half of the questions name an address, half do not.
"""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from functions.adapters.encoders.minilm import built_encoder
from functions.collections.ranking import Candidate, question_to_encode, ranked, text_to_encode
from functions.collections.words import shared_words, terms_of_passage, terms_of_question
from functions.events.common import Passage
from functions.personal.keys import Key
from functions.personal.tokenizer import PersonalTokenizer
from local.workspace import home_folder

TOPICS = """invoices refunds parking badges printers payroll travel catering laptops insurance visitors training keys
mail recycling phones contracts audits holidays meetings""".split()  # noqa: SIM905 - words of a sentence
DUTIES = (
    "answers questions about",
    "is responsible for",
    "approves",
    "should be told about",
    "keeps the list of",
)
BUILDINGS = 7


def main() -> None:
    """Print how many questions find their passage first."""
    chance = random.Random(3)  # noqa: S311 - invented addresses
    tokenizer = PersonalTokenizer(
        [Key(b"k" * 32)], vault=None, ttl=timedelta(days=1), regions=("US",), now=lambda: datetime.now(UTC)
    )
    passages, naming, asking = [], [], []
    for number in range(100):
        letters = f"{chance.choice('abcdefghij')}{chance.choice('klmnop')}"
        address = f"{letters}{number}@example.{chance.choice(['com', 'org', 'net'])}"
        duty = f"{DUTIES[number % len(DUTIES)]} {TOPICS[number % len(TOPICS)]} in building {number % BUILDINGS}"
        text = f"{address} {duty}. The desk opens at nine."
        passages.append(Passage(id=str(number), name="staff list", source="staff.md", text=text))
        naming.append(f"What does {address} do?")
        asking.append(f"Who {duty}?")

    def tokenized(texts: Sequence[str]) -> Sequence[str]:
        return tokenizer.tokenized(texts, tenant="default", keep=False)

    texts = tokenized([passage.text for passage in passages])
    hidden = [msgspec.structs.replace(each, text=text) for each, text in zip(passages, texts, strict=True)]
    for title, questions in (("an address is named", naming), ("none is named", asking)):
        kept, taken = first(passages, questions), first(hidden, tokenized(questions))
        print(f"{title}: {kept} of 100 found first in the clear, {taken} with tokens")


def first(passages: Sequence[Passage], questions: Sequence[str]) -> int:
    """How many questions have the passage of their own number as the best of all."""
    encoder = built_encoder(home_folder() / "encoders")
    vectors = encoder.encode([text_to_encode(each) for each in passages])
    asked = encoder.encode([question_to_encode(each) for each in questions])
    terms = [terms_of_passage(each) for each in passages]
    right = 0
    for number, (question, vector) in enumerate(zip(questions, asked, strict=True)):
        words = shared_words(terms_of_question(question), terms)
        fits = zip(passages, (vectors @ vector).tolist(), words, strict=True)
        right += ranked(question, [Candidate(*each) for each in fits], 1)[0].id == str(number)
    return right


if __name__ == "__main__":
    main()
