"""One space between words, whatever the text has."""

from hypothesis import given
from hypothesis import strategies as st

from llamaner.corpus import Document, Sentence, segment
from llamaner.corpus.spacing import are_single_spaced, single_spaced


@given(st.text(max_size=80), st.booleans())
def test_words_stay_and_the_space_between_them_is_one(text, coherent):
    given = Document(text, segment(text), coherent=coherent)
    made = single_spaced(given)
    assert [s.words for s in made.sentences] == [s.words for s in given.sentences]
    assert made.text == "\n".join(" ".join(s.words) for s in given.sentences)
    assert made.coherent == coherent
    assert are_single_spaced([made])
    assert single_spaced(made) == made


def test_columns_are_told_from_texts():
    columns = Document.from_sentences([Sentence.from_words(["Paris", "won", "."])])
    text = Document("Paris won.", segment("Paris won."))
    assert are_single_spaced([columns])
    assert not are_single_spaced([columns, text])
