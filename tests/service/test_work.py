"""Texts put together to a document, and taken apart again."""

from hypothesis import given, settings
from hypothesis import strategies as st

from llamaner.corpus import Sentence, segment
from llamaner.service.work import Work, works_of

words = st.lists(st.text(st.characters(categories=["L", "N", "P", "So"]), min_size=1), max_size=5)
texts = st.lists(st.text(max_size=40) | words.map(tuple), max_size=6)


@settings(max_examples=80)
@given(texts)
def test_each_text_gets_its_own_sentences_back(texts):
    work = Work(tuple(range(len(texts))), tuple(texts))
    document = work.document("en")
    for text, finding in zip(texts, work.findings(document), strict=True):
        if isinstance(text, str):
            assert finding.document.text == text
            assert finding.document.sentences == segment(text)
        else:
            assert finding.document.text == " ".join(text)
            expected = (Sentence.from_words(text),) if text else ()
            assert finding.document.sentences == expected


@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_texts_of_one_name_are_one_work_in_order(names):
    works = works_of([f"text {i}" for i in range(len(names))], names)
    assert sorted(i for work in works for i in work.indices) == list(range(len(names)))
    for work in works:
        assert len({names[i] for i in work.indices}) == 1
        assert list(work.indices) == sorted(work.indices)
        assert work.texts == tuple(f"text {i}" for i in work.indices)
    assert len(works) == len(set(names))


def test_signs_and_other_scripts_cost_more_than_letters():
    cost = {
        text: Work((0,), (text,)).subwords for text in ("abcd" * 100, "1234" * 100, "北京" * 100)
    }
    assert list(cost.values()) == [101, 401, 601]
