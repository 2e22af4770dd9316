"""Other case, same offsets."""

from hypothesis import example, given
from hypothesis import strategies as st

from llamaner.corpus import Document, LabelSpan, Sentence, segment
from llamaner.corpus.casing import recased, recased_copies


@given(st.text(max_size=80), st.sampled_from(["lower", "upper"]))
@example("Ο ΟΛΥΜΠΙΑΚΟΣ. Η İstanbul", "lower")
def test_any_text_keeps_its_offsets(text, case):
    given = Document(text, segment(text))
    made = recased(given, case)
    assert len(made.text) == len(text)
    assert [s.spans for s in made.sentences] == [s.spans for s in given.sentences]


def test_letters_change_and_annotation_stays():
    sentence = Sentence.from_words(["Straße", "İzmir", "rief"], [LabelSpan("LOC", 1, 2)])
    given = Document.from_sentences([sentence])
    assert recased(given, "upper").text == "STRAßE İZMIR RIEF"
    assert recased(given, "lower").text == "straße İzmir rief"
    assert recased(given, "upper").entities[0].text == "İZMIR"
    assert recased(given, "upper").entities[0].label == "LOC"


def test_a_share_of_the_documents_is_copied():
    documents = [Document.from_sentences([Sentence.from_words([f"Word{i}"])]) for i in range(1000)]
    copies = recased_copies(documents, 0.2)
    assert copies == recased_copies(documents, 0.2)
    assert 150 < len(copies) < 250
    capitals = sum(copy.text.isupper() for copy in copies)
    assert 0.35 < capitals / len(copies) < 0.65
    assert recased_copies(documents, 0.0) == []
